//! Ports of the 8254 PIT, and time measurement with it.
//!
//! Channel 2 is the preferred channel: software can start and poll it through port 0x61, and it
//! never interrupts. On machines without that port, such as QEMU's microvm, channel 0 is used.

use tocsin_logic::apic::calibration::{Measurement, most_precise};
use tocsin_logic::devices::pit::{Mode, Status, control, latch_status};

use super::{port, processor};

pub use tocsin_logic::devices::pit::FREQUENCY;

/// Number of polls after which an unfinished 8254 counts as absent: at a microsecond per port
/// access, some 50 times the longest count.
const POLLS: u32 = 2_500_000;

/// Counts `ticks` periods of the 8254 (1..=65535, [`FREQUENCY`] Hz) once and returns the results of
/// `read` at the start and at the end; `None` if the counter did not finish (there is no 8254).
/// Must only be called while no driver owns channel 0.
///
/// If the time-stamp counter shows that the host descheduled the CPU meanwhile, the measurement is
/// repeated.
pub(crate) fn measure<T>(ticks: u16, read: impl Fn() -> T) -> Option<Measurement<T>> {
    let old = read_control();
    let best = most_precise(|| attempt(ticks, old, &read));
    write(CONTROL, old);
    best
}

fn attempt<T>(ticks: u16, control_port: u8, read: impl Fn() -> T) -> Option<Measurement<T>> {
    // Gate low, speaker off: the count does not start before the rising edge of the gate.
    write(CONTROL, control_port & !(GATE | SPEAKER));
    set_mode(2, Mode::OneShot);
    set_count(2, ticks);
    // In mode 0 the output is initially low. A port without a device reads as all ones.
    if read_control() & (OUTPUT | GATE) == 0 {
        let begin = || write(CONTROL, control_port & !SPEAKER | GATE);
        return count(ticks, begin, || read_control() & OUTPUT != 0, read);
    }
    // The gate of channel 0 is always high, so writing the second half of its count starts it.
    set_mode(0, Mode::OneShot);
    if !status(0).is_set_as(control(0, Mode::OneShot)) {
        return None;
    }
    count(ticks, || set_count(0, ticks), || status(0).output(), read)
}

/// Starts a counter with `begin`, and waits until it has finished.
fn count<T>(
    ticks: u16,
    begin: impl FnOnce(),
    is_done: impl Fn() -> bool,
    read: impl Fn() -> T,
) -> Option<Measurement<T>> {
    let before = processor::timestamp();
    begin();
    let start = read();
    let running = processor::timestamp();
    let mut not_done = running;
    for _ in 0..POLLS {
        let asked = processor::timestamp();
        if is_done() {
            let end = read();
            let ended = processor::timestamp();
            return Some(Measurement {
                start,
                end,
                counts: ticks.into(),
                length: ended - before,
                uncertainty: (running - before) + (ended - not_done),
            });
        }
        not_done = asked;
    }
    None
}

/// Sets the mode of a channel (0 or 2); counting starts when the count is written.
pub(crate) fn set_mode(channel: u8, mode: Mode) {
    write(COMMAND, control(channel, mode));
}

/// Writes the count of a channel whose mode is set; 0 is 65536. Must not run on two CPUs at once.
pub(crate) fn set_count(channel: u8, count: u16) {
    let [low, high] = count.to_le_bytes();
    write(COUNTER + u16::from(channel), low);
    write(COUNTER + u16::from(channel), high);
}

/// The status of a channel. Must not run on two CPUs at once.
pub(crate) fn status(channel: u8) -> Status {
    write(COMMAND, latch_status(channel));
    Status(read_counter(channel))
}

/// The port of channel 0; those of the other channels follow.
const COUNTER: u16 = 0x40;
const COMMAND: u16 = 0x43;
/// Port B of the PC.
const CONTROL: u16 = 0x61;

fn read_control() -> u8 {
    // SAFETY: Reading port B has no side effect.
    unsafe { port::read(CONTROL) }
}

fn read_counter(channel: u8) -> u8 {
    // SAFETY: Reading only consumes the latched value, or half of the count.
    unsafe { port::read(COUNTER + u16::from(channel)) }
}

/// Writes one of the ports above.
fn write(port: u16, value: u8) {
    // SAFETY: Nothing else in the kernel uses these ports. Channel 2 drives only the speaker, and
    // channel 0 an interrupt that is masked or has a handler.
    unsafe { port::write(port, value) };
}

const GATE: u8 = 1 << 0;
const SPEAKER: u8 = 1 << 1;
const OUTPUT: u8 = 1 << 5;

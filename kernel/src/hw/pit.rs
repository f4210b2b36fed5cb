//! Channel 2 of the 8254 interval timer, the one a program can start and watch
//! without an interrupt (its gate and output are bits of port 0x61).

use x86_64::instructions::port::Port;

/// Input clock of the 8254, in Hz: a third of the NTSC colour subcarrier.
pub const FREQUENCY: u64 = 1_193_182;

/// Polls after which an 8254 that has not finished counts as absent: at a microsecond for
/// each access to a port, some 50 times the longest count.
const POLLS: u32 = 2_500_000;

/// Counts `ticks` periods of the 8254 (1..=65535, [`FREQUENCY`] Hz) once and returns what `read` gave
/// at the start and at the end, or `None` if the counter did not finish (there is no 8254).
pub fn measure<T>(ticks: u16, read: impl Fn() -> T) -> Option<(T, T)> {
    let [low, high] = ticks.to_le_bytes();
    let old = read_control();
    // Gate low, speaker off: the count does not start before the gate rises.
    write(CONTROL, old & !(GATE | SPEAKER));
    // Channel 2, low then high byte, mode 0: the output rises when the count is done.
    write(COMMAND, 0b1011_0000);
    write(CHANNEL_2, low);
    write(CHANNEL_2, high);
    write(CONTROL, old & !SPEAKER | GATE);

    let start = read();
    let done = (0..POLLS).any(|_| read_control() & OUTPUT != 0);
    let end = read();
    write(CONTROL, old);
    done.then_some((start, end))
}

const CHANNEL_2: u16 = 0x42;
const COMMAND: u16 = 0x43;
/// Port B of the PC.
const CONTROL: u16 = 0x61;

fn read_control() -> u8 {
    // SAFETY: 1. Reading port B has no side effect.
    unsafe { Port::new(CONTROL).read() }
}

/// Writes one of the three ports above.
fn write(port: u16, value: u8) {
    // SAFETY: 1. Nothing else in the kernel uses these ports. 2. Channel 2 drives only the speaker.
    unsafe { Port::new(port).write(value) };
}

const GATE: u8 = 1 << 0;
const SPEAKER: u8 = 1 << 1;
const OUTPUT: u8 = 1 << 5;

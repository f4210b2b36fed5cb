//! Channel 2 of the 8254 interval timer, the one a program can start and watch
//! without an interrupt (its gate and output are bits of port 0x61).

use x86_64::instructions::port::Port;

/// Input clock of the 8254, in Hz: a third of the NTSC colour subcarrier.
pub const FREQUENCY: u64 = 1_193_182;

/// Counts `ticks` periods of the 8254 (1..=65535, [`FREQUENCY`] Hz) once and returns how
/// many times `clock` advanced meanwhile, or `None` if the counter did not finish
/// within `limit` units of `clock` (there is no 8254).
pub fn measure(ticks: u16, limit: u64, clock: impl Fn() -> u64) -> Option<u64> {
    let mut command = Port::<u8>::new(0x43);
    let mut channel2 = Port::<u8>::new(0x42);
    let mut control = Port::<u8>::new(0x61);
    let [low, high] = ticks.to_le_bytes();

    // SAFETY (all accesses below): 1. These are the 8254's ports and port B of the PC, which
    // nothing else in the kernel touches. 2. Channel 2 drives only the speaker, which is off.
    let old = unsafe { control.read() };
    // Gate low, speaker off: the count does not start before the gate rises.
    // SAFETY: see above.
    unsafe { control.write(old & !(GATE | SPEAKER)) };
    // SAFETY: see above. Channel 2, low then high byte, mode 0 (output rises at zero).
    unsafe { command.write(0b1011_0000) };
    // SAFETY: see above.
    unsafe { channel2.write(low) };
    // SAFETY: see above.
    unsafe { channel2.write(high) };
    // SAFETY: see above.
    unsafe { control.write(old & !SPEAKER | GATE) };

    let start = clock();
    loop {
        // SAFETY: see above.
        let output = unsafe { control.read() } & OUTPUT != 0;
        let elapsed = clock().wrapping_sub(start);
        if output || elapsed > limit {
            // SAFETY: see above.
            unsafe { control.write(old) };
            return output.then_some(elapsed);
        }
    }
}

const GATE: u8 = 1 << 0;
const SPEAKER: u8 = 1 << 1;
const OUTPUT: u8 = 1 << 5;

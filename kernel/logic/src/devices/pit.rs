//! The 8254 interval timer (Intel, 8254 data sheet, order number 231164).
//!
//! Three 16-bit counters count down. Channel 0 interrupts (ISA interrupt 0) on the rising edge of
//! its output; channel 2 drives the speaker, and its gate and output are bits of port 0x61.

/// The input clock, in Hz: a third of the NTSC colour subcarrier.
pub const FREQUENCY: u64 = 1_193_182;

/// The counter mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    /// Mode 0, interrupt on terminal count: the output goes low, and rises once at the end of the
    /// count.
    OneShot = 0,
    /// Mode 1, one-shot: a rising edge of the gate makes the output low for one count.
    Triggered = 1,
    /// Mode 2, rate generator: the output is low for the last tick of each period.
    Rate = 2,
    /// Mode 3, square wave: the output is high for half of each period.
    Square = 3,
}

/// Encodes the control word that sets `channel` (0 to 2) to `mode`, with binary counting and the
/// count written low byte first. The output takes the initial level of the mode at once; counting
/// starts when the count is written.
#[must_use]
pub const fn control(channel: u8, mode: Mode) -> u8 {
    (channel & 3) << 6 | LOW_THEN_HIGH | (mode as u8) << 1
}

/// Encodes the read-back command that latches only the status of `channel`.
#[must_use]
pub const fn latch_status(channel: u8) -> u8 {
    READ_BACK | NO_COUNT | 2 << (channel & 3)
}

/// Encodes the read-back command that latches only the count of `channel`.
#[must_use]
pub const fn latch_count(channel: u8) -> u8 {
    READ_BACK | NO_STATUS | 2 << (channel & 3)
}

const LOW_THEN_HIGH: u8 = 0b11 << 4;
const READ_BACK: u8 = 0b11 << 6;
const NO_COUNT: u8 = 1 << 5;
const NO_STATUS: u8 = 1 << 4;

/// The status byte of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u8);

impl Status {
    /// Whether the output is high.
    #[must_use]
    pub const fn output(self) -> bool {
        self.0 & 1 << 7 != 0
    }

    /// Whether the written count has not been loaded yet.
    #[must_use]
    pub const fn is_count_pending(self) -> bool {
        self.0 & 1 << 6 != 0
    }

    /// Whether the counter is in the mode of this control word. An absent counter reads as all
    /// ones, which is not a valid control word.
    #[must_use]
    pub const fn is_set_as(self, control: u8) -> bool {
        self.0 & 0x3f == control & 0x3f
    }
}

/// Returns the count for a rate in Hz, or `None` if the rate is not possible: the divisor is 2 to
/// 65536; 65536 is written as 0.
#[must_use]
pub const fn divisor(hertz: u32) -> Option<u16> {
    if hertz == 0 {
        return None;
    }
    let divisor = (FREQUENCY + hertz as u64 / 2) / hertz as u64;
    match divisor {
        65536 => Some(0),
        2..65536 => Some(divisor as u16),
        _ => None,
    }
}

/// Returns the number of ticks of a written count; 0 means 65536.
#[must_use]
pub const fn ticks(count: u16) -> u32 {
    if count == 0 { 65536 } else { count as u32 }
}

/// Converts ticks to nanoseconds, rounded down.
#[must_use]
pub const fn nanoseconds(ticks: u64) -> u64 {
    (ticks as u128 * 1_000_000_000 / FREQUENCY as u128) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_words_are_those_of_the_data_sheet() {
        assert_eq!(control(2, Mode::OneShot), 0b1011_0000);
        assert_eq!(control(0, Mode::Triggered), 0b0011_0010);
        assert_eq!(control(0, Mode::Rate), 0b0011_0100);
        assert_eq!(control(0, Mode::Square), 0b0011_0110);
        assert_eq!(latch_status(0), 0b1110_0010);
        assert_eq!(latch_count(0), 0b1101_0010);
        assert_eq!(latch_status(2), 0b1110_1000);
    }

    #[test]
    fn a_status_is_read() {
        let status = Status(0b1011_0000);
        assert!(status.output() && !status.is_count_pending());
        assert!(status.is_set_as(control(0, Mode::OneShot)));
        assert!(status.is_set_as(control(2, Mode::OneShot)));
        assert!(!status.is_set_as(control(0, Mode::Rate)));
        assert!(Status(0x40).is_count_pending());
        for mode in [Mode::OneShot, Mode::Triggered, Mode::Rate, Mode::Square] {
            // An absent counter reads as all ones or all zeros.
            assert!(!Status(0xff).is_set_as(control(0, mode)));
            assert!(!Status(0).is_set_as(control(0, mode)));
        }
    }

    #[test]
    fn a_rate_is_exact_to_half_a_tick_or_rejected() {
        assert_eq!(divisor(0), None);
        assert_eq!(divisor(18), None);
        assert_eq!(divisor(1_193_182), None);
        assert_eq!(divisor(u32::MAX), None);
        assert_eq!(divisor(19), Some(62799));
        assert_eq!(divisor(1000), Some(1193));
        assert_eq!(divisor(596_591), Some(2));
        for hertz in 19..20_000 {
            let ticks = u64::from(ticks(divisor(hertz).unwrap()));
            let product = ticks * u64::from(hertz);
            assert!(
                product.abs_diff(FREQUENCY) * 2 <= u64::from(hertz),
                "{hertz} Hz"
            );
        }
        assert_eq!(ticks(0), 65536);
        assert_eq!(nanoseconds(FREQUENCY), 1_000_000_000);
        assert_eq!(nanoseconds(1), 838);
    }
}

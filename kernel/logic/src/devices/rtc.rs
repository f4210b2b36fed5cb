//! The real-time clock and its interrupts (Motorola, MC146818A data sheet).

/// Register A: the divider and the periodic rate.
pub const REGISTER_A: u8 = 0x0a;
/// Register B: interrupt enable bits and the time format.
pub const REGISTER_B: u8 = 0x0b;
/// Register C: the interrupt flags. **Reading it acknowledges the interrupt**: until then the
/// output remains asserted, and an edge-triggered input receives no further interrupts.
pub const REGISTER_C: u8 = 0x0c;
/// Register D: whether the time is valid (battery state).
pub const REGISTER_D: u8 = 0x0d;

/// Bit 7 of register B: inhibits updates while software sets the time.
pub const SET: u8 = 1 << 7;
/// Bit 6 of register B: periodic interrupt enable.
pub const PERIODIC: u8 = 1 << 6;
/// Bit 5 of register B: alarm interrupt enable.
pub const ALARM: u8 = 1 << 5;
/// Bit 4 of register B: update-ended interrupt enable; one interrupt per second.
pub const UPDATE_ENDED: u8 = 1 << 4;
/// All interrupt enable bits of register B.
pub const INTERRUPTS: u8 = PERIODIC | ALARM | UPDATE_ENDED;

/// The interrupt flags of register C. PF, AF and UF are at the positions of PIE, AIE and UIE in
/// register B; they are set whether or not the interrupt is enabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cause(pub u8);

impl Cause {
    /// Whether the RTC requests an interrupt: a flag is set whose interrupt is enabled.
    #[must_use]
    pub const fn interrupts(self) -> bool {
        self.0 & 1 << 7 != 0
    }

    /// Whether a period of the periodic interrupt has elapsed.
    #[must_use]
    pub const fn is_periodic(self) -> bool {
        self.0 & PERIODIC != 0
    }

    /// Whether the time has been updated.
    #[must_use]
    pub const fn is_update_ended(self) -> bool {
        self.0 & UPDATE_ENDED != 0
    }

    /// Whether one of the four bits that are always 0 is set: the value is not from register C.
    #[must_use]
    pub const fn is_impossible(self) -> bool {
        self.0 & 0x0f != 0
    }
}

/// The rate of the periodic interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate(u8);

impl Rate {
    /// The highest rate, in Hz.
    pub const MAX: u32 = 8192;
    /// The lowest rate, in Hz.
    pub const MIN: u32 = 2;

    /// Returns a rate in Hz: a power of two from 2 to 8192; `None` for any other value.
    #[must_use]
    pub const fn hertz(hertz: u32) -> Option<Self> {
        if !hertz.is_power_of_two() || hertz < Self::MIN || hertz > Self::MAX {
            return None;
        }
        // With a time base of 32768 Hz, rate n is 32768 >> (n - 1).
        Some(Self(16 - hertz.trailing_zeros() as u8))
    }

    /// Returns the rate in Hz.
    #[must_use]
    pub const fn get(self) -> u32 {
        32768 >> (self.0 - 1)
    }

    /// Encodes register A with this rate and a time base of 32768 Hz.
    #[must_use]
    pub const fn register_a(self) -> u8 {
        0b010 << 4 | self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_data_sheet() {
        // Table 5 of the data sheet, 32.768 kHz column.
        let table = [
            (8192, 3),
            (4096, 4),
            (2048, 5),
            (1024, 6),
            (512, 7),
            (256, 8),
            (128, 9),
            (64, 10),
            (32, 11),
            (16, 12),
            (8, 13),
            (4, 14),
            (2, 15),
        ];
        for (hertz, select) in table {
            let rate = Rate::hertz(hertz).unwrap();
            assert_eq!(rate.register_a(), 0x20 | select);
            assert_eq!(rate.get(), hertz);
        }
        let all = (0..=20_000).filter_map(Rate::hertz).count();
        assert_eq!(all, table.len());
        assert_eq!(Rate::hertz(u32::MAX), None);
        assert_eq!(Rate::hertz(1 << 31), None);
    }

    #[test]
    fn a_cause_is_read() {
        let cause = Cause(0b1101_0000);
        assert!(cause.interrupts() && cause.is_periodic() && cause.is_update_ended());
        let cause = Cause(0b0100_0000);
        assert!(!cause.interrupts() && cause.is_periodic() && !cause.is_update_ended());
        assert!(!cause.is_impossible());
        assert!(Cause(0xff).is_impossible());
    }
}

//! The 8042 keyboard controller and the keyboard (IBM, Personal System/2 Hardware Interface
//! Technical Reference, "Keyboard and Auxiliary Device Controller").

/// Commands to the controller.
pub mod command {
    /// Reads the command byte.
    pub const READ_COMMAND_BYTE: u8 = 0x20;
    /// Writes the command byte, which is the next data byte.
    pub const WRITE_COMMAND_BYTE: u8 = 0x60;
    /// Disables the second device, a mouse.
    pub const DISABLE_MOUSE: u8 = 0xa7;
    /// Tests the controller; a good one returns [`super::TEST_PASSED`].
    pub const TEST: u8 = 0xaa;
    /// Tests the keyboard port; a good one returns 0.
    pub const TEST_KEYBOARD_PORT: u8 = 0xab;
    /// Disables the keyboard.
    pub const DISABLE_KEYBOARD: u8 = 0xad;
    /// Enables the keyboard.
    pub const ENABLE_KEYBOARD: u8 = 0xae;
}

/// Commands to the keyboard.
pub mod keyboard {
    /// Echo: the keyboard returns the same byte.
    pub const ECHO: u8 = 0xee;
    /// Selects the scan-code set in the next byte.
    pub const SELECT_SET: u8 = 0xf0;
    /// Enables scanning.
    pub const ENABLE: u8 = 0xf4;
    /// Disables scanning and restores the defaults.
    pub const DISABLE: u8 = 0xf5;
    /// Resets the keyboard and starts its self-test.
    pub const RESET: u8 = 0xff;
    /// Response: the command was accepted.
    pub const ACKNOWLEDGE: u8 = 0xfa;
    /// Response: the command was invalid or corrupted.
    pub const RESEND: u8 = 0xfe;
    /// Response to a reset: the self-test passed.
    pub const TEST_PASSED: u8 = 0xaa;
}

/// The response of the controller to its test.
pub const TEST_PASSED: u8 = 0x55;

/// The status register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u8);

impl Status {
    /// Whether a byte is available at the data port.
    #[must_use]
    pub const fn has_output(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether the controller has not read the last written byte yet.
    #[must_use]
    pub const fn is_busy(self) -> bool {
        self.0 & 1 << 1 != 0
    }

    /// Whether the available byte is from the mouse.
    #[must_use]
    pub const fn is_from_mouse(self) -> bool {
        self.0 & 1 << 5 != 0
    }

    /// Whether there is no controller: reads return all ones, which no controller shows, because a
    /// parity error and a time-out exclude a byte from the mouse.
    #[must_use]
    pub const fn is_nothing(self) -> bool {
        self.0 == 0xff
    }
}

/// The command byte, which configures the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandByte(pub u8);

impl CommandByte {
    /// Returns the byte with the mouse, all interrupts and the translation disabled; the other bits
    /// are preserved.
    #[must_use]
    pub const fn without_interrupts(self) -> Self {
        Self(self.0 & !(KEYBOARD_INTERRUPT | MOUSE_INTERRUPT | TRANSLATE) | MOUSE_DISABLED)
    }

    /// Returns the byte with the keyboard and its interrupt enabled, without scan-code translation.
    #[must_use]
    pub const fn with_keyboard(self) -> Self {
        Self(self.without_interrupts().0 & !KEYBOARD_DISABLED | KEYBOARD_INTERRUPT)
    }
}

const KEYBOARD_INTERRUPT: u8 = 1 << 0;
const MOUSE_INTERRUPT: u8 = 1 << 1;
const KEYBOARD_DISABLED: u8 = 1 << 4;
const MOUSE_DISABLED: u8 = 1 << 5;
/// Translates scan codes from set 2 to set 1.
const TRANSLATE: u8 = 1 << 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read() {
        let status = Status(0b0010_0001);
        assert!(status.has_output() && status.is_from_mouse() && !status.is_busy());
        assert!(Status(0b10).is_busy() && !Status(0b10).has_output());
        assert!(Status(0xff).is_nothing() && !Status(0x1c).is_nothing());
    }

    #[test]
    fn unrelated_bits_of_a_command_byte_are_preserved() {
        for byte in 0..=u8::MAX {
            let disabled = CommandByte(byte).without_interrupts().0;
            assert_eq!(disabled & 0b0100_0011, 0);
            assert_eq!(disabled & 0b0010_0000, 0b0010_0000);
            assert_eq!(disabled & 0b1001_1100, byte & 0b1001_1100);
            let working = CommandByte(byte).with_keyboard().0;
            assert_eq!(working & 0b0111_0011, 0b0010_0001);
            assert_eq!(working & 0b1000_1100, byte & 0b1000_1100);
        }
    }
}

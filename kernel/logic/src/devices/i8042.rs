//! The keyboard controller and the keyboard behind it (IBM, Personal System/2 Hardware Interface
//! Technical Reference, "Keyboard and Auxiliary Device Controller").

/// Commands to the controller.
pub mod command {
    /// Reads the command byte.
    pub const READ_COMMAND_BYTE: u8 = 0x20;
    /// The next data byte is the command byte.
    pub const WRITE_COMMAND_BYTE: u8 = 0x60;
    /// Disables the second device, a mouse.
    pub const DISABLE_MOUSE: u8 = 0xa7;
    /// Tests the controller; it answers [`super::TEST_PASSED`].
    pub const TEST: u8 = 0xaa;
    /// Tests the keyboard's lines; it answers 0 if they are good.
    pub const TEST_KEYBOARD_PORT: u8 = 0xab;
    /// Disables the keyboard.
    pub const DISABLE_KEYBOARD: u8 = 0xad;
    /// Enables it.
    pub const ENABLE_KEYBOARD: u8 = 0xae;
}

/// Commands to the keyboard.
pub mod keyboard {
    /// It answers with the same byte.
    pub const ECHO: u8 = 0xee;
    /// Selects the scan-code set that the next byte says.
    pub const SELECT_SET: u8 = 0xf0;
    /// Sends scan codes from now on.
    pub const ENABLE: u8 = 0xf4;
    /// Sends no scan codes, and has the defaults again.
    pub const DISABLE: u8 = 0xf5;
    /// Resets itself and tests itself.
    pub const RESET: u8 = 0xff;
    /// Its answer to a command that it has taken.
    pub const ACKNOWLEDGE: u8 = 0xfa;
    /// Its answer to a command that it did not understand, or that arrived damaged.
    pub const RESEND: u8 = 0xfe;
    /// Its answer to a reset, when its test has been passed.
    pub const TEST_PASSED: u8 = 0xaa;
}

/// The controller's answer to its test.
pub const TEST_PASSED: u8 = 0x55;

/// The status port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u8);

impl Status {
    /// Whether a byte waits to be read from the data port.
    #[must_use]
    pub const fn has_output(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether a byte that was written has not been taken yet.
    #[must_use]
    pub const fn is_busy(self) -> bool {
        self.0 & 1 << 1 != 0
    }

    /// Whether the byte that waits is the mouse's.
    #[must_use]
    pub const fn is_from_mouse(self) -> bool {
        self.0 & 1 << 5 != 0
    }

    /// Whether nothing answers: all ones, which no controller shows, since a parity error and a time-out
    /// together with a byte from the mouse make no sense.
    #[must_use]
    pub const fn is_nothing(self) -> bool {
        self.0 == 0xff
    }
}

/// The command byte: how the controller works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandByte(pub u8);

impl CommandByte {
    /// The byte that silences both devices, and leaves the rest.
    #[must_use]
    pub const fn silent(self) -> Self {
        Self(self.0 & !(KEYBOARD_INTERRUPT | MOUSE_INTERRUPT | TRANSLATE) | MOUSE_DISABLED)
    }

    /// The byte that lets the keyboard interrupt, with scan codes as it sends them.
    #[must_use]
    pub const fn with_keyboard(self) -> Self {
        Self(self.silent().0 & !KEYBOARD_DISABLED | KEYBOARD_INTERRUPT)
    }
}

const KEYBOARD_INTERRUPT: u8 = 1 << 0;
const MOUSE_INTERRUPT: u8 = 1 << 1;
const KEYBOARD_DISABLED: u8 = 1 << 4;
const MOUSE_DISABLED: u8 = 1 << 5;
/// Scan codes of set 2 are translated to set 1.
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
    fn a_command_byte_keeps_what_it_is_not_about() {
        for byte in 0..=u8::MAX {
            let silent = CommandByte(byte).silent().0;
            assert_eq!(silent & 0b0100_0011, 0);
            assert_eq!(silent & 0b0010_0000, 0b0010_0000);
            assert_eq!(silent & 0b1001_1100, byte & 0b1001_1100);
            let working = CommandByte(byte).with_keyboard().0;
            assert_eq!(working & 0b0111_0011, 0b0010_0001);
            assert_eq!(working & 0b1000_1100, byte & 0b1000_1100);
        }
    }
}

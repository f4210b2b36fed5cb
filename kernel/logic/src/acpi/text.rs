//! Short strings in fixed-size fields, such as OEM IDs.

use core::fmt::{self, Write};

/// A fixed-size text field. Some firmware fills it with zeros, with spaces, or with zeros between
/// the letters.
///
/// `Display`: omits trailing spaces and zeros; prints all bytes that are not printable ASCII, and
/// `"` and `\`, as `\xNN`, so that a terminal receives no control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Text<const N: usize>(pub [u8; N]);

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self
            .0
            .iter()
            .rposition(|&byte| byte != 0 && byte != b' ')
            .map_or(0, |last| last + 1);
        for &byte in &self.0[..end] {
            match byte {
                b'"' | b'\\' => write!(f, "\\x{byte:02x}")?,
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

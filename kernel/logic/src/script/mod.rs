//! Parsing of monitor input: commands separated by `;`, words separated by white space, numbers.
//!
//! A double quote protects white space and `;` up to the next double quote. An unclosed quote
//! protects the rest of the line. There is no escape character. The results are slices of the line,
//! without copies.

use core::fmt;

#[cfg(test)]
mod tests;

/// The commands of a line: the parts between `;`, without surrounding white space. Empty ones are
/// omitted.
pub fn commands(line: &str) -> impl Iterator<Item = &str> {
    pieces(line, |c| c == ';')
        .map(str::trim)
        .filter(|command| !command.is_empty())
}

/// The words of a command. A word that is a single quoted text is returned without its quotes and
/// may be empty; any other word is returned unchanged.
pub fn words(command: &str) -> impl Iterator<Item = &str> {
    pieces(command, char::is_whitespace)
        .filter(|word| !word.is_empty())
        .map(unquote)
}

/// Splits at the separators outside quotes.
fn pieces(text: &str, separator: fn(char) -> bool) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        !quoted && separator(c)
    })
}

fn unquote(word: &str) -> &str {
    let Some(rest) = word.strip_prefix('"') else {
        return word;
    };
    match rest.split_once('"') {
        // Unclosed: the quote extends to the end.
        None => rest,
        Some((inner, "")) => inner,
        Some(_) => word,
    }
}

/// The reason why a text is not a valid number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// There is no digit.
    Empty,
    /// A character that is not a digit of this base.
    Digit {
        /// The character.
        character: char,
        /// The base: 2, 8, 10 or 16.
        base: u32,
    },
    /// More than 64 bits.
    TooLarge,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a number is missing; write 32, 0x20, 0o40 or 0b100000"),
            Self::Digit {
                character,
                base: 10,
            } => write!(
                f,
                "{character:?} is not a decimal digit; hexadecimal numbers begin with 0x"
            ),
            Self::Digit { character, base } => {
                write!(f, "{character:?} is not a digit in base {base}")
            }
            Self::TooLarge => write!(f, "the number is above {:#x}", u64::MAX),
        }
    }
}

impl core::error::Error for NumberError {}

/// Parses a number: decimal, or with the prefix `0x`, `0o` or `0b`. Digits may be grouped with `_`,
/// as in `0xffff_8000_0000_0000`.
///
/// # Errors
///
/// [`NumberError`]; signs and white space are also errors.
pub fn parse_number(text: &str) -> Result<u64, NumberError> {
    let (digits, base) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', b'o' | b'O', ..] => (&text[2..], 8),
        [b'0', b'b' | b'B', ..] => (&text[2..], 2),
        _ => (text, 10),
    };
    let mut value = None;
    for character in digits.chars().filter(|&c| c != '_') {
        let digit = character
            .to_digit(base)
            .ok_or(NumberError::Digit { character, base })?;
        let shifted = value.unwrap_or(0_u64).checked_mul(u64::from(base));
        let next = shifted.and_then(|v| v.checked_add(u64::from(digit)));
        value = Some(next.ok_or(NumberError::TooLarge)?);
    }
    value.ok_or(NumberError::Empty)
}

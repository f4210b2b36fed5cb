//! The parser of the kernel command line: `run="memory; poweroff" apic=xapic`.
//!
//! Items are separated by white space; each is a `key=value` or a bare `key`, and a value may be in
//! double quotes. An invalid item never stops the boot: the kernel reports it with its column and
//! processes the others.

use core::fmt;

mod options;
mod problem;
#[cfg(test)]
mod tests;

pub use options::{IommuOption, Options, virtio_mmio};
pub use problem::{Problem, ProblemKind, Problems};

/// The maximum length of the command line that the kernel stores, in bytes.
pub const MAX_LENGTH: usize = 2048;

/// An item of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The text before the `=`, or the whole item.
    pub key: &'a str,
    /// The text after the `=`, without its quotes.
    pub value: Option<&'a str>,
    /// The offset of the item, in bytes from the start of the line.
    pub offset: usize,
    /// The whole item as written.
    pub text: &'a str,
    /// The error in the quotes, if any.
    pub quoting: Quoting,
}

/// The state of an item's quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// The quotes are correct, or there are none.
    Fine,
    /// The quote at this offset in the line is never closed. The value extends to the end of the
    /// line.
    Unclosed(usize),
    /// Text follows the closing quote without white space, at this offset; it is the next item.
    TextAfter(usize),
}

/// Splits a command line into its items.
#[must_use]
pub const fn items(line: &str) -> Items<'_> {
    Items { line, offset: 0 }
}

/// The iterator of [`items`].
#[derive(Clone, Debug)]
pub struct Items<'a> {
    line: &'a str,
    /// The offset of the next item.
    offset: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let rest = &self.line[self.offset..];
        let text = rest.trim_start();
        if text.is_empty() {
            return None;
        }
        let offset = self.offset + (rest.len() - text.len());
        let (key, value, length, quoting) = split(text, offset);
        self.offset = offset + length;
        Some(Item {
            key,
            value,
            offset,
            text: &text[..length],
            quoting,
        })
    }
}

/// Splits off the first item of a text that starts with one. Returns the key, the value, the length
/// of the item in bytes, and the state of its quotes.
fn split(text: &str, offset: usize) -> (&str, Option<&str>, usize, Quoting) {
    let key_end = text
        .find(|c: char| c == '=' || c.is_whitespace())
        .unwrap_or(text.len());
    let key = &text[..key_end];
    let Some(value) = text[key_end..].strip_prefix('=') else {
        return (key, None, key_end, Quoting::Fine);
    };
    let Some(quoted) = value.strip_prefix('"') else {
        let length = value.find(char::is_whitespace).unwrap_or(value.len());
        return (
            key,
            Some(&value[..length]),
            key_end + 1 + length,
            Quoting::Fine,
        );
    };
    let Some((inner, after)) = quoted.split_once('"') else {
        return (
            key,
            Some(quoted),
            text.len(),
            Quoting::Unclosed(offset + key_end + 1),
        );
    };
    let length = text.len() - after.len();
    let quoting = if after.is_empty() || after.starts_with(char::is_whitespace) {
        Quoting::Fine
    } else {
        Quoting::TextAfter(offset + length)
    };
    (key, Some(inner), length, quoting)
}

impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

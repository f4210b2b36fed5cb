//! The machine-readable output of a command: lines that consist of `@json ` and a JSON object.
//!
//! A command whose last argument is `json` prints records in place of text. A record's `kind` says
//! which members it has. Programs match records, and people read the text, whose wording may
//! change.

use alloc::string::String;
use core::fmt::Display;

use serde::{Serialize, Serializer};
use tocsin::println;

/// The form of a command's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Text for people.
    Text,
    /// Records for programs.
    Records,
}

impl Output {
    /// Prints `record`: its text, or a record of this kind.
    ///
    /// Context: thread.
    ///
    /// # Panics
    ///
    /// As [`print`].
    pub fn print<T: Serialize + Display>(self, kind: &str, record: &T) {
        match self {
            Self::Text => println!("{record}"),
            Self::Records => print(kind, record),
        }
    }

    /// Prints a line that only the text has, such as the heading of a table.
    ///
    /// Context: thread.
    pub fn heading(self, text: &str) {
        if self == Self::Text {
            println!("{text}");
        }
    }
}

/// Prints a record of this kind, whose other members are those of `members`.
///
/// Context: thread.
///
/// # Panics
///
/// If `members` is not a struct or a map with string keys, or is empty.
pub fn print(kind: &str, members: &impl Serialize) {
    print_members(kind, &to_json(members));
}

/// Prints a record, given the JSON form of its members. Not generic, and kinds need no escapes:
/// this takes less code than a struct with the members flattened into it.
fn print_members(kind: &str, members: &str) {
    let rest = members.strip_prefix("{\"").expect("members are an object");
    println!("@json {{\"kind\":\"{kind}\",\"{rest}");
}

/// As [`print`], for a value that has a kind already.
pub(crate) fn print_line(record: &impl Serialize) {
    println!("@json {}", to_json(record));
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("structs have a JSON form")
}

/// Serializes a value as its text, for members whose text has a fixed form, such as PCI addresses.
pub(crate) fn as_text<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

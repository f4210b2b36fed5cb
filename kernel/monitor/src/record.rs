//! The machine-readable output of a command: lines that consist of `@json ` and a JSON object.
//!
//! A command whose last argument is `json` prints records in place of text. A record's `kind` says
//! which members it has. Programs match records, and people read the text, whose wording may change.

use serde::Serialize;
use tocsin::println;

/// The form of a command's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Text for people.
    Text,
    /// Records for programs.
    Records,
}

/// A record with its kind, which is the first member.
#[derive(Serialize)]
struct Tagged<'a, T> {
    kind: &'a str,
    #[serde(flatten)]
    members: &'a T,
}

/// Prints a record of this kind, whose other members are those of `members`.
///
/// Context: thread.
///
/// # Panics
///
/// If `members` is not a struct or a map with string keys.
pub fn print(kind: &str, members: &impl Serialize) {
    print_line(&Tagged { kind, members });
}

/// As [`print`], for a value that has a kind already.
pub(crate) fn print_line(record: &impl Serialize) {
    let text = serde_json::to_string(record);
    println!("@json {}", text.expect("structs have a JSON form"));
}

//! Problems in a command line, with messages for the boot log.

use super::options::KNOWN;
use crate::bounded_list::BoundedList;
use crate::devices::virtio_mmio::LocationError;
use core::fmt;

/// A problem in the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem<'a> {
    /// The offset in bytes from the start of the line. Messages show the column, which starts at 1.
    pub offset: usize,
    /// The item as written.
    pub item: &'a str,
    /// The kind of problem.
    pub kind: ProblemKind<'a>,
}

/// The kinds of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind<'a> {
    /// The option does not exist. The item is ignored.
    Unknown {
        /// The key of the item.
        key: &'a str,
    },
    /// The value is missing or not accepted. The option keeps its previous value.
    Value {
        /// The accepted values.
        accepts: &'static str,
        /// The invalid part of a device location.
        location: Option<LocationError>,
    },
    /// The option occurred before. The new value takes effect.
    Duplicate {
        /// The key of the option.
        key: &'static str,
    },
    /// A quote is not closed. The value extends to the end of the line.
    UnclosedQuote,
    /// Text follows a closing quote directly. It becomes the next item.
    TextAfterQuote,
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.offset + 1;
        let item = self.item;
        match self.kind {
            ProblemKind::Unknown { key } => {
                write!(f, "unknown option `{key}` at column {column}; known: ")?;
                for (n, known) in KNOWN.iter().enumerate() {
                    write!(f, "{}{}", if n == 0 { "" } else { ", " }, known.name)?;
                }
                Ok(())
            }
            ProblemKind::Value { accepts, location } => {
                write!(f, "`{item}` at column {column}: ")?;
                if let Some(error) = location {
                    write!(f, "{error}; ")?;
                }
                write!(f, "{accepts} is needed")
            }
            ProblemKind::Duplicate { key } => {
                write!(
                    f,
                    "`{item}` at column {column}: {key} was given before; this one counts"
                )
            }
            ProblemKind::UnclosedQuote => {
                write!(
                    f,
                    "unclosed quote at column {column}: taken to the end of the line"
                )
            }
            ProblemKind::TextAfterQuote => {
                write!(
                    f,
                    "text right after a quote at column {column}: taken as the next item"
                )
            }
        }
    }
}

/// The problems of a command line, in order.
pub type Problems<'a> = BoundedList<Problem<'a>, 8>;

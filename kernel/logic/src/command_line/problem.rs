//! What can be wrong with a command line, in words for the boot log.

use super::options::KNOWN;
use crate::devices::virtio_mmio::PlaceError;
use crate::kept::Kept;
use core::fmt;

/// Something wrong with the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem<'a> {
    /// Where, in bytes from the start of the line. Messages give the column,
    /// which counts from 1.
    pub offset: usize,
    /// The item as it stands in the line.
    pub item: &'a str,
    /// What.
    pub kind: ProblemKind<'a>,
}

/// The kinds of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind<'a> {
    /// There is no such option. It is ignored.
    Unknown {
        /// The key that was given.
        key: &'a str,
    },
    /// The value is missing or not acceptable. The option keeps what it had.
    Value {
        /// What is acceptable.
        accepts: &'static str,
        /// Which part is wrong, of the place of a device.
        place: Option<PlaceError>,
    },
    /// The option was given before. This one counts.
    Duplicate {
        /// The option's key.
        key: &'static str,
    },
    /// A quote is not closed. The value goes to the end of the line.
    UnclosedQuote,
    /// Text follows a closing quote directly. It is taken as the next item.
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
            ProblemKind::Value { accepts, place } => {
                write!(f, "`{item}` at column {column}: ")?;
                if let Some(error) = place {
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

/// The problems of a line, in its order.
pub type Problems<'a> = Kept<Problem<'a>, 8>;

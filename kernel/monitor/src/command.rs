//! A command of the monitor, its arguments, and its errors.

use core::fmt;

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use tocsin::Machine;
use tocsin::devices::DeviceError;
use tocsin::ipi::jobs::JobError;
use tocsin::pci::PciError;
use tocsin_logic::script;

use crate::record::Output;

/// The reason why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no command of this name.
    Unknown(String),
    /// A required argument is missing; contains the usage.
    MissingArgument(&'static str),
    /// There is an extra argument.
    ExtraArgument(String),
    /// An argument is invalid.
    BadArgument {
        /// The argument.
        given: String,
        /// The expected argument.
        expected: String,
    },
    /// The selected CPU cannot execute it.
    Cpu(JobError),
    /// A PCI device cannot execute it, or failed.
    Pci(PciError),
    /// The command ran with a wrong result; contains a description.
    Failed(String),
    /// A device that is not on PCI cannot execute it, or failed.
    Device(DeviceError),
    /// Ctrl-C was pressed before the command finished.
    Cancelled,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(f, "unknown command `{name}` (`help` lists the commands)")
            }
            Self::MissingArgument(usage) => write!(f, "missing argument (usage: {usage})"),
            Self::ExtraArgument(argument) => write!(f, "extra argument `{argument}`"),
            Self::BadArgument { given, expected } => {
                write!(f, "invalid argument `{given}` (expected {expected})")
            }
            Self::Cpu(error) => error.fmt(f),
            Self::Pci(error) => error.fmt(f),
            Self::Failed(what) => f.write_str(what),
            Self::Device(error) => error.fmt(f),
            Self::Cancelled => f.write_str("cancelled by Ctrl-C"),
        }
    }
}

impl core::error::Error for CommandError {}

/// A command of the monitor.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// The name, as it is typed.
    pub name: &'static str,
    /// The name and the arguments.
    pub usage: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Executes the command. Context: thread.
    pub run: fn(&'static Machine, &mut Arguments<'_>) -> Result<(), CommandError>,
    /// Prints the additional details that `help` shows for this command.
    pub details: Option<fn()>,
}

/// The words after a command's name.
#[derive(Debug)]
pub struct Arguments<'a> {
    pub(crate) words: VecDeque<&'a str>,
    pub(crate) usage: &'static str,
}

impl<'a> Arguments<'a> {
    /// Returns the next word, if there is one.
    ///
    /// Context: thread.
    pub fn next_word(&mut self) -> Option<&'a str> {
        self.words.pop_front()
    }

    /// Returns the next word, which must exist.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`CommandError::MissingArgument`].
    pub fn required(&mut self) -> Result<&'a str, CommandError> {
        self.next_word()
            .ok_or(CommandError::MissingArgument(self.usage))
    }

    /// Takes the next word, if it is `word`. Returns whether it was.
    ///
    /// Context: thread.
    pub fn take(&mut self, word: &str) -> bool {
        let is_next = self.words.front() == Some(&word);
        if is_next {
            self.words.pop_front();
        }
        is_next
    }

    /// Returns the next word as a number from 0 to `max`, if there is one.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`CommandError::BadArgument`].
    pub fn number(&mut self, max: u64) -> Result<Option<u64>, CommandError> {
        let Some(word) = self.next_word() else {
            return Ok(None);
        };
        match script::parse_number(word) {
            Ok(number) if number <= max => Ok(Some(number)),
            _ => Err(CommandError::BadArgument {
                given: word.to_string(),
                expected: alloc::format!("a number from 0 to {max}"),
            }),
        }
    }

    /// Takes the last word, if it is `json`. Returns the form of output that it selects.
    ///
    /// Context: thread.
    pub fn output(&mut self) -> Output {
        if self.words.back() == Some(&"json") {
            self.words.pop_back();
            Output::Records
        } else {
            Output::Text
        }
    }

    /// Fails if a word is left.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`CommandError::ExtraArgument`].
    pub fn end(&mut self) -> Result<(), CommandError> {
        self.next_word().map_or(Ok(()), |word| {
            Err(CommandError::ExtraArgument(word.to_string()))
        })
    }
}

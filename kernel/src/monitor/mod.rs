//! The serial shell. Everything a person can ask for is a command, and every command can be
//! given on the kernel's command line too, as `run="memory; poweroff"`.

mod apic;
mod bench;
mod commands;
mod fault;
mod gates;
mod input;
mod ipi;
mod irq;
mod irqs;
mod keys;
mod line;
mod lines;
mod machine;
mod mce;
mod memory;
mod nmi;
mod pci;
mod provoke;
mod receive;
mod sources;
mod storm;
mod stray;
mod stretch;
mod timer;
mod timers;
mod tlb;
mod together;

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use tocsin_logic::command_line::Options;
use tocsin_logic::irq::context::Level;
use tocsin_logic::script;

use crate::cpu::context;
use crate::devices::DeviceError;
use crate::pci::PciError;
use crate::smp::jobs::JobError;
use crate::{Machine, cancel, println};

pub(crate) use machine::show_machine;

/// Whether a command has failed since the script began; the exit status tells.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Why a command did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// There is no command of this name.
    Unknown(String),
    /// A required argument is not there; holds the usage.
    MissingArgument(&'static str),
    /// There is an argument too many.
    ExtraArgument(String),
    /// An argument is not what the command takes.
    BadArgument {
        /// What was given.
        given: String,
        /// What would be right.
        expected: String,
    },
    /// The CPU that was named cannot do it.
    Cpu(JobError),
    /// The device cannot do it, or did not.
    Pci(PciError),
    /// It was done, and what came out is wrong; says what.
    Failed(String),
    /// A device outside of PCI cannot do it, or did not.
    Device(DeviceError),
    /// Ctrl-C was pressed before it was done.
    Cancelled,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "unknown command `{name}`; `help` lists the commands"),
            Self::MissingArgument(usage) => write!(f, "an argument is missing; usage: {usage}"),
            Self::ExtraArgument(argument) => write!(f, "`{argument}` is one argument too many"),
            Self::BadArgument { given, expected } => {
                write!(f, "`{given}` will not do; expected {expected}")
            }
            Self::Cpu(error) => error.fmt(f),
            Self::Pci(error) => error.fmt(f),
            Self::Failed(what) => f.write_str(what),
            Self::Device(error) => error.fmt(f),
            Self::Cancelled => f.write_str("cancelled by Ctrl-C"),
        }
    }
}

/// A command of the monitor.
#[derive(Clone, Copy)]
struct Command {
    /// What is typed.
    name: &'static str,
    /// Name and arguments.
    usage: &'static str,
    /// One line of help.
    help: &'static str,
    run: fn(&'static Machine, &mut Arguments<'_>) -> Result<(), CommandError>,
}

/// The words after a command's name.
struct Arguments<'a> {
    words: VecDeque<&'a str>,
    usage: &'static str,
}

impl<'a> Arguments<'a> {
    /// The next word, if there is one.
    fn next(&mut self) -> Option<&'a str> {
        self.words.pop_front()
    }

    /// The next word, which must be there.
    fn required(&mut self) -> Result<&'a str, CommandError> {
        self.next().ok_or(CommandError::MissingArgument(self.usage))
    }

    /// Takes the next word, if it is `word`. Returns whether it was.
    fn take(&mut self, word: &str) -> bool {
        let is_next = self.words.front() == Some(&word);
        if is_next {
            self.words.pop_front();
        }
        is_next
    }

    /// The next word as a number from 0 to `max`, if there is one.
    fn number(&mut self, max: u64) -> Result<Option<u64>, CommandError> {
        let Some(word) = self.next() else {
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

    /// Fails if a word is left.
    fn end(&mut self) -> Result<(), CommandError> {
        self.next().map_or(Ok(()), |word| {
            Err(CommandError::ExtraArgument(word.to_string()))
        })
    }
}

/// Runs the script of the command line's `run=`, then what people type, for ever.
///
/// Context: a thread that masks nothing.
///
/// # Panics
///
/// If it runs already, on this or another CPU: its tests use memory and handlers exclusively.
#[track_caller]
pub fn run(machine: &'static Machine) -> ! {
    static RUNS: AtomicBool = AtomicBool::new(false);
    context::require("monitor::run", Level::THREAD);
    assert!(
        !RUNS.swap(true, Ordering::Acquire),
        "monitor: it runs already"
    );
    let (options, _) = Options::parse(&machine.boot.command_line);
    input::set_up();
    // Before the script, so that Ctrl-C wakes its commands.
    let port = receive::Port::start();
    if let Some(script) = options.run {
        for command in script::commands(script) {
            println!("tocsin> {command}");
            if !execute(machine, command) {
                break;
            }
        }
    }
    line::read_and_execute(machine, &port)
}

/// Executes the commands of one line, separated by `;`, up to one that is cancelled.
fn execute_line(machine: &'static Machine, line: &str) {
    for command in script::commands(line) {
        if !execute(machine, command) {
            break;
        }
    }
}

/// Executes one command and prints its error, if it has one. Returns false if it was cancelled.
fn execute(machine: &'static Machine, command: &str) -> bool {
    let mut words = script::words(command);
    let Some(name) = words.next() else {
        return true;
    };
    cancel::clear();
    let mut result = commands::find(name)
        .ok_or_else(|| CommandError::Unknown(name.to_string()))
        .and_then(|found| {
            let words = words.collect();
            (found.run)(
                machine,
                &mut Arguments {
                    words,
                    usage: found.usage,
                },
            )
        });
    let is_cancelled = cancel::is_requested();
    if is_cancelled {
        cancel::clear();
        // Other errors are consequences of the cancellation.
        result = Err(CommandError::Cancelled);
    }
    if let Err(error) = result {
        FAILED.store(true, Ordering::Relaxed);
        println!("{name}: {error}");
    }
    !is_cancelled
}

/// Whether any command so far has failed.
fn has_failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

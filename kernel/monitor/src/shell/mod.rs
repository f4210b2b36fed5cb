//! The shell: reads commands from the kernel command line (`run="memory; poweroff"`), the serial
//! port and the keyboard, and executes them.

mod help;
mod input;
pub(crate) mod keys;
mod line;
mod receive;

use core::sync::atomic::{AtomicBool, Ordering};

use alloc::string::ToString;
use spin::Once;
use tocsin_logic::command_line::Options;
use tocsin_logic::irq::context::Level;
use tocsin_logic::script;

use crate::command::{Arguments, Command, CommandError};
use tocsin::cpu::context;
use tocsin::{Machine, cancel, println};

/// Whether a command has failed since the script began, which the exit status reports.
static FAILED: AtomicBool = AtomicBool::new(false);

/// The commands, in the order of `help`.
static LISTS: Once<[&'static [Command]; 2]> = Once::new();

/// Runs the script of the command line's `run=`, then the lines that are typed. `own` and `more`
/// are the commands besides `help`.
#[track_caller]
pub(crate) fn run(
    machine: &'static Machine,
    own: &'static [Command],
    more: &'static [Command],
) -> ! {
    static RUNS: AtomicBool = AtomicBool::new(false);
    context::require("tocsin_monitor::run", Level::THREAD);
    assert!(
        !RUNS.swap(true, Ordering::Acquire),
        "monitor: it runs already"
    );
    LISTS.call_once(|| [own, more]);
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

/// Executes one command and prints its error, if there is one. Returns false if it was cancelled.
fn execute(machine: &'static Machine, command: &str) -> bool {
    let mut words = script::words(command);
    let Some(name) = words.next() else {
        return true;
    };
    cancel::clear();
    let mut result = help::find(name)
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

/// Returns whether any command so far has failed.
pub(crate) fn has_failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

//! The logger: prints a line on the console with the time, the CPU and the level.

use core::fmt::Write;

use log::{Level, Log, Metadata, Record};

use super::with;
use crate::cpu_local::current;
use crate::time;

struct Logger;

static LOGGER: Logger = Logger;

/// Registers the logger.
pub(super) fn set_up() {
    // Fails only if a logger is set already, which is then this one.
    let _ = log::set_logger(&LOGGER);
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let microseconds = time::nanoseconds() / 1000;
        let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
        let level = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            _ => "",
        };
        with(|console| {
            console.interrupt_prompt(|console| {
                console.begin_line();
                writeln!(
                    console,
                    "[{seconds:>4}.{rest:06}] cpu{:<3} {level}{}",
                    current().id(),
                    record.args()
                )
            })
        });
    }

    fn flush(&self) {}
}

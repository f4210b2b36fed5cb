//! Writes to a standard output and standard error that may be closed or full.
//!
//! `println!` and `eprintln!` panic if they cannot write, and a panic ends the program with status
//! 101, which means a panic of the kernel. This module instead reports lost output with a message,
//! stops the machines, removes temporary files and exits with [`FAILED`]; a lost message is
//! ignored.

use std::fmt;
use std::io::{self, Write};

use crate::cleanup;

/// The exit status of a run that the kernel did not end; higher than every status of the kernel.
pub const FAILED: u8 = 125;

/// Writes a line to standard output.
#[macro_export]
macro_rules! outln {
    () => { $crate::outln!("") };
    ($($text:tt)+) => { $crate::output::write(format_args!("{}\n", format_args!($($text)+))) };
}

/// Writes a line to standard error.
#[macro_export]
macro_rules! errln {
    ($($text:tt)+) => { $crate::output::write_error(format_args!("{}\n", format_args!($($text)+))) };
}

/// Writes to standard output without buffering; ends the program if that fails.
pub fn write(text: impl fmt::Display) {
    // One write, so that a closed pipe is detected once.
    let text = text.to_string();
    // An error ends the program.
    let _ = Checked(io::stdout()).write_all(text.as_bytes());
}

/// Writes to standard error; errors are ignored.
pub fn write_error(text: impl fmt::Display) {
    let text = text.to_string();
    let _ = io::stderr().write_all(text.as_bytes());
}

/// An output that ends the program if it cannot be written to.
#[derive(Debug)]
pub struct Checked<W>(pub W);

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Flushed here, because a buffer would delay an error until it cannot be handled.
        let written = self.0.write(bytes);
        Ok(exit_on_error(
            written.and_then(|size| self.0.flush().map(|()| size)),
        ))
    }

    fn flush(&mut self) -> io::Result<()> {
        exit_on_error(self.0.flush());
        Ok(())
    }
}

fn exit_on_error<T>(result: io::Result<T>) -> T {
    result.unwrap_or_else(|error| {
        write_error(format_args!(
            "tocsin: standard output: {error} (the rest of the output is lost, so the run ends \
             here; give it a file or a reader that stays)\n"
        ));
        cleanup::end(FAILED.into())
    })
}

//! The prompt: line editing, history and completion are the `embedded-cli` crate's.

use alloc::string::String;
use core::convert::Infallible;

use embedded_cli::autocomplete::Autocompletion;
use embedded_cli::cli::{CliBuilder, CliHandle};
use embedded_cli::command::RawCommand;
use embedded_cli::service::{Autocomplete, CommandProcessor, Help, ProcessError};
use embedded_cli::{arguments::Arg, autocomplete::Request};

use tocsin_logic::vector::PriorityClass;
use x86_64::instructions::interrupts;

use super::{commands, execute_line, keys};
use crate::hw::processor;
use crate::irq::{self, Line, Source};
use crate::{Machine, console, cpu};

/// Longest line, in bytes.
const LINE_MAX: usize = 256;

/// Bytes of earlier lines that are kept.
const HISTORY_MAX: usize = 1024;

/// Reads lines from the console and the keyboard, and executes them, for ever.
pub(super) fn read_and_execute(machine: &'static Machine) -> ! {
    // Before the prompt: who sees it can type.
    let line = receive_line();
    keys::start(CLASS);
    let Ok(mut cli) = CliBuilder::default()
        .writer(Output)
        .prompt("tocsin> ")
        .command_buffer([0; LINE_MAX])
        .history_buffer([0; HISTORY_MAX])
        .build();
    loop {
        // Off, so that a byte or a key that comes between the look and the `hlt` still wakes it.
        interrupts::disable();
        let byte = console::read_byte().or_else(keys::read_byte);
        if byte.is_none() && line.is_some() {
            processor::enable_and_halt();
        }
        interrupts::enable();
        if let Some(byte) = byte {
            let Ok(()) = cli.process_byte::<Names, _>(byte, &mut Lines { machine });
        }
        core::hint::spin_loop();
    }
}

/// Lets the serial port wake this CPU, so that it need not look all the time.
fn receive_line() -> Option<Line> {
    let request = irq::Request {
        name: "console",
        source: Source::Isa(console::ISA_IRQ),
        class: CLASS,
        cpu: cpu::current().id(),
    };
    // Coming out of `hlt` is all that the interrupt is for.
    match Line::new(request, || {}) {
        Ok(line) => {
            console::enable_receive_interrupt();
            Some(line)
        }
        Err(error) => {
            log::warn!("console: {error}; it is polled");
            None
        }
    }
}

/// Priority class of the serial port: low, because a person types.
const CLASS: PriorityClass = PriorityClass::new(4).expect("a class is 0 to 15");

/// The console as the line editor writes to it.
struct Output;

impl embedded_io::ErrorType for Output {
    type Error = Infallible;
}

impl embedded_io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        console::write_bytes(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Takes finished lines.
struct Lines {
    machine: &'static Machine,
}

impl CommandProcessor<Output, Infallible> for Lines {
    fn process<'a>(
        &mut self,
        _: &mut CliHandle<'_, Output, Infallible>,
        raw: RawCommand<'a>,
    ) -> Result<(), ProcessError<'a, Infallible>> {
        // The editor has cut the line into words; the monitor wants it whole, for `;`. Of a word
        // such as `-1` the editor tells only that it looks like an option and is none: `-?`.
        let mut line = String::from(raw.name());
        for argument in raw.args().args() {
            let mut letter = [0; 4];
            let (dashes, text) = match argument {
                Ok(Arg::Value(text)) => ("", text),
                Ok(Arg::LongOption(text)) => ("--", text),
                Ok(Arg::DoubleDash) => ("--", ""),
                Ok(Arg::ShortOption(option)) => ("-", &*option.encode_utf8(&mut letter)),
                Err(_) => ("-", "?"),
            };
            let quote = if text.contains(' ') { "\"" } else { "" };
            line.extend([" ", dashes, quote, text, quote]);
        }
        execute_line(self.machine, &line);
        Ok(())
    }
}

/// The names of the commands, for completion.
struct Names;

impl Autocomplete for Names {
    fn autocomplete(request: Request<'_>, completion: &mut Autocompletion<'_>) {
        let Request::CommandName(prefix) = request else {
            return;
        };
        for name in commands::names() {
            if let Some(rest) = name.strip_prefix(prefix) {
                completion.merge_autocompletion(rest);
            }
        }
    }
}

impl Help for Names {}

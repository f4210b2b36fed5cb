//! The prompt. Line editing, history and completion are those of the `embedded-cli` crate.
//!
//! The crate splits a line into words and loses some characters (`-1`), and it does not report the
//! contents of the screen. The line and the screen contents are read from the captured output of
//! the crate's function that draws the whole line.

use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;
use core::convert::Infallible;

use embedded_cli::autocomplete::{Autocompletion, Request};
use embedded_cli::cli::{Cli, CliBuilder, CliHandle};
use embedded_cli::command::RawCommand;
use embedded_cli::service::{Autocomplete, CommandProcessor, Help, ProcessError};

use x86_64::instructions::interrupts;

use super::{execute_line, help, input, keys, receive};
use tocsin::hw::processor;
use tocsin::timer::machine_checks;
use tocsin::{Machine, cancel, console};

const PROMPT: &str = "tocsin> ";

/// The maximum length of a line, in bytes.
const LINE_MAX: usize = 256;

/// The maximum size of the history, in bytes.
const HISTORY_MAX: usize = 1024;

/// The bytes that a terminal sends for the right arrow and for backspace.
const RIGHT: &[u8] = b"\x1b[C";
const BACKSPACE: &[u8] = b"\x08";

/// Reads lines from the console and the keyboard, and executes them. It never returns.
pub(super) fn read_and_execute(machine: &'static Machine, port: &receive::Port) -> ! {
    // Before the prompt, because the prompt means that input is accepted.
    keys::start(receive::CLASS, port.arrives());
    if let Err(error) = machine_checks::start(machine_checks::PERIOD) {
        log::warn!("machine check: {error} (the banks are not polled)");
    }
    let mut editor = Editor::new(machine);
    loop {
        // Interrupts are disabled, so that a byte or a key that arrives between the check and the
        // HLT still wakes the CPU.
        interrupts::disable();
        let byte = input::next_byte();
        if byte.is_none() && port.arrives() && !cancel::was_requested() {
            processor::enable_and_halt();
        }
        interrupts::enable();
        if cancel::was_requested() {
            cancel::clear();
            editor.abandon_line();
        }
        if let Some(byte) = byte {
            editor.take(byte);
        }
        core::hint::spin_loop();
    }
}

/// The line editor and its output.
struct Editor {
    cli: Cli<Output, Infallible, [u8; LINE_MAX], [u8; HISTORY_MAX]>,
    lines: Lines,
    /// The output of the editor.
    captured: Captured,
    /// The console's count of reprinted prompts when the editor last wrote.
    redrawn: u32,
}

type Captured = Rc<RefCell<String>>;

impl Editor {
    fn new(machine: &'static Machine) -> Self {
        // The editor begins with a prompt, which is sent below.
        let captured = Captured::default();
        let Ok(cli) = CliBuilder::default()
            .writer(Output(Rc::clone(&captured)))
            .prompt(PROMPT)
            .command_buffer([0; LINE_MAX])
            .history_buffer([0; HISTORY_MAX])
            .build();
        let line = String::new();
        let mut editor = Self {
            cli,
            lines: Lines { machine, line },
            captured,
            redrawn: 0,
        };
        editor.show(PROMPT);
        editor
    }

    /// Processes a byte of the input.
    fn take(&mut self, byte: u8) {
        if self.redrawn != console::redrawn() {
            // Other output has been printed since, so the cursor is at the line's end.
            self.feed_silently(RIGHT);
        }
        if matches!(byte, b'\r' | b'\n') {
            self.lines.line = self.shown();
            console::set_prompt("", b"\r\n");
            self.capture(|editor| editor.feed(byte));
            self.show(PROMPT);
        } else {
            let written = self.capture(|editor| editor.feed(byte));
            self.show(&written);
        }
    }

    /// Ctrl-C: discards the line and starts another one.
    fn abandon_line(&mut self) {
        self.feed_silently(RIGHT);
        self.feed_silently(BACKSPACE);
        console::set_prompt("", b"^C\r\n");
        self.show(PROMPT);
    }

    /// Sends the editor's output, and sets the text that the console prints again.
    fn show(&mut self, written: &str) {
        let mut line = String::from(PROMPT);
        line.push_str(&self.shown());
        self.redrawn = console::redrawn();
        console::set_prompt(&line, written.as_bytes());
    }

    /// Returns the current line without the prompt.
    fn shown(&mut self) -> String {
        let drawn = self.capture(|editor| {
            let Ok(()) = editor.cli.set_prompt(PROMPT);
        });
        let typed = drawn.split_once(PROMPT).map_or("", |(_, typed)| typed);
        String::from(typed)
    }

    /// Sends `key` to the editor as often as the longest line needs, and discards the output.
    fn feed_silently(&mut self, key: &[u8]) {
        self.capture(|editor| {
            for _ in 0..LINE_MAX {
                for &byte in key {
                    editor.feed(byte);
                }
            }
        });
    }

    fn feed(&mut self, byte: u8) {
        let Ok(()) = self.cli.process_byte::<Names, _>(byte, &mut self.lines);
    }

    /// Returns the output of the editor during `act`.
    fn capture(&mut self, act: impl FnOnce(&mut Self)) -> String {
        self.captured.borrow_mut().clear();
        act(self);
        self.captured.take()
    }
}

/// The sink of the line editor's output.
struct Output(Captured);

impl embedded_io::ErrorType for Output {
    type Error = Infallible;
}

impl embedded_io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        // The editor writes whole characters.
        self.0
            .borrow_mut()
            .push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The processor of completed lines.
struct Lines {
    machine: &'static Machine,
    /// The line as it was typed.
    line: String,
}

impl CommandProcessor<Output, Infallible> for Lines {
    fn process<'a>(
        &mut self,
        _: &mut CliHandle<'_, Output, Infallible>,
        _: RawCommand<'a>,
    ) -> Result<(), ProcessError<'a, Infallible>> {
        execute_line(self.machine, &self.line);
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
        for name in help::all().map(|command| command.name) {
            if let Some(rest) = name.strip_prefix(prefix) {
                completion.merge_autocompletion(rest);
            }
        }
    }
}

impl Help for Names {}

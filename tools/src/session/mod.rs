//! A running machine: its serial port, its control channel and its exit.
//!
//! Threads read COM1, QMP, QEMU's messages and its exit status into one state; all waits are for
//! changes of that state. No thread sleeps or polls.

mod control;
mod io;
mod report;
#[cfg(test)]
mod tests;

use std::mem;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt as _, FdMapping};
use serde_json::Value;
use shared_child::SharedChild;
use tempfile::TempDir;

use crate::error::{Scene, SessionError};
use crate::machine::{Machine, Wiring};
use crate::outcome::Outcome;
use crate::settings::Smp;
use crate::transcript::{Transcript, text};
use crate::{boot, cleanup};
use io::{Console, Link, Shared, State};

pub use io::{Output, Waker};
use report::shown;

/// The prompt of the kernel's monitor.
pub const PROMPT: &str = "tocsin> ";

/// The kernel's output before its first prompt, when the commands of `run=` have completed.
pub const READY: &str = "\ntocsin: ready";

/// Time limit of QEMU for its own operations: starting, responding, quitting.
const QEMU_TIMEOUT: Duration = Duration::from_secs(60);

/// Additional time for each CPU that the machine can have. QEMU creates and resets CPUs one by one,
/// which takes a minute for a thousand.
const QEMU_TIMEOUT_PER_CPU: Duration = Duration::from_millis(250);

/// Number of lines of serial output in an error.
const SHOWN_LINES: usize = 40;

/// Time limit of QEMU for a machine with these CPUs.
fn timeout(smp: &Smp) -> Duration {
    QEMU_TIMEOUT + QEMU_TIMEOUT_PER_CPU * smp.most()
}

/// A machine that runs until it ends or this value is dropped.
pub struct Session {
    shared: Arc<Shared>,
    child: Arc<SharedChild>,
    link: Link,
    next_id: AtomicU64,
    /// Time limit of QEMU for its own operations.
    timeout: Duration,
    /// The offset in the transcript up to which all output has been expected.
    cursor: usize,
    command: String,
    files: TempDir,
    _registered: cleanup::Registered,
}

/// The reason why a wait failed.
enum Stop {
    Ended,
    TimedOut,
    TripleFault,
}

impl Session {
    /// Starts `machine` with COM1 captured.
    ///
    /// # Errors
    ///
    /// There is nothing to boot, or QEMU does not start the machine.
    pub fn start(machine: &Machine) -> Result<Self, SessionError> {
        Self::start_on(machine, Console::Captured(None))
    }

    /// Starts `machine` with COM1 captured and copied to `output` as it arrives; QEMU's own
    /// messages are copied to standard error.
    ///
    /// # Errors
    ///
    /// As [`Session::start`].
    pub fn start_copied(machine: &Machine, output: Output) -> Result<Self, SessionError> {
        Self::start_on(machine, Console::Captured(Some(output)))
    }

    /// Starts `machine` with COM1 and QEMU's monitor on the terminal.
    ///
    /// # Errors
    ///
    /// As [`Session::start`].
    pub fn start_on_terminal(machine: &Machine) -> Result<Self, SessionError> {
        Self::start_on(machine, Console::Terminal)
    }

    fn start_on(machine: &Machine, console: Console) -> Result<Self, SessionError> {
        let trouble = |what| move |source| SessionError::Files { what, source };
        let files = cleanup::files();
        let (files, registered) = files.map_err(|source| SessionError::Temporary {
            directory: std::env::temp_dir(),
            source,
        })?;
        let media = boot::prepare(machine, files.path())?;
        let (link, theirs) = Link::new(&console).map_err(trouble("cannot make a socket pair"))?;
        let wiring = match theirs.len() {
            1 => Wiring::Terminal { qmp: 3 },
            _ => Wiring::Sockets { qmp: 3, serial: 4 },
        };
        let log = files.path().join("qemu.log");
        let mut command = Command::new(&machine.qemu);
        command.args(machine.arguments(&media, wiring, &log));
        let shown = shown(&command);
        let mappings = theirs.into_iter().zip(3..);
        let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping {
            parent_fd,
            child_fd,
        });
        command
            .fd_mappings(mappings.collect())
            .expect("3 and 4 are different");
        if !matches!(console, Console::Terminal) {
            // Ctrl-C signals the whole foreground process group: QEMU would exit before this
            // program learns the reason, and would be treated as a machine that ended by itself.
            command.process_group(0);
        }
        if !matches!(console, Console::Terminal) {
            command.stdin(Stdio::null()).stdout(Stdio::null());
        }
        // Read here, because a message about a failed start is explained first.
        command.stderr(Stdio::piped());
        let started = Instant::now();
        let child = registered.spawn(&mut command);
        let child = child.map_err(|source| SessionError::Spawn {
            qemu: machine.qemu.clone(),
            source,
        })?;
        // The command holds this program's copies of QEMU's ends, which would prevent the end of
        // file.
        drop(command);
        let shared = Shared::new(log, !matches!(console, Console::Captured(None)));
        let ended = registered.ended();
        let listening = link.listen(&shared, &child, console, started, ended);
        listening.map_err(trouble("cannot share a socket with a thread"))?;
        let session = Self {
            shared,
            child,
            link,
            next_id: AtomicU64::new(1),
            timeout: machine.timeout.unwrap_or_else(|| timeout(&machine.smp)),
            cursor: 0,
            command: shown,
            files,
            _registered: registered,
        };
        session.begin(machine)?;
        Ok(session)
    }

    /// Waits for QEMU's greeting, negotiates QMP and, unless the machine is held, starts it.
    fn begin(&self, machine: &Machine) -> Result<(), SessionError> {
        self.prepare(machine).map_err(|error| match error {
            // QEMU sends its greeting before it has created the machine.
            SessionError::Ended { outcome, scene, .. } => {
                SessionError::NotStarted { outcome, scene }
            }
            other => other,
        })?;
        self.shared.show_messages();
        if machine.gdb.is_some() {
            return Ok(());
        }
        match self.qmp("cont", &Value::Null) {
            // A guest may exit QEMU within microseconds; the next call reports that.
            Ok(_) | Err(SessionError::Ended { .. } | SessionError::TripleFault { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// The part of [`Session::begin`] before the machine runs.
    fn prepare(&self, machine: &Machine) -> Result<(), SessionError> {
        let greeted = |state: &mut State| state.greeted.then_some(());
        match self.wait(Some(self.timeout), greeted) {
            Ok(()) => {}
            Err(Stop::TimedOut) => return Err(self.silent("greeting")),
            Err(Stop::Ended | Stop::TripleFault) => return Err(self.ended("greeting from QEMU")),
        }
        // From now on QEMU sends events of the machine. It replies after it has created the
        // machine.
        self.qmp("qmp_capabilities", &Value::Null)?;
        for line in &machine.first {
            self.hmp(line)?;
        }
        Ok(())
    }

    /// Waits until `ready` returns a value; it is called again after every change.
    fn wait<T>(
        &self,
        limit: Option<Duration>,
        mut ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, Stop> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.lock();
        loop {
            if let Some(value) = ready(&mut state) {
                return Ok(value);
            }
            if state.ended() {
                return Err(Stop::Ended);
            }
            if state.triple_fault && state.resets > 0 {
                return Err(Stop::TripleFault);
            }
            state = match deadline {
                None => self
                    .shared
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Stop::TimedOut);
                    }
                    let waited = self.shared.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Like [`Session::wait`], with a descriptive error.
    fn wait_for<T>(
        &self,
        what: &str,
        limit: Duration,
        ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, SessionError> {
        let found = self.wait(Some(limit), ready);
        found.map_err(|stop| self.stopped(&stop, what, limit))
    }

    fn stopped(&self, stop: &Stop, what: &str, limit: Duration) -> SessionError {
        match stop {
            Stop::TimedOut => self.timed_out(what, limit),
            Stop::Ended | Stop::TripleFault => self.ended(what),
        }
    }

    /// Waits for `pattern` on COM1, after the previous expected text, and returns the text before
    /// it.
    ///
    /// # Errors
    ///
    /// The machine ends first, prints nothing for `limit`, or prints other output for ten times
    /// that: a busy host makes machines slow, not silent.
    pub fn expect(&mut self, pattern: &str, limit: Duration) -> Result<String, SessionError> {
        let start = self.cursor;
        let mut searched = start;
        let mut look = |state: &mut State| {
            let found = state.serial.find(pattern.as_bytes(), searched);
            let safe = (state.serial.bytes().len() + 1).saturating_sub(pattern.len());
            searched = searched.max(safe);
            found
        };
        let length = || self.lock().serial.bytes().len();
        let mut heard = length();
        let mut attempts = 1..10;
        let found = loop {
            let found = self.wait(Some(limit), &mut look);
            let before = mem::replace(&mut heard, length());
            let is_silent = before == heard;
            if !matches!(found, Err(Stop::TimedOut)) || is_silent || attempts.next().is_none() {
                break found;
            }
        };
        let at = found.map_err(|stop| self.stopped(&stop, &format!("{pattern:?}"), limit))?;
        self.cursor = at + pattern.len();
        Ok(text(&self.lock().serial.bytes()[start..at]))
    }

    /// Waits for the monitor's prompt and returns the text before it.
    ///
    /// # Errors
    ///
    /// As [`Session::expect`].
    pub fn wait_prompt(&mut self, limit: Duration) -> Result<String, SessionError> {
        self.expect(PROMPT, limit)
    }

    /// Types `line` at the prompt and returns the kernel's output up to the next prompt, without
    /// the echo of the line.
    ///
    /// # Errors
    ///
    /// As [`Session::expect`].
    pub fn command(&mut self, line: &str, limit: Duration) -> Result<String, SessionError> {
        self.send_line(line)?;
        let reply = self.wait_prompt(limit)?;
        let (echo, rest) = reply.split_once('\n').unwrap_or((&reply, ""));
        Ok(if echo == line { rest.to_owned() } else { reply })
    }

    /// Types `line` and Enter on COM1.
    ///
    /// # Errors
    ///
    /// The machine has ended.
    pub fn send_line(&mut self, line: &str) -> Result<(), SessionError> {
        let sent = self.link.write_serial(format!("{line}\r").as_bytes());
        sent.map_err(|_| self.ended(&format!("input {line:?} to be taken")))
    }

    /// Waits for the machine to end.
    ///
    /// # Errors
    ///
    /// It does not end within `limit`.
    pub fn wait_exit(&mut self, limit: Duration) -> Result<Outcome, SessionError> {
        match self.wait(Some(limit), |state| state.ended().then_some(())) {
            Ok(()) | Err(Stop::Ended | Stop::TripleFault) => Ok(self.outcome()),
            Err(Stop::TimedOut) => Err(self.timed_out("end of the machine", limit)),
        }
    }

    /// Waits for the machine to end with exactly this outcome.
    ///
    /// # Errors
    ///
    /// It ends differently, or not within `limit`.
    pub fn expect_exit(&mut self, wanted: Outcome, limit: Duration) -> Result<(), SessionError> {
        let got = self.wait_exit(limit)?;
        if got == wanted {
            return Ok(());
        }
        let scene = Box::new(self.scene());
        Err(SessionError::WrongEnd { got, wanted, scene })
    }

    /// All output of COM1 so far.
    #[must_use]
    pub fn transcript(&self) -> Transcript {
        self.lock().serial.clone()
    }

    /// Time from QEMU's start until the last byte of the expected text reached the host.
    #[must_use]
    pub fn time_of_match(&self) -> Duration {
        let at = self.lock().serial.time_of(self.cursor.saturating_sub(1));
        at.unwrap_or_default()
    }

    /// QEMU's log so far: resets, and the items of `Machine::log`.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// QEMU's log file; it is deleted with the session.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.shared.log
    }

    /// QEMU's command line, quoted for a shell.
    #[must_use]
    pub fn command_line(&self) -> &str {
        &self.command
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

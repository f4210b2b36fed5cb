//! How a session reports the outcome of its machine, and how it shuts it down.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::io::Waker;
use super::{Outcome, SHOWN_LINES, Scene, Session, SessionError, Stop};
use crate::transcript::text;

/// Number of lines of QEMU's log in an error: about one CPU's registers.
const SHOWN_LOG_LINES: usize = 24;

/// Time limit for QEMU to report the CPUs' state after a failure.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

impl Session {
    /// Waits without a limit until the machine ends or triple-faults.
    pub fn run_to_end(&self) -> Outcome {
        self.wait_unless_ended(|| None::<()>);
        self.outcome()
    }

    /// Waits without a limit until `ready` returns a value; it is called again after each change by
    /// the machine or a [`Waker`]. `None` if the machine ends first.
    pub fn wait_unless_ended<T>(&self, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
        self.wait(None, |_| ready()).ok()
    }

    /// The waker for waits of this session, for use by other threads.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(self.shared.clone())
    }

    /// The machine's outcome; a triple fault counts as an end before QEMU exits.
    pub(super) fn outcome(&self) -> Outcome {
        let state = self.lock();
        match state.exit {
            Some(status) => Outcome::new(status, state.shutdown_reason(), state.triple_fault),
            None => Outcome::TripleFault,
        }
    }

    pub(super) fn timed_out(&self, what: &str, limit: Duration) -> SessionError {
        let mut scene = self.scene();
        scene.cpus = self.cpus();
        SessionError::TimedOut {
            what: what.to_owned(),
            limit,
            scene: Box::new(scene),
        }
    }

    /// The error for a QEMU that does not respond.
    pub(super) fn silent(&self, what: &str) -> SessionError {
        SessionError::Silent {
            what: what.to_owned(),
            limit: self.timeout,
            scene: Box::new(self.scene()),
        }
    }

    /// The error for a machine that has ended, or is about to: a write to QEMU can fail before its
    /// exit status is known.
    pub(super) fn ended(&self, what: &str) -> SessionError {
        if let Err(Stop::TimedOut) = self.wait(Some(self.timeout), |_| None::<()>) {
            return self.silent("end of QEMU after it closed its sockets");
        }
        let (what, scene) = (what.to_owned(), Box::new(self.scene()));
        match self.outcome() {
            Outcome::TripleFault => SessionError::TripleFault { what, scene },
            outcome => SessionError::Ended {
                outcome,
                what,
                scene,
            },
        }
    }

    pub(super) fn scene(&self) -> Scene {
        let log = self.log();
        let skipped = log.lines().count().saturating_sub(SHOWN_LOG_LINES);
        let mut shown_log: Vec<_> = log.lines().skip(skipped).collect();
        let state = self.lock();
        // The log begins with the registers at power-on, which are irrelevant.
        if !state.triple_fault {
            shown_log.clear();
        }
        Scene {
            serial: state.serial.tail(SHOWN_LINES),
            stderr: text(&state.stderr),
            cpus: String::new(),
            log: shown_log.join("\n"),
            command: self.command.clone(),
        }
    }

    /// The state of every CPU; empty if QEMU does not respond.
    fn cpus(&self) -> String {
        let arguments = json!({ "command-line": "info registers -a" });
        let reply = self.exchange("human-monitor-command", &arguments, REPORT_TIMEOUT);
        let Ok(Ok(registers)) = reply else {
            return String::new();
        };
        let registers = text(registers.as_str().unwrap_or_default().as_bytes());
        let of_interest = |line: &&str| {
            ["CPU#", "RIP=", "EIP=", "CR0=", "RSP="]
                .iter()
                .any(|part| line.contains(part))
        };
        registers
            .lines()
            .filter(of_interest)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Both fail only for a process that has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command line in shell syntax.
pub(super) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    shell_words::join(words.map(|word| word.to_string_lossy()))
}

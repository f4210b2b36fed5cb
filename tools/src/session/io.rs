//! The threads of a session and their shared state.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write, stderr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use serde_json::Value;
use shared_child::SharedChild;

use crate::qmp::{Event, Message, QmpError};
use crate::transcript::Transcript;

/// Destination of a copy of COM1.
pub type Output = Box<dyn Write + Send>;

/// The connection of COM1.
pub(super) enum Console {
    /// The session, which stores all output and may copy it.
    Captured(Option<Output>),
    /// The terminal of this program.
    Terminal,
}

/// The recorded state of a machine. Grows until the machine has ended.
#[derive(Default)]
pub(super) struct State {
    pub(super) greeted: bool,
    pub(super) serial: Transcript,
    pub(super) stderr: Vec<u8>,
    pub(super) events: Vec<Event>,
    pub(super) replies: HashMap<u64, Result<Value, QmpError>>,
    /// Number of resets after which the machine continued.
    pub(super) resets: usize,
    pub(super) triple_fault: bool,
    pub(super) exit: Option<ExitStatus>,
    /// Whether QEMU's messages are copied to standard error once the machine runs.
    messages: Messages,
    /// Number of threads that may still add output.
    readers: usize,
}

/// Whether QEMU's messages are shown, and the number of bytes already shown.
#[derive(Default)]
struct Messages {
    are_wanted: bool,
    has_begun: bool,
    shown: usize,
}

impl State {
    /// Shows the new messages of QEMU.
    fn show_messages(&mut self) {
        if self.messages.are_wanted && self.messages.has_begun {
            let new = &self.stderr[self.messages.shown..];
            // A message that cannot be shown remains in the session.
            let _ = stderr().write_all(new);
            self.messages.shown = self.stderr.len();
        }
    }

    /// Whether QEMU has exited and all its output has been read.
    pub(super) fn ended(&self) -> bool {
        self.exit.is_some() && self.readers == 0
    }

    /// The reason for the machine's shutdown, if QEMU reported it.
    pub(super) fn shutdown_reason(&self) -> Option<&str> {
        let mut shutdowns = self
            .events
            .iter()
            .rev()
            .filter(|event| event.name == "SHUTDOWN");
        shutdowns.next().map(Event::reason)
    }
}

/// The state, and the condition variable for its changes.
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) changed: Condvar,
    /// QEMU's log file.
    pub(super) log: PathBuf,
}

impl Shared {
    pub(super) fn new(log: PathBuf, shows_messages: bool) -> Arc<Self> {
        let mut state = State::default();
        state.messages.are_wanted = shows_messages;
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            log,
        })
    }

    /// Must be called when the machine runs: QEMU's messages are shown from now on, if requested.
    pub(super) fn show_messages(&self) {
        let mut state = self.lock();
        state.messages.has_begun = true;
        state.show_messages();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The state is valid even if a reader panicked: it holds what was read so far.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Runs `read` on its own thread, which must finish before the machine counts as ended.
    fn reader(self: &Arc<Self>, read: impl FnOnce(&Self) + Send + 'static) {
        self.lock().readers += 1;
        let shared = Arc::clone(self);
        thread::spawn(move || {
            read(&shared);
            shared.change(|state| state.readers -= 1);
        });
    }
}

/// Wakes the waits on a session after a change outside of it.
#[derive(Clone)]
pub struct Waker(pub(super) Arc<Shared>);

impl Waker {
    /// Wakes the waits.
    pub fn wake(&self) {
        self.0.change(|_| {});
    }
}

/// This program's ends of the sockets to QEMU.
pub(super) struct Link {
    qmp: UnixStream,
    serial: Option<UnixStream>,
}

impl Link {
    /// Creates the sockets; also returns QEMU's ends, QMP's first.
    pub(super) fn new(console: &Console) -> std::io::Result<(Self, Vec<OwnedFd>)> {
        let (qmp, qemu_end) = UnixStream::pair()?;
        let mut theirs = vec![OwnedFd::from(qemu_end)];
        let serial = match console {
            Console::Terminal => None,
            Console::Captured(_) => {
                let (serial, qemu_end) = UnixStream::pair()?;
                theirs.push(qemu_end.into());
                Some(serial)
            }
        };
        Ok((Self { qmp, serial }, theirs))
    }

    pub(super) fn write_serial(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut serial = self
            .serial
            .as_ref()
            .ok_or(std::io::ErrorKind::NotConnected)?;
        serial.write_all(bytes)
    }

    pub(super) fn write_qmp(&self, line: &[u8]) -> std::io::Result<()> {
        (&self.qmp).write_all(line)
    }

    /// Starts all threads of a session. Times count from `started`; `ended` is called when QEMU
    /// exits.
    pub(super) fn listen(
        &self,
        shared: &Arc<Shared>,
        child: &Arc<SharedChild>,
        console: Console,
        started: Instant,
        ended: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<()> {
        let qmp = BufReader::new(self.qmp.try_clone()?);
        shared.reader(move |shared| read_qmp(qmp, shared));
        if let (Some(serial), Console::Captured(mut copy)) = (&self.serial, console) {
            let serial = serial.try_clone()?;
            shared.reader(move |shared| {
                pump(serial, |piece| {
                    if let Some(to) = &mut copy {
                        // Outputs for which errors matter handle them themselves.
                        let _ = to.write_all(piece).and_then(|()| to.flush());
                    }
                    shared.change(|state| state.serial.push(piece, started.elapsed()));
                });
            });
        }
        if let Some(stderr) = child.take_stderr() {
            shared.reader(move |shared| {
                pump(stderr, |piece| {
                    shared.change(|state| {
                        state.stderr.extend(piece);
                        state.show_messages();
                    });
                });
            });
        }
        let child = Arc::clone(child);
        shared.reader(move |shared| {
            if let Ok(status) = child.wait() {
                ended();
                shared.change(|state| state.exit = Some(status));
            }
        });
        Ok(())
    }
}

/// Passes on the data from `from` until its end.
fn pump(mut from: impl Read, mut to: impl FnMut(&[u8])) {
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(size) => to(&buffer[..size]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            // A reset connection: QEMU has exited.
            Err(_) => return,
        }
    }
}

fn read_qmp(qmp: BufReader<UnixStream>, shared: &Shared) {
    for line in qmp.lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(Message::Greeting { .. }) => shared.change(|state| state.greeted = true),
            Ok(Message::Event(event)) => {
                let reset = event.reason() == "guest-reset";
                let triple_fault = reset && logged_triple_fault(shared);
                shared.change(|state| {
                    state.triple_fault |= triple_fault;
                    state.resets += usize::from(event.name == "RESET");
                    state.events.push(event);
                });
            }
            Ok(Message::Return { value, id }) => {
                shared.change(|state| drop(state.replies.insert(id, Ok(value))));
            }
            Ok(Message::Error {
                error,
                id: Some(id),
            }) => {
                shared.change(|state| drop(state.replies.insert(id, Err(error))));
            }
            // Not part of the protocol; shown with QEMU's other messages after a failure.
            Ok(Message::Error { .. }) | Err(_) => shared.change(|state| {
                state.stderr.extend_from_slice(line.as_bytes());
                state.stderr.push(b'\n');
            }),
        }
    }
}

/// QEMU reports the same reason for a triple fault as for a reset requested by the guest; only its
/// log distinguishes them.
fn logged_triple_fault(shared: &Shared) -> bool {
    let log = std::fs::read(&shared.log).unwrap_or_default();
    log.windows(12).any(|window| window == b"Triple fault")
}

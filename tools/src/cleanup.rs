//! Stops QEMU and removes the temporary files when a signal ends this program.
//!
//! A signal runs no destructors: without this module, Ctrl-C during the tests would leave machines
//! running and their disks in the temporary directory. The [`guard`] handles signals that cannot be
//! caught.

mod guard;

use std::io;
use std::path::PathBuf;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use shared_child::{SharedChild, unix::SharedChildExt as _};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

use guard::Guard;

/// Time limit for all QEMUs together to exit by themselves, which restores the terminal.
const GRACE: Duration = Duration::from_secs(2);

struct Live {
    id: u64,
    /// QEMU, once it has been started.
    child: Option<Arc<SharedChild>>,
    files: PathBuf,
    guard: Guard,
}

/// The last action, after the machines have been stopped.
type ExitHandler = Box<dyn Fn() + Send>;

static LIVE: Mutex<Vec<Live>> = Mutex::new(Vec::new());
static EXIT_HANDLERS: Mutex<Vec<ExitHandler>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(0);
static HANDLER: Once = Once::new();

fn live() -> MutexGuard<'static, Vec<Live>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry in the clean-up list; dropping it removes the entry.
pub(crate) struct Registered(u64);

impl Registered {
    /// Starts QEMU, and adds it to the entry.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Arc<SharedChild>> {
        // Locked for the same reason as for the files.
        let mut live = live();
        let child = Arc::new(SharedChild::spawn(command)?);
        if let Some(entry) = live.iter_mut().find(|entry| entry.id == self.0) {
            entry.child = Some(Arc::clone(&child));
            entry.guard.add(child.id());
        }
        Ok(child)
    }

    /// Returns a function that stops QEMU, callable on any thread.
    pub(crate) fn ended(&self) -> impl FnOnce() + Send + 'static {
        let id = self.0;
        move || {
            if let Some(entry) = live().iter_mut().find(|entry| entry.id == id) {
                entry.guard.forget_process();
            }
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut live = live();
        let own = live.iter().position(|entry| entry.id == self.0);
        let own = own.map(|at| live.swap_remove(at));
        drop(live);
        // Without the lock of the list, because it waits for the guard's exit.
        drop(own);
    }
}

/// Registers `handler` to be called when a signal ends this program, after the machines have been
/// stopped. It must not start a machine.
pub fn before_end(handler: impl Fn() + Send + 'static) {
    watch();
    let mut handlers = EXIT_HANDLERS.lock().unwrap_or_else(PoisonError::into_inner);
    handlers.push(Box::new(handler));
}

/// Creates a directory for a machine's files, and adds it to the list.
pub(crate) fn files() -> io::Result<(TempDir, Registered)> {
    watch();
    // Locked before the creation: a directory that is not in the list would remain after a signal.
    let mut live = live();
    let files = tempfile::Builder::new().prefix("tocsin-").tempdir()?;
    let guard = Guard::of(files.path())?;
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    live.push(Live {
        id,
        child: None,
        files: files.path().to_owned(),
        guard,
    });
    Ok((files, Registered(id)))
}

/// Starts handling signals at the first call.
fn watch() {
    HANDLER.call_once(|| {
        // If signals cannot be handled, a signal ends this program as usual.
        if let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) {
            thread::spawn(move || {
                if let Some(signal) = signals.forever().next() {
                    // The status that a shell reports.
                    end(128 + signal);
                }
            });
        }
    });
}

/// Stops every machine, removes its files, and exits this program with `status`.
pub(crate) fn end(status: i32) -> ! {
    // Locked until the exit: a thread that waits for a machine observes its end, and must not exit
    // the program with a different status. Its session cannot be dropped while the lock is held.
    let mut live = live();
    // Each step fails only if its work is already done.
    let children = || live.iter().filter_map(|entry| entry.child.as_deref());
    for child in children() {
        let _ = child.send_signal(SIGTERM);
    }
    let deadline = Instant::now() + GRACE;
    for child in children() {
        if !matches!(child.wait_deadline(deadline), Ok(Some(_))) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
    for entry in live.drain(..) {
        let _ = std::fs::remove_dir_all(&entry.files);
    }
    let handlers = EXIT_HANDLERS.lock().unwrap_or_else(PoisonError::into_inner);
    for handlers in handlers.iter() {
        handlers();
    }
    process::exit(status)
}

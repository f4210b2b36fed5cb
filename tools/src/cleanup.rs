//! Takes QEMU and the temporary files along when this program is told to end.
//!
//! A signal runs no destructors: without this, Ctrl-C during the tests would leave machines running
//! and their disks in the temporary directory. For signals that cannot be handled, there is the
//! [`guard`].

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

/// How long all QEMUs together may take to end by themselves, which restores the terminal.
const GRACE: Duration = Duration::from_secs(2);

struct Live {
    id: u64,
    /// QEMU, once it was started.
    child: Option<Arc<SharedChild>>,
    files: PathBuf,
    guard: Guard,
}

/// What is done last, when the machines are gone.
type Farewell = Box<dyn Fn() + Send>;

static LIVE: Mutex<Vec<Live>> = Mutex::new(Vec::new());
static FAREWELLS: Mutex<Vec<Farewell>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(0);
static HANDLER: Once = Once::new();

fn live() -> MutexGuard<'static, Vec<Live>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry in the list of what to take along; leaves it when dropped.
pub(crate) struct Registered(u64);

impl Registered {
    /// Starts QEMU, and enters it too.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Arc<SharedChild>> {
        // Held as for the files.
        let mut live = live();
        let child = Arc::new(SharedChild::spawn(command)?);
        if let Some(entry) = live.iter_mut().find(|entry| entry.id == self.0) {
            entry.child = Some(Arc::clone(&child));
            entry.guard.add(child.id());
        }
        Ok(child)
    }

    /// Returns a function for QEMU's end, callable on any thread.
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
        // Not with the list locked: it waits for the guard's end.
        drop(own);
    }
}

/// Has `farewell` called when a signal ends this program, after the machines are gone. It must not
/// start one.
pub fn before_end(farewell: impl Fn() + Send + 'static) {
    watch();
    let mut farewells = FAREWELLS.lock().unwrap_or_else(PoisonError::into_inner);
    farewells.push(Box::new(farewell));
}

/// Makes a directory for a machine's files, and enters it.
pub(crate) fn files() -> io::Result<(TempDir, Registered)> {
    watch();
    // Held from before it is made: what is not entered would outlive a signal.
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

/// Watches for signals, from the first call on.
fn watch() {
    HANDLER.call_once(|| {
        // Where signals cannot be watched, a signal ends this program as it would have anyway.
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

/// Ends every machine, removes its files, and ends this program with `status`.
pub(crate) fn end(status: i32) -> ! {
    // Kept until the exit: whoever waits for a machine sees it end, and must not end the
    // program with another status. Its session cannot be dropped while this is held.
    let mut live = live();
    // Each step fails only where its work is done already.
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
    let farewells = FAREWELLS.lock().unwrap_or_else(PoisonError::into_inner);
    for farewell in farewells.iter() {
        farewell();
    }
    process::exit(status)
}

//! Takes QEMU and the temporary files along when this program is told to end.
//!
//! A signal runs no destructors: without this, Ctrl-C during the tests would
//! leave machines running and their disks in the temporary directory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;
use std::{process, thread};

use shared_child::{SharedChild, unix::SharedChildExt as _};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long QEMU may take to end by itself, which restores the terminal.
const GRACE: Duration = Duration::from_secs(2);

struct Live {
    id: u64,
    child: Arc<SharedChild>,
    files: PathBuf,
}

static LIVE: Mutex<Vec<Live>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(0);
static HANDLER: Once = Once::new();

fn live() -> MutexGuard<'static, Vec<Live>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry in the list of what to take along; leaves it when dropped.
pub(crate) struct Registered(u64);

impl Drop for Registered {
    fn drop(&mut self) {
        live().retain(|entry| entry.id != self.0);
    }
}

/// Enters a running QEMU and its directory of files.
pub(crate) fn register(child: &Arc<SharedChild>, files: &Path) -> Registered {
    HANDLER.call_once(|| {
        // Where signals cannot be watched, a signal ends this program as it would have anyway.
        if let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) {
            thread::spawn(move || {
                if let Some(signal) = signals.forever().next() {
                    end_all(signal);
                }
            });
        }
    });
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let (child, files) = (Arc::clone(child), files.to_owned());
    live().push(Live { id, child, files });
    Registered(id)
}

/// Ends every machine, removes its files, and ends this program as a shell tells of `signal`.
fn end_all(signal: i32) -> ! {
    // Kept until the exit: whoever waits for a machine sees it end, and must not end the
    // program with another status. Its session cannot be dropped while this is held.
    let live = live();
    for entry in live.iter() {
        // Each step fails only where its work is done already.
        let _ = entry.child.send_signal(SIGTERM);
        if !matches!(entry.child.wait_timeout(GRACE), Ok(Some(_))) {
            let _ = entry.child.kill();
        }
        let _ = std::fs::remove_dir_all(&entry.files);
    }
    process::exit(128 + signal)
}

//! Waits until the kernel has finished its work after boot.
//!
//! Under `-icount` one host thread runs all CPUs in turn. Work on another CPU delays the interrupt
//! of a timer until that CPU's turn has ended, and its instructions are counted as lateness.

use std::fs;
use std::io;
use std::ptr;
use std::thread;
use std::time::Duration;

use crate::check;

const WINDOW: Duration = Duration::from_millis(200);

/// Number of consecutive windows in which all CPUs must be idle, and the number of windows after
/// which the measurement begins in any case: a value that includes other work is rejected later.
const IDLE_WINDOWS: usize = 3;
const MAX_WINDOWS: usize = 100;

/// The permitted time of all CPUs together that is not idle, in hundredths of a second. The kernel
/// rounds the time of each CPU to hundredths.
const BUSY: u64 = 2;

/// Waits until all CPUs have been idle for a while.
pub fn wait(cpus: usize) -> io::Result<()> {
    // SAFETY: The strings end with 0, and this file system takes no data.
    let mounted = unsafe {
        let (name, target) = (c"proc".as_ptr(), c"/proc".as_ptr());
        libc::mount(name, target, name, 0, ptr::null())
    };
    check(mounted.into())?;
    let mut quiet = 0;
    let (mut up, mut idle) = times()?;
    for _ in 0..MAX_WINDOWS {
        thread::sleep(WINDOW);
        let now = times()?;
        let busy = ((now.0 - up) * cpus as u64).saturating_sub(now.1 - idle);
        (up, idle) = now;
        quiet = if busy <= BUSY + cpus as u64 {
            quiet + 1
        } else {
            0
        };
        if quiet == IDLE_WINDOWS {
            break;
        }
    }
    Ok(())
}

/// The time since boot, and the idle time of all CPUs together, in hundredths of a second.
fn times() -> io::Result<(u64, u64)> {
    let text = fs::read_to_string("/proc/uptime")?;
    let mut values = text
        .split_whitespace()
        .map(|word| word.replace('.', "").parse().ok());
    match (values.next().flatten(), values.next().flatten()) {
        (Some(up), Some(idle)) => Ok((up, idle)),
        _ => Err(io::Error::other(format!("/proc/uptime says {text:?}"))),
    }
}

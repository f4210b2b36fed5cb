//! Wake-up latency of a thread: from a timer's expiry to the first instruction of the thread that
//! slept, as cyclictest and rtla timerlat measure it.
//!
//! The measuring thread has a real-time priority and its memory is locked. Under load, a thread
//! of normal priority on the same CPU makes system calls that map, fill and unmap memory, and a
//! thread on another CPU interrupts the measured CPU through membarrier.

use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::{PRIVATE_EXPEDITED, SECOND, check, median, membarrier, now, pin, rate, report};

const SAMPLES: usize = 2_000;
const WARM_UP: usize = 50;
const FEWEST: usize = 50;

/// Maximum duration of a series.
const ENOUGH: Duration = Duration::from_secs(10);

/// The time to the deadline in nanoseconds: fixed, and a pseudo-random part, so that the deadlines
/// are not in phase with the kernel's tick.
const SLEEP: i64 = 500_000;
const SPREAD: i64 = 1 << 18;

/// cyclictest's usual priority for one measuring thread on a CPU.
const PRIORITY: i32 = 90;

/// The number of bytes that the load maps and lets the kernel fill.
const COPIED: usize = 64 * 1024;

/// The number of iterations between two interrupts of the load.
const GAP: u32 = 5_000;

/// Measures without load, and with load if there is a CPU for it.
pub fn measure(cpus: usize) -> io::Result<()> {
    // SAFETY: No memory is passed.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT) }.into())?;
    let rate = rate()?;
    let overhead = clock_reading(rate)?;
    let idle = real_time(|| sleeps(rate))?;
    report("wake_idle", overhead, idle);
    if cpus > 1 {
        let load = Load::begin();
        let loaded = real_time(|| sleeps(rate));
        drop(load);
        report("wake_load", overhead, loaded?);
    }
    Ok(())
}

/// Runs `measure` with a real-time priority.
fn real_time<T>(measure: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    schedule(libc::SCHED_FIFO, PRIORITY)?;
    let result = measure();
    schedule(libc::SCHED_OTHER, 0)?;
    result
}

fn schedule(policy: i32, priority: i32) -> io::Result<()> {
    // SAFETY: All zero is a valid value.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority;
    // SAFETY: The parameters are only read.
    let set = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    check(set.into())
}

/// The median time from one reading of the clock to the next, in TSC ticks.
fn clock_reading(rate: f64) -> io::Result<u64> {
    let readings = (0..WARM_UP + SAMPLES).map(|_| {
        let start = now()?;
        Ok(ticks(now()? - start, rate))
    });
    let readings = readings.collect::<io::Result<Vec<_>>>()?;
    Ok(median(readings[WARM_UP..].to_vec()))
}

/// A time in nanoseconds as TSC ticks; 0 if it is negative.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the time is far below 2^53 ns, and the conversion saturates"
)]
fn ticks(time: i64, rate: f64) -> u64 {
    (time as f64 * rate) as u64
}

/// The time from each deadline until the thread runs, in TSC ticks.
fn sleeps(rate: f64) -> io::Result<Vec<u64>> {
    let began = Instant::now();
    let mut samples = Vec::with_capacity(SAMPLES);
    let mut random = 1_i64;
    for round in 0..WARM_UP + SAMPLES {
        random = (random * 1_103_515_245 + 12_345) & 0x7fff_ffff;
        let due = now()? + SLEEP + (random >> 8) % SPREAD;
        let time = libc::timespec {
            tv_sec: due / SECOND,
            tv_nsec: due % SECOND,
        };
        // SAFETY: The time is only read, and the remaining time is not requested.
        let slept = unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &raw const time,
                ptr::null_mut(),
            )
        };
        let late = now()? - due;
        if slept != 0 {
            return Err(io::Error::from_raw_os_error(slept));
        }
        if round >= WARM_UP {
            samples.push(ticks(late, rate));
        }
        if began.elapsed() > ENOUGH && samples.len() >= FEWEST {
            break;
        }
    }
    Ok(samples)
}

/// The load's threads; they end when this is dropped.
struct Load {
    ends: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    /// Starts the threads and waits until they run.
    fn begin() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let running = Arc::new(AtomicUsize::new(0));
        let loads: [(usize, fn()); 2] = [(0, system_calls), (1, interrupts)];
        let threads: Vec<_> = loads
            .into_iter()
            .map(|(cpu, load)| {
                let (ends, running) = (Arc::clone(&ends), Arc::clone(&running));
                thread::spawn(move || {
                    // On another CPU it would be a different load, which the values would show.
                    let _ = pin(cpu);
                    running.fetch_add(1, Ordering::Relaxed);
                    while !ends.load(Ordering::Relaxed) {
                        load();
                        // Under -icount this lets the next CPU run.
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        while running.load(Ordering::Relaxed) < threads.len() {
            thread::yield_now();
        }
        Self { ends, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Maps memory, lets the kernel fill and discard it, and unmaps it.
fn system_calls() {
    let (rights, kind) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: A new mapping, which only this function uses.
    let pages = unsafe { libc::mmap(ptr::null_mut(), COPIED, rights, kind, -1, 0) };
    if pages == libc::MAP_FAILED {
        return;
    }
    // SAFETY: The mapping is as long as this.
    unsafe { libc::getrandom(pages, COPIED, 0) };
    // SAFETY: As above, and there is no pointer into it.
    unsafe { libc::munmap(pages, COPIED) };
}

/// Interrupts the CPUs on which threads of this program run.
fn interrupts() {
    // If the kernel lacks the command, the measurement of membarrier has failed before.
    let _ = membarrier(PRIVATE_EXPEDITED);
    for _ in 0..GAP {
        std::hint::black_box(());
    }
}

//! The only program of the Linux peer: measures what a program can of its kernel's
//! interrupts, lets the module measure the rest, and powers off.
//!
//! A line is: test, samples, then min, median, p90, p99, p99.9 and max in TSC ticks.

mod log;
mod quiet;
mod wake;

use std::arch::asm;
use std::arch::x86_64::_rdtsc;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libc::c_long;

use log::Log;

/// The beginning of a line for the suite.
const MARK: &str = "tocsin-peer: ";

const SAMPLES: usize = 10_000;
const WARM_UP: usize = 500;

/// How long a series may take; where CPUs wait for a host's core it would take minutes.
const ENOUGH: Duration = Duration::from_secs(3);

/// In nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// Of linux/membarrier.h.
const PRIVATE_EXPEDITED: c_long = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: c_long = 1 << 4;

/// How many threads spin.
static SPINNING: AtomicUsize = AtomicUsize::new(0);

fn main() {
    match measure() {
        Ok(()) => println!("{MARK}end"),
        Err(why) => println!("{MARK}trouble {why}"),
    }
    // SAFETY: 1. Nothing is left to be written anywhere.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
    // Without that right there is no going on either: the kernel panics, which ends the machine.
}

fn measure() -> io::Result<()> {
    // SAFETY: 1. The strings end with 0. 2. This file system takes no data.
    let mounted = unsafe {
        let (device, target) = (c"devtmpfs".as_ptr(), c"/dev".as_ptr());
        libc::mount(device, target, device, 0, ptr::null())
    };
    check(c_long::from(mounted))?;
    println!("{MARK}version {}", release()?);
    let mut log = Log::open()?;
    log.pass_on();
    if std::env::var_os("bring_up_only").is_some() {
        return Ok(());
    }
    let cpus = std::thread::available_parallelism()?.get();
    pin(0)?;
    quiet::wait(cpus)?;
    let overhead = median(sampled(|| Ok(()))?);
    let system_call = || {
        invalid_system_call();
        Ok(())
    };
    report("int80", overhead, sampled(system_call)?);
    membarrier(REGISTER_PRIVATE_EXPEDITED)?;
    let barrier = || membarrier(PRIVATE_EXPEDITED);
    let alone = median(sampled(barrier)?);
    wake::measure(cpus)?;
    module(c"stage=1", &mut log)?;
    if cpus > 1 {
        spin(1..2);
        report("membarrier_1", alone, sampled(barrier)?);
        module(c"stage=2", &mut log)?;
        spin(2..cpus);
        report("membarrier_all", alone, sampled(barrier)?);
        report("mprotect", overhead, protections()?);
        module(c"stage=3", &mut log)?;
    }
    Ok(())
}

/// Lets the module measure, if there is one. It writes to the kernel's log, and refuses to stay.
fn module(parameters: &CStr, log: &mut Log) -> io::Result<()> {
    let Ok(module) = File::open("/peer.ko") else {
        return Ok(());
    };
    // SAFETY: 1. The parameters end with 0.
    let loaded = unsafe {
        libc::syscall(
            libc::SYS_finit_module,
            module.as_raw_fd(),
            parameters.as_ptr(),
            0,
        )
    };
    let loaded = check(loaded);
    log.pass_on();
    match loaded {
        Err(why) if why.raw_os_error() == Some(libc::ECANCELED) => Ok(()),
        Err(why) => Err(io::Error::other(format!("the module: {why}"))),
        Ok(()) => Err(io::Error::other("the module stayed")),
    }
}

/// The result of a system call.
fn check(result: c_long) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The kernel's version.
fn release() -> io::Result<String> {
    // SAFETY: 1. Empty strings are names too.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: 1. The names may be written.
    check(c_long::from(unsafe { libc::uname(&raw mut names) }))?;
    // SAFETY: 1. The kernel ends them with 0.
    let release = unsafe { CStr::from_ptr(names.release.as_ptr()) };
    Ok(release.to_string_lossy().into_owned())
}

fn tsc() -> u64 {
    // SAFETY: 1. Every 64-bit CPU has the counter. 2. Linux lets programs read it.
    unsafe { _rdtsc() }
}

/// The times of an action, after some of them for warming up.
fn sampled(action: impl Fn() -> io::Result<()>) -> io::Result<Vec<u64>> {
    repeated(|| {
        let start = tsc();
        action()?;
        Ok(tsc() - start)
    })
}

/// What `once` measured, again and again.
fn repeated(once: impl Fn() -> io::Result<u64>) -> io::Result<Vec<u64>> {
    let began = Instant::now();
    let mut samples = Vec::with_capacity(SAMPLES);
    for round in 0..WARM_UP + SAMPLES {
        let time = once()?;
        let late = began.elapsed() > ENOUGH;
        if round >= WARM_UP || late {
            samples.push(time);
        }
        if late && samples.len() >= 50 {
            break;
        }
    }
    Ok(samples)
}

fn median(mut samples: Vec<u64>) -> u64 {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

fn report(test: &str, overhead: u64, mut samples: Vec<u64>) {
    samples.sort_unstable();
    let count = samples.len();
    let at = |thousandths: usize| {
        let index = (count * thousandths / 1000).min(count - 1);
        samples[index].saturating_sub(overhead).to_string()
    };
    let values = [0, 500, 900, 990, 999, 1000].map(at);
    println!("{MARK}{test} {count} {}", values.join(" "));
}

/// `INT 0x80` with a number that no system call has.
fn invalid_system_call() {
    // SAFETY: 1. The kernel answers with an error in RAX and keeps all else, but R8 to R11,
    // which it clears.
    unsafe {
        asm!("int 0x80", inlateout("rax") 0xffff_u64 => _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
}

fn membarrier(command: c_long) -> io::Result<()> {
    // SAFETY: 1. It touches no memory.
    check(unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) })
}

fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: 1. All zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: 1. Linux has fewer CPUs than the set has room for, or the bit is left out.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: 1. The set is as long as is said.
    check(c_long::from(unsafe {
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
    }))
}

/// Lets a thread spin on each of these CPUs, for good, and waits until they all do.
fn spin(cpus: Range<usize>) {
    let wanted = SPINNING.load(Ordering::Relaxed) + cpus.len();
    // Set on the kernel's command line: the CPUs take turns, and a turn has to end.
    let pauses = std::env::var_os("spin_pause").is_some();
    for cpu in cpus {
        std::thread::spawn(move || {
            // Elsewhere it would disturb, and be seen in the metrics.
            let _ = pin(cpu);
            SPINNING.fetch_add(1, Ordering::Relaxed);
            loop {
                if pauses {
                    std::hint::spin_loop();
                } else {
                    std::hint::black_box(());
                }
            }
        });
    }
    while SPINNING.load(Ordering::Relaxed) < wanted {
        std::thread::yield_now();
    }
}

/// Times of taking the right to write from a page that was just written.
fn protections() -> io::Result<Vec<u64>> {
    const PAGE: usize = 4096;
    let both = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: 1. A new mapping, which nothing else uses.
    let page = unsafe { libc::mmap(ptr::null_mut(), PAGE, both, kind, -1, 0) };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let protect = |rights| {
        // SAFETY: 1. The page is this function's own.
        check(c_long::from(unsafe { libc::mprotect(page, PAGE, rights) }))
    };
    repeated(|| {
        protect(both)?;
        // SAFETY: 1. It may be written now.
        unsafe { page.cast::<u8>().write_volatile(1) };
        let start = tsc();
        protect(libc::PROT_READ)?;
        Ok(tsc() - start)
    })
}

fn now() -> io::Result<i64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: 1. The time may be written.
    check(c_long::from(unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time)
    }))?;
    Ok(time.tv_sec * SECOND + time.tv_nsec)
}

/// TSC ticks in a nanosecond.
fn rate() -> io::Result<f64> {
    let (ns, ticks) = (now()?, tsc());
    while now()? - ns < SECOND / 10 {}
    #[expect(clippy::cast_precision_loss, reason = "both are far below 2^53")]
    Ok((tsc() - ticks) as f64 / (now()? - ns) as f64)
}

//! The fatal cases of `fault` that involve several CPUs: all CPUs panic at once, one panics while
//! others print, and CPUs that an NMI cannot stop.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tocsin::ipi::{jobs, nmi};
use tocsin::panic::stop_cpus;
use tocsin::{cpu, println, smp, time};

/// The timeout after which a CPU continues without the others, in nanoseconds.
const TIMEOUT: u64 = 20_000_000_000;

/// The number of lines that each other CPU prints before one panics.
const LINES: u64 = 20;

static ARRIVED: AtomicU32 = AtomicU32::new(0);
static PRINTED: AtomicU64 = AtomicU64::new(0);

fn others() -> impl Iterator<Item = u32> {
    let own = cpu::current().id();
    smp::all()
        .iter()
        .map(|online| online.cpu.id())
        .filter(move |&cpu| cpu != own)
}

/// All CPUs panic at once.
pub(super) fn panic_all() {
    ARRIVED.store(0, Ordering::Release);
    // Never returns: the jobs do not end.
    let _ = jobs::run_on_all(|cpu| {
        let all = others().count() as u32 + 1;
        ARRIVED.fetch_add(1, Ordering::AcqRel);
        time::wait_until(TIMEOUT, || ARRIVED.load(Ordering::Acquire) >= all);
        let arrived = ARRIVED.load(Ordering::Acquire);
        assert!(
            arrived >= all,
            "CPU {cpu} panics with {arrived} of {all} CPUs"
        );
        panic!("CPU {cpu} panics with all others");
    });
}

/// This CPU panics while all other CPUs print.
pub(super) fn panic_while_printing() {
    static OWN: AtomicU32 = AtomicU32::new(0);
    PRINTED.store(0, Ordering::Relaxed);
    ARRIVED.store(0, Ordering::Relaxed);
    OWN.store(cpu::current().id(), Ordering::Relaxed);
    let _ = jobs::run_on_all(|cpu| {
        if cpu != u64::from(OWN.load(Ordering::Relaxed)) {
            print_for_ever(cpu);
        }
        let all = others().count();
        let has_begun = || ARRIVED.load(Ordering::Relaxed) as usize >= all;
        let enough = || PRINTED.load(Ordering::Relaxed) >= LINES * all as u64;
        time::wait_until(TIMEOUT, || has_begun() && enough());
        assert!(has_begun(), "CPU {cpu} panics, and not all others print");
        panic!("CPU {cpu} panics while others print");
    });
}

fn print_for_ever(cpu: u64) -> ! {
    ARRIVED.fetch_add(1, Ordering::Relaxed);
    loop {
        let number = PRINTED.fetch_add(1, Ordering::Relaxed);
        println!("line {number} by CPU {cpu}, to its end");
    }
}

/// This CPU panics. All other CPUs are in their NMI handlers, where no NMI can stop them, and panic
/// or fault after this CPU has started its panic stop.
pub(super) fn panic_before_others() {
    extern "C" fn fail_after_stop(_: usize) {
        ARRIVED.fetch_add(1, Ordering::AcqRel);
        time::wait_until(TIMEOUT, stop_cpus::is_requested);
        let cpu = cpu::current().id();
        assert!(cpu.is_multiple_of(2), "CPU {cpu} panics after another");
        // SAFETY: #UD is fatal.
        unsafe { asm!("ud2") };
    }
    interrupt_others(fail_after_stop);
    panic!("CPU {} panics before the others", cpu::current().id());
}

/// This CPU panics. All other CPUs stay in their NMI handlers, and cannot be stopped.
pub(super) fn panic_without_response() {
    extern "C" fn stay(_: usize) {
        ARRIVED.fetch_add(1, Ordering::AcqRel);
        loop {
            core::hint::spin_loop();
        }
    }
    interrupt_others(stay);
    panic!(
        "CPU {} panics, and no other CPU responds",
        cpu::current().id()
    );
}

/// Makes all other CPUs call `function` in their NMI handlers, and waits until they do.
fn interrupt_others(function: tocsin::ipi::Callback) {
    ARRIVED.store(0, Ordering::Release);
    for cpu in others() {
        // SAFETY: The functions in this module increment an atomic counter, and do not return.
        if let Err(error) = unsafe { nmi::call(cpu, function, 0) } {
            println!("fault: {error}");
        }
    }
    let all = others().count() as u32;
    time::wait_until(TIMEOUT, || ARRIVED.load(Ordering::Acquire) >= all);
}

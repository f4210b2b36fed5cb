//! Waits for another CPU.
//!
//! All such waits share one loop: waits for called functions, timers and lines. A CPU that waits
//! with interrupts enabled is below the classes of calls and of timer commands, so it takes the
//! interrupts of both. A CPU that waits with interrupts disabled serves both in the loop. So two
//! CPUs that wait for each other serve each other, whatever they wait for.
//!
//! Serving is impossible in a called function and at a higher class, and does not help while the
//! CPU holds an `IrqMutex` for which the other CPU may spin. Those waits are rejected, see
//! `cpu::context::require_wait`.

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use tocsin_logic::units::Nanoseconds;
use x86_64::instructions::interrupts as flag;

use crate::cpu::context::{NOT_SERVING, SERVES_AT};
use crate::cpu::handlers::INTERRUPTS;
use crate::fn_cell::FnCell;
use crate::ipi::call;
use crate::memory::tlb;
use crate::time::{LongWait, POLLS_PER_CHECK, WAIT_LIMIT};
use crate::{cpu, smp};

/// Default number of polls of a waiting CPU before it executes PAUSE and serves calls in its loop;
/// [`set_spin_limit`] changes it. The polls take about as long as a reply. PAUSE is slow on some
/// processors, and slowest under an emulator.
pub const SPIN_LIMIT: u32 = 3000;

static SPIN_COUNT: AtomicU32 = AtomicU32::new(SPIN_LIMIT);

/// Executes pending timer commands of other CPUs on this CPU.
pub(crate) static SERVE_TIMERS: FnCell<fn()> = FnCell::empty();

/// The object of a wait, with the number of the CPU that must act.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Awaited {
    /// The return of a called function on the CPU.
    Call(u32),
    /// The acknowledgement of a request by the CPU.
    Acknowledgement(u32),
    /// A free entry for a call to all CPUs, which any CPU may delay.
    RingEntry,
    /// The removal of the timer with this name.
    Timer(u32, &'static str),
    /// The return of the handlers of the line with this name.
    Line(u32, &'static str),
}

impl Awaited {
    /// The CPU that is waited for.
    fn cpu(self) -> Option<u32> {
        match self {
            Self::RingEntry => None,
            Self::Call(cpu)
            | Self::Acknowledgement(cpu)
            | Self::Timer(cpu, _)
            | Self::Line(cpu, _) => Some(cpu),
        }
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(cpu) => write!(f, "CPU {cpu} to run a called function"),
            Self::Acknowledgement(cpu) => write!(f, "CPU {cpu} to take an interrupt"),
            Self::RingEntry => f.write_str("a free entry in the broadcast ring"),
            Self::Timer(cpu, name) => write!(f, "CPU {cpu} to release the timer `{name}`"),
            Self::Line(cpu, name) => write!(f, "CPU {cpu} to end the interrupts of line {name}"),
        }
    }
}

/// Sets the number of polls of a waiting CPU before it executes PAUSE.
///
/// Use 0 where all CPUs share one thread of an emulator, as under QEMU's `-icount`: there PAUSE
/// lets the other CPUs run, and polling does not.
///
/// Context: any.
pub fn set_spin_limit(count: u32) {
    SPIN_COUNT.store(count, Ordering::Relaxed);
}

/// Waits until `is_done`, which is probably soon: polls without PAUSE at first.
#[inline]
pub(crate) fn spin_until(what: impl FnOnce() -> Awaited, mut is_done: impl FnMut() -> bool) {
    for _ in 0..SPIN_COUNT.load(Ordering::Relaxed) {
        if is_done() {
            return;
        }
    }
    core::hint::spin_loop();
    if !is_done() {
        until(what(), is_done);
    }
}

/// Waits until `is_done`. Logs once if that takes long.
///
/// Context: as [`require_wait`](crate::cpu::context::require_wait) allows, which the caller checks.
#[cold]
#[inline(never)]
pub(crate) fn until(what: Awaited, mut is_done: impl FnMut() -> bool) {
    let must_serve = !flag::are_enabled();
    let mut long_wait = None;
    loop {
        for _ in 0..POLLS_PER_CHECK {
            if is_done() {
                return;
            }
            if must_serve {
                serve();
            }
            core::hint::spin_loop();
        }
        if long_wait.get_or_insert_with(LongWait::new).check() {
            report(what);
        }
    }
}

/// One iteration of a wait whose loop does more than poll.
pub(crate) fn poll(what: Awaited, long_wait: &mut LongWait) {
    if !flag::are_enabled() {
        serve();
    }
    core::hint::spin_loop();
    if long_wait.poll() {
        report(what);
    }
}

/// Serves calls and timer commands from other CPUs on this CPU, whose interrupts are disabled.
#[cold]
fn serve() {
    tlb::serve_requests();
    call::serve_here(cpu::current());
    if let Some(serve) = SERVE_TIMERS.get() {
        serve();
    }
}

/// Runs a called function without an interrupt, in the same context as with one. The priority must
/// be raised to the class of calls.
pub(crate) fn in_call_context(run: impl FnOnce()) {
    let own = cpu::current();
    SERVES_AT
        .of(own)
        .store(INTERRUPTS.of(own).depth(), Ordering::Relaxed);
    run();
    // A wait in a called function is rejected, so no other called function was running here.
    SERVES_AT.of(own).store(NOT_SERVING, Ordering::Relaxed);
}

#[cold]
#[inline(never)]
fn report(what: Awaited) {
    let own = cpu::current().id();
    let waited = Nanoseconds(WAIT_LIMIT);
    let Some(other) = what.cpu() else {
        log::warn!(
            "wait: CPU {own} has waited {waited} for {what} (a CPU does not serve calls; `watchdog on` \
             names it)"
        );
        return;
    };
    let state = State(other);
    log::warn!(
        "wait: CPU {own} has waited {waited} for {what} ({state}; `backtrace {other}` shows where)"
    );
}

/// The state of the CPU with this number, as visible to other CPUs.
pub(crate) struct State(pub(crate) u32);

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_service = smp::find(self.0).and_then(|it| INTERRUPTS.of(it.cpu).innermost());
        match in_service {
            None => f.write_str("it runs a thread"),
            Some(vector) => write!(
                f,
                "it is in a handler of class {} (vector {vector})",
                vector.priority_class()
            ),
        }
    }
}

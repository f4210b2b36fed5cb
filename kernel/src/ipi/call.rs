//! Calls of functions on other CPUs, in an interrupt of class 13.
//!
//! Each CPU has a mailbox, and the machine has one broadcast ring for calls to all CPUs;
//! `tocsin_logic::irq::mailbox` and `tocsin_logic::irq::broadcast` have the protocols. A
//! synchronous call to one CPU or a set lives on the caller's stack. A synchronous call to all CPUs
//! is posted once, at the same cost for any number of CPUs. A call to all other CPUs is one write
//! to the ICR.
//!
//! A called function runs in class [`CLASS`]. Interrupts are enabled, except on a CPU that waits
//! for another CPU with interrupts disabled. The function may take locks like any handler of its
//! class: a waiting CPU holds no lock that such a handler takes.
//!
//! Two CPUs that wait for calls to each other serve each other: see `ipi::wait`. A called function
//! must not wait for another CPU. A CPU must not wait while it holds an `IrqMutex`, because the
//! other CPU may spin for it with interrupts disabled. Both are rejected. A wait for a CPU that
//! keeps its interrupts disabled and serves no calls never ends; the wait is logged, and the
//! watchdog reports that CPU.

use core::fmt;

use tocsin_logic::apic::icr::Destination;
use tocsin_logic::cpu_set::CpuSet;
use tocsin_logic::irq::broadcast::{self, Cursor, Entry, Ring};
use tocsin_logic::irq::context::CALL_CLASS;
use tocsin_logic::irq::mailbox::SyncCall;
use tocsin_logic::vector::{PriorityClass, Vector, fixed};

use crate::cpu::{self, PerCpu, context, handlers};
use crate::ipi::wait::{self, Awaited};
use crate::ipi::{self, Callback, Offline, Targets, physical};
use crate::priority;
use crate::smp::{self, Online};
use crate::sync::without_interrupts;
use crate::trap::call::{self, CALLS};

/// Vector of the call IPI: high, so that calls are handled fast, but below the most urgent
/// interrupts.
pub const VECTOR: Vector = fixed::CALL;

/// Vector of the IPI that signals an entry in the broadcast ring.
pub const BROADCAST_VECTOR: Vector = fixed::CALL_ALL;

/// The priority class of called functions.
pub const CLASS: PriorityClass = CALL_CLASS;

const _: () = assert!(VECTOR.priority_class().get() == CLASS.get());
const _: () = assert!(BROADCAST_VECTOR.priority_class().get() == CLASS.get());

/// Maximum number of pending asynchronous calls of one CPU.
pub const PENDING: usize = call::PENDING;

crate::cpu_local! {
    /// Each CPU's cursor in the broadcast ring.
    static CURSOR: Cursor = Cursor::new();
}

/// Maximum number of CPUs of a set that are called before the caller waits for the first of them.
const BATCH_SIZE: usize = 16;

/// Maximum number of concurrent calls to all CPUs; further callers wait for a free entry.
const RING_SIZE: usize = 16;

/// The name of the operation in reports of a violation.
const OPERATION: &str = "call::sync";

/// The broadcast ring.
static RING: Ring<RING_SIZE> = Ring::new();

/// The reason why a call was not made, or not on all CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "the set may not be allocated: handlers call this"
)]
#[non_exhaustive]
pub enum CallError {
    /// One of the CPUs is not online. No CPU has been called.
    Offline(Offline),
    /// These CPUs have too many calls already and have not been called; all others have.
    Full(CpuSet),
}

impl From<Offline> for CallError {
    fn from(offline: Offline) -> Self {
        Self::Offline(offline)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(offline) => offline.fmt(f),
            Self::Full(cpus) => write!(
                f,
                "CPUs {cpus}: {PENDING} asynchronous calls are pending on each (these CPUs were \
                 not called, all others were; retry with these)"
            ),
        }
    }
}

impl core::error::Error for CallError {}

/// Registers the handlers of calls. Called once, before the first call.
pub(crate) fn set_up() {
    handlers::register(VECTOR, call::handle);
    handlers::register(BROADCAST_VECTOR, handle_broadcast);
}

/// Calls `function` on the CPUs, and does not wait.
///
/// If the calling CPU is among the targets, it gets an interrupt too: the function runs when
/// nothing more urgent is in service there.
///
/// Context: any.
///
/// # Errors
///
/// [`CallError`], with the CPUs that were not called. The caller may retry with those.
#[expect(clippy::result_large_err, reason = "as above")]
pub fn post<'a>(
    targets: impl Into<Targets<'a>>,
    function: Callback,
    argument: usize,
) -> Result<(), CallError> {
    let mut full = None;
    let mut post_to = |target: &Online| {
        let is_posted = CALLS
            .of(target.cpu)
            .post_async(function as usize, argument)
            .is_ok();
        if !is_posted {
            // The number belongs to a CPU, so the set has room for it.
            let _ = full.get_or_insert(CpuSet::EMPTY).insert(target.cpu.id());
        }
        is_posted
    };
    let mut call_one = |target: &Online| {
        if post_to(target) {
            send(physical(target));
        }
    };
    match targets.into() {
        Targets::One(cpu) => call_one(ipi::find(cpu)?),
        Targets::Set(set) => {
            ipi::check(set)?;
            set.iter().filter_map(smp::find).for_each(call_one);
        }
        Targets::Others => {
            for target in ipi::others() {
                post_to(target);
            }
            ipi::signal_others(VECTOR);
        }
        Targets::All => {
            for target in smp::all() {
                post_to(target);
            }
            ipi::signal_all(VECTOR);
        }
    }
    full.map_or(Ok(()), |full| Err(CallError::Full(full)))
}

/// Calls `function` on the CPUs, and waits until it has returned on all of them.
///
/// Context: thread or handler up to class 12. Not in a called function, and not with an `IrqMutex`
/// held.
///
/// If the calling CPU is among the targets, it calls the function directly, with its priority
/// raised to [`CLASS`]. Of a set, at most 16 other CPUs are called at once.
///
/// # Errors
///
/// [`Offline`], if one of the CPUs is not online. No CPU has been called.
///
/// # Panics
///
/// In another context; the message names the rule.
#[expect(
    clippy::inline_always,
    reason = "most callers need one of its arms, which the compiler sees only here"
)]
#[inline(always)]
#[track_caller]
pub fn sync<'a>(
    targets: impl Into<Targets<'a>>,
    function: Callback,
    argument: usize,
) -> Result<(), Offline> {
    // Most callers pass a constant kind of targets, so the compiler keeps only one of these arms.
    match targets.into() {
        Targets::One(cpu) => call_one(cpu, function, argument),
        Targets::Set(set) => call_set(set, function, argument),
        Targets::Others => {
            call_others(function, argument);
            Ok(())
        }
        Targets::All => {
            call_all(function, argument);
            Ok(())
        }
    }
}

/// As [`sync`], for a closure, which may borrow from the caller.
///
/// Context: thread or handler up to class 12. As [`sync`].
///
/// # Errors
///
/// As [`sync`].
///
/// # Panics
///
/// As [`sync`].
#[inline]
#[track_caller]
pub fn run<'a, F>(targets: impl Into<Targets<'a>>, function: F) -> Result<(), Offline>
where
    F: Fn() + Sync,
{
    extern "C" fn enter<F: Fn()>(argument: usize) {
        // SAFETY: The argument is the closure of a caller that does not continue before this
        // function has returned. The closure is `Sync`, so it may be used on this CPU.
        let function = unsafe { &*(argument as *const F) };
        function();
    }
    sync(targets, enter::<F>, &raw const function as usize)
}

/// Calls one CPU, which may be the calling CPU.
#[expect(
    clippy::inline_always,
    reason = "most of its instructions would save and restore registers"
)]
#[inline(always)]
#[track_caller]
fn call_one(cpu: u32, function: Callback, argument: usize) -> Result<(), Offline> {
    let own = cpu::current();
    context::require_wait(own, OPERATION);
    if cpu == own.id() {
        call_here(function, argument);
        return Ok(());
    }
    let target = ipi::find(cpu)?;
    let call = SyncCall::new(function as usize, argument);
    CALLS.of(target.cpu).post(&call);
    send(physical(target));
    wait::spin_until(|| Awaited::Call(cpu), || call.is_done());
    Ok(())
}

/// Calls a set of CPUs, which may contain the calling CPU.
#[inline(never)]
#[track_caller]
fn call_set(set: &CpuSet, function: Callback, argument: usize) -> Result<(), Offline> {
    let own = cpu::current();
    context::require_wait(own, OPERATION);
    ipi::check(set)?;
    let others = set.iter().filter(|&cpu| cpu != own.id());
    let mut others = others.filter_map(smp::find).peekable();
    let mut is_own_due = set.contains(own.id());
    while is_own_due || others.peek().is_some() {
        let calls: [_; BATCH_SIZE] =
            core::array::from_fn(|_| SyncCall::new(function as usize, argument));
        let mut called = [None; BATCH_SIZE];
        for ((call, called), target) in calls.iter().zip(&mut called).zip(&mut others) {
            CALLS.of(target.cpu).post(call);
            send(physical(target));
            *called = Some(target);
        }
        if core::mem::take(&mut is_own_due) {
            call_here(function, argument);
        }
        for (call, target) in calls.iter().zip(called.into_iter().flatten()) {
            wait::spin_until(|| Awaited::Call(target.cpu.id()), || call.is_done());
        }
    }
    Ok(())
}

/// Calls all other CPUs.
#[inline(never)]
#[track_caller]
fn call_others(function: Callback, argument: usize) {
    let own = cpu::current();
    context::require_wait(own, OPERATION);
    post_and_wait(own, function, argument, || ());
}

/// Calls all CPUs.
#[inline(never)]
#[track_caller]
fn call_all(function: Callback, argument: usize) {
    let own = cpu::current();
    context::require_wait(own, OPERATION);
    post_and_wait(own, function, argument, || call_here(function, argument));
}

/// Calls all other CPUs by one IPI, runs `meanwhile`, and waits.
#[inline]
fn post_and_wait(own: PerCpu, function: Callback, argument: usize, meanwhile: impl FnOnce()) {
    let online = smp::by_shorthand();
    if online.len() <= 1 {
        return post_and_wait_in_turn(own, function, argument, meanwhile);
    }
    let entry = post_entry(own, function, argument)
        .unwrap_or_else(|| wait_and_post_entry(own, function, argument));
    ipi::signal(BROADCAST_VECTOR, Destination::Others);
    meanwhile();
    wait_for_all(online, entry);
}

/// As [`post_and_wait`], with one IPI to each CPU, where the shorthand would reach CPUs that are
/// not online.
#[cold]
fn post_and_wait_in_turn(
    own: PerCpu,
    function: Callback,
    argument: usize,
    meanwhile: impl FnOnce(),
) {
    let online = smp::all();
    if online.len() <= 1 {
        return meanwhile();
    }
    let entry = post_entry(own, function, argument)
        .unwrap_or_else(|| wait_and_post_entry(own, function, argument));
    ipi::signal_others_in_turn(BROADCAST_VECTOR);
    meanwhile();
    wait_for_all(online, entry);
}

/// Waits until all CPUs have handled an entry of the broadcast ring, and frees the entry.
#[inline]
fn wait_for_all(online: &[Online], entry: Entry) {
    for target in online {
        let cursor = CURSOR.of(target.cpu);
        if !cursor.has_passed(entry) {
            wait::spin_until(
                || Awaited::Call(target.cpu.id()),
                || cursor.has_passed(entry),
            );
        }
    }
    RING.release(entry);
}

/// Posts to the broadcast ring. Returns `None` if the ring is full.
#[inline(never)]
fn post_entry(own: PerCpu, function: Callback, argument: usize) -> Option<Entry> {
    let cursors = smp::all().iter().map(|it| CURSOR.of(it.cpu));
    // Interrupts are disabled between the two halves of the post: see the protocol.
    without_interrupts(|| RING.post(CURSOR.of(own), &cursors, function as usize, argument)).ok()
}

/// As [`post_entry`], but waits for a free entry.
#[cold]
fn wait_and_post_entry(own: PerCpu, function: Callback, argument: usize) -> Entry {
    // Other CPUs may wait for an entry that this CPU has posted but not signalled.
    ipi::signal_others(BROADCAST_VECTOR);
    let mut entry = None;
    wait::until(Awaited::RingEntry, || {
        entry = post_entry(own, function, argument);
        entry.is_some()
    });
    entry.expect("this was waited for")
}

#[inline]
fn send(destination: Destination) {
    ipi::signal(VECTOR, destination);
}

/// Calls a function on this CPU in the same context as a call from another CPU.
#[inline(never)]
fn call_here(function: Callback, argument: usize) {
    let _raised = priority::raise(CLASS);
    wait::in_call_context(|| function(argument));
}

/// Serves the calls that are pending for this CPU, in a wait with interrupts disabled.
pub(crate) fn serve_here(own: PerCpu) {
    if !CALLS.of(own).is_empty() || RING.has_pending(CURSOR.of(own)) {
        let _raised = priority::raise(CLASS);
        wait::in_call_context(|| serve(own));
    }
}

extern "C" fn handle_broadcast(_: usize, _: u8) {
    serve(cpu::current());
}

fn serve(own: PerCpu) {
    broadcast::serve(CALLS.of(own), &RING, CURSOR.of(own), call::at, call::run);
}

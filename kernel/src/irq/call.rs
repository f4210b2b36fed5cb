//! Calling a function on other CPUs, in an interrupt of class 13.
//!
//! Each CPU has a mailbox of its own, and a word that counts the calls it has answered, which only it
//! writes; `tocsin_logic::irq::mailbox` has the protocol. A call to all others is one write to the
//! ICR.
//!
//! Two CPUs that call each other and wait serve each other: the one that waits answers calls by
//! interrupt, or in the loop where its interrupts are off, its CR8 is high or a handler is in service.
//! What never ends is a wait for a CPU that has its interrupts off and itself waits for something else
//! of the caller's, such as a lock that the caller holds. The watchdog names such a CPU.

use core::fmt;

use tocsin_logic::apic::icr::Destination;
use tocsin_logic::cpu_set::CpuSet;
use tocsin_logic::irq::mailbox::Ticket;
use tocsin_logic::irq::queue::Full;
use tocsin_logic::vector::{PriorityClass, Vector};
use x86_64::instructions::interrupts as flag;

use super::ipi::{self, Offline, Targets, physical};
use super::priority;
use crate::cpu::percpu::CALLS;
use crate::cpu::{self, PerCpu, interrupts};
use crate::hw::control;
use crate::smp::{self, Online};
use crate::sync::without_interrupts;

/// Vector of the IPI: high, so that a call answers fast, but below what is most urgent.
pub const VECTOR: Vector = Vector(0xd0);

/// The class that called functions run at.
pub const CLASS: PriorityClass = VECTOR.priority_class();

/// Posts of one call to many CPUs for which interrupts are off without a break.
const AT_A_TIME: usize = 16;

/// Looks at another CPU's answer before a waiting CPU begins to answer calls in its loop.
const EAGER_LOOKS: u32 = 2;

/// A function that other CPUs can be made to call.
///
/// It runs in class [`CLASS`] with interrupts enabled; or with them disabled, on a CPU that waits for
/// a call of its own with interrupts disabled. It must not wait for calls, and must not take a lock that
/// its CPU may hold while it waits for one.
pub type Function = extern "C" fn(argument: usize);

/// Why a call was not made, or not everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "the set may not be allocated: handlers call this"
)]
pub enum CallError {
    /// One of the CPUs is not online. Nobody has been called.
    Offline(Offline),
    /// For these CPUs too many calls wait already. They have not been called; all others have.
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
                "{CALLS} calls wait already for each of the CPUs {cpus}, which were not called; \
                 all others were"
            ),
        }
    }
}

/// Lets CPUs be called. Once, before any is.
pub(crate) fn set_up() {
    interrupts::register(VECTOR, answer);
}

/// Makes the CPUs call `function`, and does not wait. Any context but NMI and #MC.
///
/// The caller, if it is among them, gets an interrupt too: the function runs when nothing more urgent is
/// in service there.
///
/// # Errors
///
/// [`CallError`], with the CPUs that were not called. Try again with those, or without waiting leave it.
#[expect(clippy::result_large_err, reason = "as above")]
pub fn start<'a>(
    targets: impl Into<Targets<'a>>,
    function: Function,
    argument: usize,
) -> Result<(), CallError> {
    let mut refused = None;
    let mut note_full = |target: &Online| {
        // The number is a CPU's, so there is room for it.
        let _ = refused.get_or_insert(CpuSet::EMPTY).insert(target.cpu.id());
    };
    let mut try_one = |target: &Online| match post(target, function, argument) {
        Ok(_) => send(physical(target)),
        Err(Full { .. }) => note_full(target),
    };
    match targets.into() {
        Targets::One(cpu) => try_one(ipi::find(cpu)?),
        Targets::Set(set) => {
            ipi::check(set)?;
            set.iter().filter_map(smp::find).for_each(try_one);
        }
        Targets::Others => {
            post_to_all(cpu::current(), function, argument, note_full);
            send(Destination::Others);
        }
        Targets::All => {
            post_to_all(core::ptr::null(), function, argument, note_full);
            send(Destination::All);
        }
    }
    refused.map_or(Ok(()), |refused| Err(CallError::Full(refused)))
}

/// Makes the CPUs call `function`, and waits until it has returned everywhere. In a thread or a
/// handler below class 13; not in a called function.
///
/// Where too many calls wait for a CPU, this waits until there is room. The caller, if it is among them,
/// calls the function itself, with its priority raised to [`CLASS`].
///
/// # Errors
///
/// [`Offline`], if one of the CPUs is not online. Nobody has been called.
pub fn and_wait<'a>(
    targets: impl Into<Targets<'a>>,
    function: Function,
    argument: usize,
) -> Result<(), Offline> {
    let own = cpu::current();
    debug_assert!(
        !own.calls.is_serving(),
        "a called function, or a handler that interrupted one, waits for a call"
    );
    match targets.into() {
        Targets::One(cpu) if cpu == own.id() => call_here(function, argument),
        Targets::One(cpu) => {
            let target = ipi::find(cpu)?;
            let ticket = post_at_last(target, function, argument);
            send(physical(target));
            wait_for(own, target, ticket);
        }
        Targets::Set(set) => {
            ipi::check(set)?;
            let others = || {
                let others = set.iter().filter(|&cpu| cpu != own.id());
                others.filter_map(smp::find)
            };
            for target in others() {
                post_at_last(target, function, argument);
                send(physical(target));
            }
            if set.contains(own.id()) {
                call_here(function, argument);
            }
            others().for_each(|target| wait_for(own, target, target.cpu.calls.posted()));
        }
        Targets::Others => call_others(own, function, argument, || ()),
        Targets::All => call_others(own, function, argument, || call_here(function, argument)),
    }
    Ok(())
}

/// As [`and_wait`], for a closure, which may borrow from the caller.
///
/// # Errors
///
/// As [`and_wait`].
pub fn run<'a, F>(targets: impl Into<Targets<'a>>, function: F) -> Result<(), Offline>
where
    F: Fn() + Sync,
{
    extern "C" fn enter<F: Fn()>(argument: usize) {
        // SAFETY: 1. It is the closure of a caller that does not go on before this has returned.
        // 2. It is shared, and so may be used from here.
        let function = unsafe { &*(argument as *const F) };
        function();
    }
    and_wait(targets, enter::<F>, &raw const function as usize)
}

/// Posts to all others, sends one IPI, does `meanwhile`, and waits.
#[inline]
fn call_others(own: &PerCpu, function: Function, argument: usize, meanwhile: impl FnOnce()) {
    post_to_all(own, function, argument, |target| {
        post_later(target, function, argument);
    });
    if online().len() > 1 {
        send(Destination::Others);
    }
    meanwhile();
    for target in others(online(), own) {
        wait_for(own, target, target.cpu.calls.posted());
    }
}

fn online() -> &'static [Online] {
    smp::online().map_or(&[], |cpus| &cpus.online)
}

/// All of these CPUs but the own one.
fn others<'a>(online: &'a [Online], own: &PerCpu) -> impl Iterator<Item = &'a Online> {
    // By address: the numbers lie in the other CPUs' cache lines.
    online
        .iter()
        .filter(move |online| !core::ptr::eq(online.cpu, own))
}

/// Posts to all CPUs that are online, but to `own`; calls `full` for those that have no room.
#[inline]
fn post_to_all(
    own: *const PerCpu,
    function: Function,
    argument: usize,
    mut full: impl FnMut(&'static Online),
) {
    for some in online().chunks(AT_A_TIME) {
        // A bit for each refusal.
        let mut refused = 0_u32;
        // Off for the two halves of each post: see the protocol.
        without_interrupts(|| {
            for (target, bit) in some.iter().zip(0..) {
                let is_own = core::ptr::eq(target.cpu, own);
                if !is_own && target.cpu.calls.post(function as usize, argument).is_err() {
                    refused |= 1 << bit;
                }
            }
        });
        if refused != 0 {
            let refused = (0..).zip(some).filter(|(bit, _)| refused & 1 << bit != 0);
            refused.for_each(|(_, target)| full(target));
        }
    }
}

/// Posts a call, which still must be signalled.
#[inline]
fn post(target: &Online, function: Function, argument: usize) -> Result<Ticket, Full> {
    // Off for the two halves of the post: see the protocol.
    without_interrupts(|| target.cpu.calls.post(function as usize, argument))
}

/// As [`post`], when there is room.
#[inline]
fn post_at_last(target: &Online, function: Function, argument: usize) -> Ticket {
    match post(target, function, argument) {
        Ok(ticket) => ticket,
        Err(_) => post_later(target, function, argument),
    }
}

/// Posts to a CPU for which too many calls wait.
#[cold]
fn post_later(target: &Online, function: Function, argument: usize) -> Ticket {
    let own = cpu::current();
    // Others may wait for what this call has posted already but not signalled, and be waited for.
    send(Destination::Others);
    loop {
        if is_blocked(own) {
            serve_here(own);
        }
        core::hint::spin_loop();
        if let Ok(ticket) = post(target, function, argument) {
            return ticket;
        }
    }
}

#[inline]
fn send(destination: Destination) {
    ipi::signal(VECTOR, destination);
}

/// Calls a function in the context that it would have as a call of another CPU's.
fn call_here(function: Function, argument: usize) {
    let _raised = priority::raise(CLASS);
    function(argument);
}

#[inline]
fn wait_for(own: &PerCpu, target: &Online, ticket: Ticket) {
    let mut looks = 0_u32;
    while !target.cpu.calls.is_done(ticket) {
        core::hint::spin_loop();
        // Most answers come before it is worth asking whether calls can come in.
        looks += 1;
        if looks > EAGER_LOOKS && is_blocked(own) {
            serve_here(own);
        }
    }
}

/// Whether calls may not reach this CPU by interrupt until the running code goes on.
#[cold]
fn is_blocked(own: &PerCpu) -> bool {
    own.interrupts.depth() > 0 || !flag::are_enabled() || control::priority_class() >= CLASS
}

/// Answers the calls that wait for this CPU, from within a wait.
#[cold]
fn serve_here(own: &PerCpu) {
    if !own.calls.is_empty() {
        let _raised = priority::raise(CLASS);
        serve(own);
    }
}

extern "C" fn answer(_: usize, _: u8) {
    serve(cpu::current());
}

#[inline]
fn serve(own: &PerCpu) {
    own.calls.serve(|call| {
        // SAFETY: 1. Only `Function`s are posted.
        let function = unsafe { core::mem::transmute::<usize, Function>(call.function) };
        function(call.argument);
    });
}

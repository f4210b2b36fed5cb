//! What a timer is in memory: its function, its times, and the commands that reach it.
//!
//! A node is used by its owner, the CPU whose queue it is in, with that CPU's priority raised to
//! the timers' class: owner only, and no lock. Others read its counts, and give it commands.
//!
//! Whether its function runs, and who frees it, is [`Turns`]'s to say.

use alloc::boxed::Box;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use tocsin_logic::irq::timers::Id;
use tocsin_logic::irq::turns::{Finish, Release, Request as Turn, Turns};

use super::inbox::{Command, Request};
use super::{Expiry, Mode, Row, queue};
use crate::irq::deferred;
use crate::{cpu, time};

/// When a timer that could not be deferred, because too much waits, is tried again, in nanoseconds.
const RETRY: u64 = 100_000;

/// The time of what does not fire.
pub(super) const NEVER: u64 = u64::MAX;

/// The part of a timer that does not depend on its function's type.
#[repr(C)]
pub(super) struct Node {
    /// Fires: see [`run_now`] and [`put_off`].
    pub(super) fire: unsafe fn(NonNull<Node>, missed: u64),
    /// Owner only: the period in TSC cycles, rounded down, or `u64::MAX`. For a quick look only.
    pub(super) period_cycles: Cell<u64>,
    /// Owner only: whether `id` is the one that has just fired and is still in the queue.
    pub(super) firing: Cell<bool>,
    turns: Turns,
    /// Owner only: where it is in the queue.
    pub(super) id: Cell<Option<Id>>,
    /// When it fires, in nanoseconds since the kernel began, or [`NEVER`].
    pub(super) next: AtomicU64,
    /// In nanoseconds; 0 if it fires once.
    pub(super) period: AtomicU64,
    /// How often its function has been called.
    pub(super) fired: AtomicU64,
    /// How many periods passed without a call.
    pub(super) missed: AtomicU64,
    /// Owner only: takes no more commands.
    pub(super) closed: Cell<bool>,
    /// Owner only: what a deferred function is told.
    deadline: Cell<u64>,
    missed_since: Cell<u64>,

    pub(super) name: &'static str,
    /// Number of the owner.
    pub(super) cpu: u32,
    pub(super) request: Request,
    work: unsafe fn(NonNull<Node>),
    free: unsafe fn(NonNull<Node>),
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name)
            .field("cpu", &self.cpu)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// What others may know of it.
    pub(super) fn row(&self) -> Row {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Row {
            cpu: self.cpu,
            name: self.name,
            next: Some(load(&self.next)).filter(|&next| next != NEVER),
            period: Some(load(&self.period)).filter(|&period| period != 0),
            fired: load(&self.fired),
            missed: load(&self.missed),
        }
    }
}

/// A node with its function, which only the owner calls, one call at a time.
#[repr(C)]
struct Whole<F> {
    node: Node,
    function: UnsafeCell<F>,
}

/// Makes a node that nothing points to yet.
pub(super) fn make<F>(name: &'static str, cpu: u32, mode: Mode, function: F) -> NonNull<Node>
where
    F: FnMut(&Expiry<'_>) + Send + 'static,
{
    let node = Node {
        fire: match mode {
            Mode::Interrupt => run_now::<F>,
            Mode::Deferred => put_off,
        },
        period_cycles: Cell::new(u64::MAX),
        firing: Cell::new(false),
        turns: Turns::new(),
        id: Cell::new(None),
        next: AtomicU64::new(NEVER),
        period: AtomicU64::new(0),
        fired: AtomicU64::new(0),
        missed: AtomicU64::new(0),
        closed: Cell::new(false),
        deadline: Cell::new(0),
        missed_since: Cell::new(0),
        name,
        cpu,
        request: Request::new(),
        work: work::<F>,
        free: free::<F>,
    };
    let whole = Box::new(Whole {
        node,
        function: UnsafeCell::new(function),
    });
    NonNull::from(Box::leak(whole)).cast()
}

/// Fires in the interrupt: calls the function.
///
/// # Safety
///
/// On the owner, in the timers' class; the node is a `Whole<F>`, not freed before [`finish`].
unsafe fn run_now<F: FnMut(&Expiry<'_>)>(pointer: NonNull<Node>, missed: u64) {
    // SAFETY: 1. Passed on to the caller.
    let node = unsafe { pointer.as_ref() };
    node.turns.begin();
    let expiry = Expiry::new(pointer, node.next.load(Ordering::Relaxed), missed);
    // SAFETY: 1. As above. 2. An interrupt of this class does not come while it is in service, so
    // nobody else has the function.
    unsafe { call::<F>(pointer, &expiry) };
    add(&node.fired, 1);
}

/// Ends what [`Node::fire`] began. The node may be gone then.
///
/// # Safety
///
/// On the owner, in the timers' class, once after each `fire`.
pub(super) unsafe fn finish(pointer: NonNull<Node>) {
    // SAFETY: 1. Passed on to the caller.
    let node = unsafe { pointer.as_ref() };
    if node.turns.end() {
        // SAFETY: 1. The timer is gone, and left the node to this.
        unsafe { (node.free)(pointer) };
    }
}

/// Fires by leaving the function to deferred work.
///
/// # Safety
///
/// On the owner, in the timers' class; the node is not freed.
unsafe fn put_off(pointer: NonNull<Node>, missed: u64) {
    // SAFETY: 1. Passed on to the caller.
    let node = unsafe { pointer.as_ref() };
    let deadline = node.next.load(Ordering::Relaxed);
    let tell = |missed| {
        node.deadline.set(deadline);
        node.missed_since.set(node.missed_since.get() + missed);
    };
    match node.turns.request() {
        Turn::Defer => {
            if deferred::defer(run_later, pointer.as_ptr() as usize).is_ok() {
                return tell(missed);
            }
            node.turns.refuse();
            if node.period.load(Ordering::Relaxed) == 0 {
                // Not lost, only late.
                let command = Command::Arm {
                    deadline: time::nanoseconds().saturating_add(RETRY),
                    period: 0,
                };
                queue::local(|queue| queue.execute(pointer, command));
                return;
            }
        }
        Turn::Again => return tell(missed),
        Turn::Waits => {}
    }
    add(&node.missed, 1);
    tell(missed + 1);
}

/// The deferred work of a timer: in class 2, on the owner.
extern "C" fn run_later(pointer: usize) {
    let Some(pointer) = NonNull::new(pointer as *mut Node) else {
        return;
    };
    // SAFETY: 1. Until the function has run, only this frees the node.
    let node = unsafe { pointer.as_ref() };
    // SAFETY: 1. This is its turn.
    unsafe { (node.work)(pointer) };
}

/// Calls the function, unless the timer is gone, and ends the call: it is idle, deferred again, or freed.
///
/// # Safety
///
/// On the owner; the node is a `Whole<F>`, and was deferred.
unsafe fn work<F: FnMut(&Expiry<'_>)>(pointer: NonNull<Node>) {
    // SAFETY: 1. Until the function has run, only this frees the node.
    let node = unsafe { pointer.as_ref() };
    while node.turns.start() {
        let expiry =
            queue::local(|_| Expiry::new(pointer, node.deadline.get(), node.missed_since.take()));
        // SAFETY: 1. Passed on to the caller. 2. It has started, so nobody else has the function.
        unsafe { call::<F>(pointer, &expiry) };
        add(&node.fired, 1);
        match node.turns.finish() {
            Finish::Idle => return,
            // Behind other work, so that this does not keep it waiting; or at once, if there is no room.
            Finish::Queued => {
                if deferred::defer(run_later, pointer.as_ptr() as usize).is_ok() {
                    return;
                }
            }
            Finish::Dead => break,
        }
    }
    // SAFETY: 1. The timer is gone, and left the node to this.
    unsafe { (node.free)(pointer) };
}

/// # Safety
///
/// The node is a `Whole<F>`, and nobody else has the function.
#[inline]
unsafe fn call<F: FnMut(&Expiry<'_>)>(pointer: NonNull<Node>, expiry: &Expiry<'_>) {
    // SAFETY: 1. Passed on to the caller. 2. The pointer was made from one to the whole.
    let whole = unsafe { pointer.cast::<Whole<F>>().as_ref() };
    // SAFETY: 1. Passed on to the caller.
    let function = unsafe { &mut *whole.function.get() };
    function(expiry);
}

/// # Safety
///
/// The node is a `Whole<F>`, which nobody uses any more.
unsafe fn free<F>(pointer: NonNull<Node>) {
    // SAFETY: 1. It came from `Box::leak`, and the caller has it alone.
    drop(unsafe { Box::from_raw(pointer.cast::<Whole<F>>().as_ptr()) });
}

/// Frees a closed node as soon as its function does not run: now, or when the function returns
/// where it cannot be waited for. Then nobody runs the function on another CPU.
///
/// # Safety
///
/// The timer is closed, and the caller does not use the node any more.
#[inline(never)]
pub(super) unsafe fn release(pointer: NonNull<Node>) {
    // SAFETY: 1. Nothing but the lines below lets anybody free it.
    let node = unsafe { pointer.as_ref() };
    let is_here = node.cpu == cpu::current().id();
    let mut wait = super::Wait::new(node.cpu, node.name);
    loop {
        match node.turns.release(is_here) {
            // SAFETY: 1. It is closed, so it does not fire again. 2. Its function does not run.
            Release::Free => return unsafe { (node.free)(pointer) },
            Release::Left => return,
            Release::Wait => wait.turn(),
        }
    }
}

/// Adds to a count that only the owner writes.
pub(super) fn add(count: &AtomicU64, more: u64) {
    let sum = count.load(Ordering::Relaxed).wrapping_add(more);
    count.store(sum, Ordering::Relaxed);
}

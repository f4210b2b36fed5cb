//! The memory of a timer: its function, its times, and its slot for commands.
//!
//! Only the owner, the CPU whose queue the node is in, changes it, with its priority raised to the
//! timers' class; so no lock is needed. Other CPUs read its counts and write commands to its slot.
//!
//! [`Arming`] decides whether the function is called; [`Turns`] records whether it runs, and which
//! CPU frees the node.

use alloc::boxed::Box;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tocsin_logic::irq::arming::{Arming, Claim, Number};
use tocsin_logic::irq::context::{Level, Limit, WAIT_CLASS};
use tocsin_logic::irq::mailbox::Call;
use tocsin_logic::irq::timers::Id;
use tocsin_logic::irq::turns::{Finish, Release, Request as Turn, Turns};

use tocsin_logic::vector::PriorityClass;

use crate::cpu::context;
use crate::deferred;
use crate::ipi::wait::{self, Awaited};
use crate::time::{self, LongWait};
use crate::timer::{Expiry, Mode, Row, queue};

/// Time after which the kernel retries to defer a timer's function because the queue was full, in
/// nanoseconds.
const RETRY: u64 = 100_000;

/// The deadline of a timer that does not fire.
pub(super) const NEVER: u64 = u64::MAX;

/// The latest deadline, in nanoseconds since the kernel started.
pub(super) const LATEST: u64 = NEVER - 1;

/// The part of a timer that does not depend on its function's type.
#[repr(C)]
pub(super) struct Node {
    /// The function that fires the timer: [`run_now`] or [`put_off`].
    pub(super) fire: unsafe fn(NonNull<Node>, missed: u64),
    /// Owner only: the period in TSC cycles, rounded down, or `u64::MAX`. For a fast check only.
    pub(super) period_cycles: Cell<u64>,
    /// Owner only: whether the timer with ID `id` has just fired and is still in the queue.
    pub(super) firing: Cell<bool>,
    turns: Turns,
    /// Owner only: the claim for the next call of its function.
    pub(super) claim: Cell<Claim>,
    pub(super) arming: Arming,
    /// Owner only: the number of the handle's command to which the queue and the fields below
    /// belong.
    pub(super) number: Cell<Number>,
    /// Owner only: the timer's ID in the queue.
    pub(super) id: Cell<Option<Id>>,
    /// The time at which the timer fires, in nanoseconds since the kernel started, or [`NEVER`].
    pub(super) next: AtomicU64,
    /// The period in nanoseconds; 0 if it fires once.
    pub(super) period: AtomicU64,
    /// The number of calls of its function.
    pub(super) fired: AtomicU64,
    /// The number of periods without a call.
    pub(super) missed: AtomicU64,
    /// Whether the owner has removed the timer from the queue permanently. Set only for a handle
    /// that waits for the removal.
    pub(super) closed: AtomicBool,
    /// Owner only: the command for which the function is deferred, and its arguments.
    deferred: Cell<Number>,
    deadline: Cell<u64>,
    missed_since: Cell<u64>,

    pub(super) name: &'static str,
    /// The number of the owner.
    pub(super) cpu: u32,
    mode: Mode,
    /// The notification to the owner that there is a command.
    pub(super) told: Call,
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
    /// Whether the running code may wait until the function returns: only below the function's
    /// class, where the code holds no lock that the function takes and may wait for another CPU.
    pub(super) fn can_be_waited_for(&self) -> bool {
        let limit = match self.mode {
            Mode::Interrupt => WAIT_CLASS,
            Mode::Deferred => PriorityClass::LOWEST,
        };
        Limit::Level(Level::Class(limit)).allows(context::current())
    }

    /// Withdraws a call for an expiry during the function's run, because the function has set its
    /// next deadline. On the owner, at the timers' class.
    pub(super) fn withdraw_second_run(&self) {
        if self.turns.withdraw() {
            self.missed_since.set(0);
        }
    }

    /// The state for lists of timers.
    pub(super) fn row(&self) -> Row {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Row {
            cpu: self.cpu,
            name: self.name,
            next: Some(load(&self.next)).filter(|&next| next != NEVER && self.arming.is_started()),
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

/// Creates a node without other pointers to it.
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
        claim: Cell::new(Claim::new(Number::FIRST, true)),
        arming: Arming::new(),
        number: Cell::new(Number::FIRST),
        id: Cell::new(None),
        next: AtomicU64::new(NEVER),
        period: AtomicU64::new(0),
        fired: AtomicU64::new(0),
        missed: AtomicU64::new(0),
        closed: AtomicBool::new(false),
        deferred: Cell::new(Number::FIRST),
        deadline: Cell::new(0),
        missed_since: Cell::new(0),
        name,
        cpu,
        mode,
        told: Call::free(),
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
    // SAFETY: The caller guarantees it.
    let node = unsafe { pointer.as_ref() };
    let claim = node.claim.get();
    if !node.arming.claim(claim) {
        return remove_stale(pointer);
    }
    node.turns.begin();
    let expiry = Expiry::new(
        pointer,
        claim.number(),
        node.next.load(Ordering::Relaxed),
        missed,
    );
    // SAFETY: As above. No interrupt of this class arrives while one is in service, so there is no
    // other reference to the function.
    unsafe { call::<F>(pointer, &expiry) };
    add(&node.fired, 1);
}

/// Removes a timer from the queue that another CPU has cancelled or started again in the meantime.
#[cold]
#[inline(never)]
fn remove_stale(pointer: NonNull<Node>) {
    queue::local(|queue| queue.insert(pointer, NEVER, 0));
}

/// Completes a call of [`Node::fire`]. The node may be freed by this.
///
/// # Safety
///
/// On the owner, in the timers' class, once after each `fire`.
pub(super) unsafe fn finish(pointer: NonNull<Node>) {
    // SAFETY: The caller guarantees it.
    let node = unsafe { pointer.as_ref() };
    if node.turns.end() {
        // SAFETY: The timer has been dropped and has left the node to this call.
        unsafe { free_later(pointer) };
    }
}

/// Fires by deferring the function.
///
/// # Safety
///
/// On the owner, in the timers' class; the node is not freed.
unsafe fn put_off(pointer: NonNull<Node>, missed: u64) {
    // SAFETY: The caller guarantees it.
    let node = unsafe { pointer.as_ref() };
    let number = node.number.get();
    if !node.arming.is_due(number) {
        return remove_stale(pointer);
    }
    node.deferred.set(number);
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
                // The expiry is not lost, only late.
                let deadline = time::nanoseconds().saturating_add(RETRY);
                return queue::local(|queue| queue.insert(pointer, deadline, 0));
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
    // SAFETY: Until the function has run, only this function frees the node.
    let node = unsafe { pointer.as_ref() };
    // SAFETY: The node was deferred, and this is the call for that.
    unsafe { (node.work)(pointer) };
}

/// Calls the function, unless the timer has been dropped, cancelled or started again in the
/// meantime. Afterwards the node is idle, deferred again, or freed.
///
/// # Safety
///
/// On the owner; the node is a `Whole<F>`, and was deferred.
unsafe fn work<F: FnMut(&Expiry<'_>)>(pointer: NonNull<Node>) {
    // SAFETY: Until the function has run, only this function frees the node.
    let node = unsafe { pointer.as_ref() };
    while node.turns.start() {
        let expiry = queue::local(|_| {
            let number = node.deferred.get();
            let missed = node.missed_since.take();
            let expiry = Expiry::new(pointer, number, node.deadline.get(), missed);
            let once = node.period.load(Ordering::Relaxed) == 0;
            let claim = Claim::new(number, once);
            node.arming.claim(claim).then_some(expiry)
        });
        if let Some(expiry) = expiry {
            // SAFETY: The caller guarantees the type. The run has started, so there is no other
            // reference to the function.
            unsafe { call::<F>(pointer, &expiry) };
            add(&node.fired, 1);
        }
        match node.turns.finish() {
            Finish::Idle => return,
            // Queued behind other work, so as not to delay it; run at once, if the queue is full.
            Finish::Queued => {
                if deferred::defer(run_later, pointer.as_ptr() as usize).is_ok() {
                    return;
                }
            }
            Finish::Dead => break,
        }
    }
    // SAFETY: The timer has been dropped and has left the node to this call.
    unsafe { (node.free)(pointer) };
}

/// # Safety
///
/// The node is a `Whole<F>`, and there is no other reference to the function.
#[inline]
unsafe fn call<F: FnMut(&Expiry<'_>)>(pointer: NonNull<Node>, expiry: &Expiry<'_>) {
    // SAFETY: The caller guarantees it. The pointer was made from one to the whole.
    let whole = unsafe { pointer.cast::<Whole<F>>().as_ref() };
    // SAFETY: The caller guarantees it.
    let function = unsafe { &mut *whole.function.get() };
    function(expiry);
}

/// # Safety
///
/// The node is a `Whole<F>`, and is not used any more.
unsafe fn free<F>(pointer: NonNull<Node>) {
    // SAFETY: It came from `Box::leak`, and the caller has the only pointer that is still used.
    drop(unsafe { Box::from_raw(pointer.cast::<Whole<F>>().as_ptr()) });
}

/// Frees a closed node as soon as its function does not run: now, or when the function returns, if
/// the running code may have interrupted it.
///
/// # Safety
///
/// On the owner. The timer is closed, and the node is not used elsewhere any more.
pub(super) unsafe fn release_here(pointer: NonNull<Node>) {
    // SAFETY: The caller guarantees it.
    let node = unsafe { pointer.as_ref() };
    match node.turns.release(true) {
        // SAFETY: The timer is closed, so it does not fire again. Its function does not run.
        Release::Free => unsafe { (node.free)(pointer) },
        Release::Left | Release::Wait => {}
    }
}

/// As [`release_here`], for a timer that another CPU has dropped: frees it in the lowest class, so
/// that the values that its function owns are not dropped in a handler of the timers' class.
///
/// # Safety
///
/// As [`release_here`].
pub(super) unsafe fn release_left(pointer: NonNull<Node>) {
    // SAFETY: The caller guarantees it.
    let node = unsafe { pointer.as_ref() };
    match node.turns.release(true) {
        // SAFETY: The timer is closed, so it does not fire again. Its function does not run.
        Release::Free => unsafe { free_later(pointer) },
        Release::Left | Release::Wait => {}
    }
}

/// Frees a node that has never been started.
///
/// # Safety
///
/// There is no other pointer to the node.
pub(super) unsafe fn discard(pointer: NonNull<Node>) {
    // SAFETY: The caller guarantees it.
    let free = unsafe { pointer.as_ref() }.free;
    // SAFETY: The caller guarantees it.
    unsafe { free(pointer) };
}

/// Waits until the function of a closed node does not run, and frees the node. If the function is
/// only deferred, the owner frees it.
///
/// # Safety
///
/// On another CPU than the owner. The timer is closed, and the caller does not use the node any
/// more.
pub(super) unsafe fn release_there(pointer: NonNull<Node>) {
    // SAFETY: The node is freed only after `release` below has permitted it.
    let node = unsafe { pointer.as_ref() };
    let mut long_wait = LongWait::new();
    loop {
        match node.turns.release(false) {
            // SAFETY: The timer is closed, so it does not fire again. Its function does not run.
            Release::Free => return unsafe { (node.free)(pointer) },
            Release::Left => return,
            Release::Wait => wait::poll(Awaited::Timer(node.cpu, node.name), &mut long_wait),
        }
    }
}

/// Frees a node in the lowest class, so that the values that its function owns are not dropped in a
/// handler of the timers' class; at once, if the queue of deferred work is full.
///
/// # Safety
///
/// The node is not used any more.
unsafe fn free_later(pointer: NonNull<Node>) {
    let argument = pointer.as_ptr() as usize;
    if deferred::defer(free_now, argument).is_err() {
        free_now(argument);
    }
}

/// The deferred function of [`free_later`].
extern "C" fn free_now(pointer: usize) {
    let Some(pointer) = NonNull::new(pointer as *mut Node) else {
        return;
    };
    // SAFETY: The node is not freed yet.
    let free = unsafe { pointer.as_ref() }.free;
    // SAFETY: The node is not used elsewhere: see `free_later`.
    unsafe { free(pointer) };
}

/// Adds to a count that only the owner writes.
pub(super) fn add(count: &AtomicU64, more: u64) {
    let sum = count.load(Ordering::Relaxed).wrapping_add(more);
    count.store(sum, Ordering::Relaxed);
}

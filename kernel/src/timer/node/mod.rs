//! The memory of a timer: its function, its times, and its slot for commands.
//!
//! Only the owner, the CPU whose queue the node is in, changes it, with its priority raised to the
//! timers' class; so no lock is needed. Other CPUs read its counts and write commands to its slot.
//!
//! [`Arming`] decides whether the function is called; [`CallbackState`] records whether it runs,
//! and which CPU frees the node.

mod call;
mod release;

use alloc::boxed::Box;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tocsin_logic::irq::arming::{Arming, Claim, Number};
use tocsin_logic::irq::callback::CallbackState;
use tocsin_logic::irq::context::{Level, Limit, WAIT_CLASS};
use tocsin_logic::irq::mailbox::Call;
use tocsin_logic::irq::timers::Id;
use tocsin_logic::vector::PriorityClass;

use crate::cpu::context;
use crate::timer::{Expiry, Mode, Snapshot};

pub(super) use call::finish;
pub(super) use release::{discard, release_for_dropper, release_from_other_cpu, release_on_owner};

/// The deadline of a timer that does not fire.
pub(super) const NEVER: u64 = u64::MAX;

/// The latest deadline, in nanoseconds since the kernel started.
pub(super) const LATEST: u64 = NEVER - 1;

/// The part of a timer that does not depend on its function's type.
#[repr(C)]
pub(super) struct Node {
    /// The function that fires the timer: [`call::fire_now`] or [`call::defer_call`].
    pub(super) fire: unsafe fn(NonNull<Node>, missed: u64),
    /// Owner only: the period in TSC cycles, rounded down, or `u64::MAX`. For a fast check only.
    pub(super) period_cycles: Cell<u64>,
    /// Owner only: whether the timer with ID `id` has just fired and is still in the queue.
    pub(super) firing: Cell<bool>,
    callback: CallbackState,
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
    pub(super) notification: Call,
    run: unsafe fn(NonNull<Node>),
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
    pub(super) fn withdraw_rerun(&self) {
        if self.callback.withdraw() {
            self.missed_since.set(0);
        }
    }

    /// The state for lists of timers.
    pub(super) fn snapshot(&self) -> Snapshot {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Snapshot {
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
struct TypedNode<F> {
    node: Node,
    function: UnsafeCell<F>,
}

/// Creates a node without other pointers to it.
pub(super) fn allocate<F>(name: &'static str, cpu: u32, mode: Mode, function: F) -> NonNull<Node>
where
    F: FnMut(&Expiry<'_>) + Send + 'static,
{
    let node = Node {
        fire: match mode {
            Mode::Interrupt => call::fire_now::<F>,
            Mode::Deferred => call::defer_call,
        },
        period_cycles: Cell::new(u64::MAX),
        firing: Cell::new(false),
        callback: CallbackState::new(),
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
        notification: Call::free(),
        run: call::run::<F>,
        free: release::free::<F>,
    };
    let typed = Box::new(TypedNode {
        node,
        function: UnsafeCell::new(function),
    });
    NonNull::from(Box::leak(typed)).cast()
}

/// Adds to a count that only the owner writes.
pub(super) fn add(count: &AtomicU64, more: u64) {
    let sum = count.load(Ordering::Relaxed).wrapping_add(more);
    count.store(sum, Ordering::Relaxed);
}

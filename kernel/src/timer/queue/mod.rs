//! The timer queue of one CPU, with its interrupt and its commands.
//!
//! Only the owner accesses the timers, with its priority raised to their class, so the interrupt
//! takes no lock: it reads the first timer and calls its function. Everything else comes after the
//! call: the order of the other timers is updated, and the hardware gets the next deadline.
//!
//! Other CPUs put commands in the owner's inbox, and send it an interrupt of the same class.

mod commands;
mod hardware;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;
use tocsin_logic::apic::ApicId;
use tocsin_logic::irq::arming::Claim;
use tocsin_logic::irq::timers::next_period;
use tocsin_logic::vector::{Vector, fixed};

use crate::apic::vectors;
use crate::cpu::handlers::{self, INTERRUPTS};
use crate::cpu::{self, PerCpu, context};
use crate::hw::processor::timestamp;
use crate::ipi::wait;
use crate::timer::inbox::Inbox;
use crate::timer::node::{self, NEVER, Node};
use crate::timer::storage::Storage;
use crate::timer::{CAPACITY, CLASS};
use crate::{priority, smp, time};

/// Vector of the interrupt for commands. It has the timers' class, so that it is not delivered
/// while a function runs.
pub const COMMANDS: Vector = fixed::TIMER_COMMANDS;

/// The timers of one CPU.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Queue {
    /// The deadline programmed into the hardware, in TSC cycles; `u64::MAX` if there is none.
    due: Cell<u64>,
    /// The timer with this deadline.
    first: Cell<NonNull<Node>>,
    /// Whether the hardware must not be programmed: functions are running, or it is borrowed.
    suspended: Cell<bool>,
    /// Whether the hardware has been prepared for deadlines.
    prepared: Cell<bool>,
    pub(super) borrowed: Cell<bool>,
    /// Interrupts that arrived while the hardware was borrowed.
    pub(super) ticks: AtomicU64,
    pub(super) storage: Storage,
    /// Commands from other CPUs.
    inbox: Inbox,
    cpu: PerCpu,
    apic_id: ApicId,
}

// SAFETY: The cells and the timers in the tables belong to the owner: see `local`. The other fields
// may be shared.
unsafe impl Sync for Queue {}
// SAFETY: A queue is created on one CPU for another, before either uses it.
unsafe impl Send for Queue {}

/// The queues, by the numbers of their CPUs.
static QUEUES: Once<Vec<Option<&'static Queue>>> = Once::new();

/// Creates the queue of each online CPU. Called once, before interrupts are enabled.
pub(crate) fn set_up() {
    handlers::register(COMMANDS, handle_commands);
    wait::SERVE_TIMERS.replace(Some(execute_pending_commands));
    QUEUES.call_once(|| {
        let mut queues = Vec::new();
        for online in smp::all() {
            let index = online.cpu.id() as usize;
            queues.resize_with(queues.len().max(index + 1), || None);
            let queue: &Queue = Box::leak(Box::new(Queue::new(online.cpu, online.apic_id)));
            let context = &raw const *queue as usize;
            let is_free = INTERRUPTS
                .of(online.cpu)
                .install(vectors::TIMER, expire, context);
            assert!(is_free, "the timer's vector has a handler already");
            queues[index] = Some(queue);
        }
        queues
    });
}

/// All queues, in the order of their CPUs' numbers.
pub(super) fn all() -> impl Iterator<Item = &'static Queue> {
    QUEUES.get().into_iter().flatten().flatten().copied()
}

/// The queue of CPU number `cpu`.
pub(super) fn of(cpu: u32) -> Option<&'static Queue> {
    *QUEUES.get()?.get(cpu as usize)?
}

/// Calls `action` with this CPU's queue, with exclusive access.
///
/// Context: thread or handler (up to the timers' class), with interrupts enabled or disabled.
///
/// # Panics
///
/// In another context, where the queue may be in use; the message names the rule. Also if the
/// queues have not been created.
pub(super) fn local<R>(action: impl FnOnce(&'static Queue) -> R) -> R {
    context::require_class("Timer", CLASS);
    let _raised = priority::raise(CLASS);
    action(of(cpu::current().id()).expect("a CPU that is online has a queue"))
}

/// Executes other CPUs' pending commands, in a wait for another CPU during which this CPU's
/// interrupts may be masked. The priority is raised only if there is a command.
fn execute_pending_commands() {
    let queue = of(cpu::current().id());
    if queue.is_some_and(|queue| !queue.inbox.is_empty()) {
        local(Queue::execute_commands);
    }
}

/// Handles the timer interrupt: calls the function of the first timer before any other work.
extern "C" fn expire(queue: usize, _: u8) {
    // SAFETY: `set_up` registered it with the CPU's queue, which is never freed.
    let queue = unsafe { &*(queue as *const Queue) };
    let now = timestamp();
    let due = queue.due.get();
    if due > now {
        return queue.handle_early_interrupt();
    }
    queue.suspended.set(true);
    let first = queue.first.get();
    let missed = Queue::fire(first, due, now);
    queue.fire_remaining(first, missed, now);
}

/// Handles the interrupt for other CPUs' commands.
extern "C" fn handle_commands(_: usize, _: u8) {
    local(Queue::execute_commands);
}

impl Queue {
    fn new(cpu: PerCpu, apic_id: ApicId) -> Self {
        Self {
            due: Cell::new(u64::MAX),
            first: Cell::new(NonNull::dangling()),
            suspended: Cell::new(false),
            prepared: Cell::new(false),
            borrowed: Cell::new(false),
            ticks: AtomicU64::new(0),
            storage: Storage::new(),
            inbox: Inbox::new(),
            cpu,
            apic_id,
        }
    }

    pub(super) fn cpu(&self) -> PerCpu {
        self.cpu
    }

    /// Fires a timer whose deadline is past. Returns how many periods it missed.
    #[inline]
    fn fire(pointer: NonNull<Node>, deadline: u64, now: u64) -> u64 {
        // SAFETY: A node in the queue is not freed.
        let node = unsafe { pointer.as_ref() };
        let is_late = now - deadline >= node.period_cycles.get();
        let missed = if is_late {
            periods_missed(node, now)
        } else {
            0
        };
        node.firing.set(true);
        // SAFETY: On the owner, in the timers' class. As above.
        unsafe { (node.fire)(pointer, missed) };
        missed
    }

    /// Moves the first timer, which has fired, to its new position, and fires the other timers that
    /// are due. Timers that become due meanwhile get an interrupt of their own, so that this one
    /// ends.
    #[inline(never)]
    fn fire_remaining(&self, first: NonNull<Node>, missed: u64, now: u64) {
        self.requeue(first, missed);
        for _ in 1..CAPACITY {
            // SAFETY: On the owner, in the timers' class.
            let Some(due) = unsafe { self.storage.timers() }.first_due(now) else {
                break;
            };
            let missed = Self::fire(due.item, due.deadline, now);
            self.requeue(due.item, missed);
        }
        self.suspended.set(false);
        self.reprogram();
    }

    /// Removes a timer that has fired from the queue, or moves it to its next period, unless its
    /// function has given another command.
    fn requeue(&self, pointer: NonNull<Node>, missed: u64) {
        // SAFETY: The node is not freed before it is finished.
        let node = unsafe { pointer.as_ref() };
        if let (true, Some(id)) = (node.firing.replace(false), node.id.get()) {
            // SAFETY: On the owner, in the timers' class.
            let timers = unsafe { self.storage.timers() };
            let period = node.period.load(Ordering::Relaxed);
            if period == 0 {
                timers.cancel(id);
                node.id.set(None);
                node.next.store(NEVER, Ordering::Relaxed);
            } else {
                let periods = period.saturating_mul(missed.saturating_add(1));
                let next = node.next.load(Ordering::Relaxed).saturating_add(periods);
                node::add(&node.missed, missed);
                node.next.store(next, Ordering::Relaxed);
                node.id.set(timers.move_to(id, time::timestamp_at(next)));
            }
        }
        // SAFETY: This completes the call of `fire`.
        unsafe { node::finish(pointer) };
    }

    /// Handles an interrupt before the deadline: the counter is too short for it, or the deadline
    /// was changed after the interrupt was sent. The interrupt may also belong to a borrower of the
    /// timer.
    #[cold]
    fn handle_early_interrupt(&self) {
        if self.borrowed.get() {
            self.ticks.fetch_add(1, Ordering::Relaxed);
        } else if self.storage.registry().is_some() {
            self.reprogram();
        }
    }

    /// Moves a timer to its position in the queue, or removes it if `deadline` is [`NEVER`]. On the
    /// owner, at the timers' class.
    pub(super) fn insert(&self, pointer: NonNull<Node>, deadline: u64, period: u64) {
        // SAFETY: The caller does not free the node.
        let node = unsafe { pointer.as_ref() };
        // SAFETY: This is the owner, at the timers' class. The functions called meanwhile use no
        // timers.
        let timers = unsafe { self.storage.timers() };
        // A timer that has just fired no longer needs an update after its call.
        node.firing.set(false);
        if let Some(id) = node.id.take() {
            timers.cancel(id);
        }
        node.next.store(deadline, Ordering::Relaxed);
        node.period.store(period, Ordering::Relaxed);
        node.claim.set(Claim::new(node.number.get(), period == 0));
        node.period_cycles.set(match period {
            0 => u64::MAX,
            period => time::nanoseconds_to_cycles(period).saturating_sub(1),
        });
        if deadline != NEVER {
            let inserted = timers.insert(time::timestamp_at(deadline), pointer);
            // Each timer has a slot in the registry, and the queue has the same capacity.
            node.id.set(inserted.ok());
        }
        self.program();
    }
}

/// The exact number of periods since the timer's deadline.
#[cold]
fn periods_missed(node: &Node, now: u64) -> u64 {
    let deadline = node.next.load(Ordering::Relaxed);
    let period = node.period.load(Ordering::Relaxed);
    next_period(deadline, period, time::nanoseconds_at(now)).1
}

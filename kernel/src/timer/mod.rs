//! Timers: a queue on each CPU, on the timer of its local APIC.
//!
//! ```no_run
//! # use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
//! # use tocsin::timer::{Mode, Timer};
//! # static RETRY: AtomicBool = AtomicBool::new(false);
//! # static TICKS: AtomicU64 = AtomicU64::new(0);
//! let mut retry = Timer::new("retry", Mode::Interrupt, |_| RETRY.store(true, Ordering::Relaxed))?;
//! retry.after(2_000_000)?;                            // in 2 ms, once
//!
//! let mut clock = Timer::on(3, "clock", Mode::Interrupt, |expiry| {
//!     TICKS.fetch_add(1 + expiry.missed(), Ordering::Relaxed);
//! })?;
//! clock.every(10_000_000)?;                           // each 10 ms, on CPU 3
//! ```
//!
//! A timer belongs to the CPU for which it was created: its function runs only there. The function
//! is called with interrupts enabled in class 14, above all devices, so it must be short; with
//! [`Mode::Deferred`] it runs as deferred work, in class 2. It never runs before its deadline by
//! [`time::nanoseconds`], and of one CPU's timers the one with the earlier deadline runs first.
//!
//! Creating a timer allocates memory, and takes one of its CPU's [`CAPACITY`] slots, which are
//! allocated with the CPU's first timer. Starting and cancelling do neither, and never wait. On the
//! timer's own CPU, starting takes a few hundred instructions with the priority raised; from
//! another CPU it posts a command and sends an interrupt. The next command overwrites one that has
//! not been executed. Cancelling is one exchange of a word, which the timer's CPU checks before it
//! calls the function.
//!
//! The local APIC timer is programmed with the next deadline only: directly where the processor has
//! TSC deadlines, else as a count, in several parts if it is longer than the counter.
//!
//! | module | contents |
//! |---|---|
//! | `node` | the memory of a timer |
//! | [`Expiry`] | the argument of its function |
//! | `inbox` | commands from other CPUs |
//! | `queue` | a CPU's timers: interrupt, commands, hardware |
//! | `registry` | the list of a CPU's timers |
//! | `storage` | the memory of both, allocated with the first timer |
//! | [`raw`](borrow()) | direct use of the hardware |

mod error;
mod expiry;
mod inbox;
pub mod lapic;
pub mod machine_checks;
mod node;
mod queue;
mod raw;
pub mod reference;
mod registry;
mod storage;
pub mod watchdog;

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use tocsin_logic::irq::arming::Number;
use tocsin_logic::vector::PriorityClass;

use crate::apic::vectors;
use crate::cpu::{self, context};
use crate::ipi::Offline;
use crate::ipi::wait::{self, Awaited};
use crate::time;
use crate::timer::inbox::Command;
use crate::timer::node::Node;
use crate::timer::queue::Queue;

pub use crate::timer::error::{AlreadyBorrowed, TimerError};
pub use crate::timer::expiry::Expiry;
pub use crate::timer::queue::COMMANDS;
pub(crate) use crate::timer::queue::set_up;
pub use crate::timer::raw::{Borrowed, borrow};

/// Maximum number of timers of a CPU.
pub const CAPACITY: usize = 256;

/// The shortest period, in nanoseconds: shorter ones leave the CPU no time for anything else.
pub const SHORTEST_PERIOD: u64 = 10_000;

/// The class of timer functions, above which timers must not be used.
pub const CLASS: PriorityClass = vectors::TIMER.priority_class();

/// The context in which a timer's function runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the timer's interrupt, class 14: immediately; the function must be short.
    Interrupt,
    /// As deferred work, class 2: when nothing more urgent is in service. If the timer fires again
    /// before the function has been called for the previous expiry, that counts as a missed period.
    Deferred,
}

/// A timer with its function. It is inactive until it is started.
///
/// Dropping it cancels it: its function is not called any more. If the function is running on
/// another CPU at that moment, the drop waits for its return where that cannot deadlock: with
/// interrupts enabled, and below class 13, that of calls ([`Mode::Interrupt`]), or class 2
/// ([`Mode::Deferred`]). In other contexts, such as under a lock that the function may take, the
/// drop returns at once, and the timer's CPU frees the function when it returns. The same applies
/// to a drop on the timer's own CPU within the function or in an interrupt that preempts it.
///
/// Context of a drop: thread or handler (up to class 14), with interrupts enabled or disabled.
#[derive(Debug)]
pub struct Timer {
    queue: &'static Queue,
    node: NonNull<Node>,
    /// The number of the last command.
    number: Number,
}

// SAFETY: Another CPU changes a timer only through its owner, and the function is `Send`.
unsafe impl Send for Timer {}
// SAFETY: Through a shared reference, only atomic or constant data is used.
unsafe impl Sync for Timer {}

impl Timer {
    /// Creates a timer on this CPU. `name` is shown in lists and messages.
    ///
    /// Context: thread or handler up to class 14.
    ///
    /// # Errors
    ///
    /// [`TimerError`], if no timer can be created.
    pub fn new<F>(name: &'static str, mode: Mode, function: F) -> Result<Self, TimerError>
    where
        F: FnMut(&Expiry<'_>) + Send + 'static,
    {
        Self::on(cpu::current().id(), name, mode, function)
    }

    /// Creates a timer on CPU number `cpu`. `name` is shown in lists and messages.
    ///
    /// Context: thread or handler up to class 14.
    ///
    /// # Errors
    ///
    /// [`TimerError`], if no timer can be created.
    pub fn on<F>(cpu: u32, name: &'static str, mode: Mode, function: F) -> Result<Self, TimerError>
    where
        F: FnMut(&Expiry<'_>) + Send + 'static,
    {
        if !lapic::is_usable() {
            return Err(TimerError::NotMeasured);
        }
        let queue = queue::of(cpu).ok_or(TimerError::Offline(Offline(cpu)))?;
        let registry = queue.storage.registry_or_allocate();
        let node = node::allocate(name, cpu, mode, function);
        match registry.add(cpu, node) {
            Ok(()) => Ok(Self {
                queue,
                node,
                number: Number::FIRST,
            }),
            Err(error) => {
                // SAFETY: There is no other pointer to the node.
                unsafe { node::discard(node) };
                Err(error)
            }
        }
    }

    /// Starts the timer: it fires once, `nanoseconds` from now. This replaces an earlier start. For
    /// a timer of another CPU, it does not wait until that CPU has taken the command.
    ///
    /// Context: thread or handler up to class 14.
    ///
    /// # Errors
    ///
    /// None; the result is that of [`every`](Self::every).
    ///
    /// # Panics
    ///
    /// In another context; the message names the rule.
    pub fn after(&mut self, nanoseconds: u64) -> Result<(), TimerError> {
        self.at(time::nanoseconds().saturating_add(nanoseconds))
    }

    /// As [`after`](Self::after), at an absolute time, in nanoseconds as of [`time::nanoseconds`];
    /// at once, if the time is past.
    ///
    /// Context: thread or handler up to class 14.
    ///
    /// # Errors
    ///
    /// As [`after`](Self::after).
    pub fn at(&mut self, deadline: u64) -> Result<(), TimerError> {
        self.arm(deadline, 0);
        Ok(())
    }

    /// Starts the timer: it fires every `period` nanoseconds, first after one period. The times do
    /// not drift: each is a whole number of periods after the first. Periods that pass while it
    /// cannot fire are counted as missed, and it does not fire for them. Like
    /// [`after`](Self::after), it does not wait.
    ///
    /// Context: thread or handler up to class 14.
    ///
    /// # Errors
    ///
    /// [`TimerError::Period`], if it is below [`SHORTEST_PERIOD`].
    pub fn every(&mut self, period: u64) -> Result<(), TimerError> {
        if period < SHORTEST_PERIOD {
            return Err(TimerError::Period(period));
        }
        self.arm(time::nanoseconds().saturating_add(period), period);
        Ok(())
    }

    /// Cancels the timer. Returns whether it was started; if not, its function has been or is being
    /// called, or the timer had not been started.
    ///
    /// Never waits. A call of the function that has begun continues, but does not start the timer
    /// again. After this has returned, no call begins. To wait for the end of the last call, drop
    /// the timer.
    ///
    /// Context: thread or handler up to class 14.
    ///
    /// # Panics
    ///
    /// In another context; the message names the rule.
    #[track_caller]
    pub fn cancel(&mut self) -> bool {
        context::require_class("Timer::cancel", CLASS);
        let was_started = self.set_started(false);
        if self.is_on_owner() {
            queue::local(|queue| queue.execute(self.node, self.number, Command::Cancel));
        }
        // Another CPU removes the timer from its queue at its deadline, or when it is started
        // again.
        was_started
    }

    /// The number of the CPU that the timer belongs to.
    ///
    /// Context: any.
    #[must_use]
    pub fn cpu(&self) -> u32 {
        self.node().cpu
    }

    /// The number of calls of its function.
    ///
    /// Context: any.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.node().fired.load(Ordering::Relaxed)
    }

    /// The number of periods without a call.
    ///
    /// Context: any.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.node().missed.load(Ordering::Relaxed)
    }

    fn node(&self) -> &Node {
        // SAFETY: The node lives as long as its timer.
        unsafe { self.node.as_ref() }
    }

    fn is_on_owner(&self) -> bool {
        self.node().cpu == cpu::current().id()
    }

    /// Marks the timer as started or cancelled, in the word that its CPU checks. Returns whether it
    /// was started.
    fn set_started(&mut self, is_started: bool) -> bool {
        self.number = self.number.next();
        self.node().arming.replace(self.number, is_started)
    }

    #[track_caller]
    fn arm(&mut self, deadline: u64, period: u64) {
        context::require_class("Timer::at", CLASS);
        let deadline = deadline.min(node::LATEST);
        self.set_started(true);
        self.command(Command::Arm { deadline, period });
    }

    /// Executes a command on the timer's CPU: directly if that is this CPU, else as a post. Does
    /// not wait.
    fn command(&self, command: Command) {
        if self.is_on_owner() {
            queue::local(|queue| queue.execute(self.node, self.number, command));
        } else {
            self.queue.post(self.node, self.number, command);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        context::require_class("Timer::drop", CLASS);
        self.set_started(false);
        if self.is_on_owner() {
            let is_closed = queue::local(|queue| queue.close_on_owner(self.node, self.number));
            if is_closed {
                // SAFETY: This is the owner. The timer is closed, and this was the last use of the
                // node.
                unsafe { node::release_on_owner(self.node) };
            }
        } else if self.node().can_be_waited_for() {
            self.command(Command::Close { owner_frees: false });
            let node = self.node();
            let what = Awaited::Timer(node.cpu, node.name);
            wait::until(what, || node.closed.load(Ordering::Acquire));
            // SAFETY: The timer is closed, and this was the last use of the node.
            unsafe { node::release_from_other_cpu(self.node) };
        } else {
            self.command(Command::Close { owner_frees: true });
        }
    }
}

/// The current state of a timer.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    /// The number of its CPU.
    pub cpu: u32,
    /// Its name.
    pub name: &'static str,
    /// Its deadline, in nanoseconds since the kernel started; `None` if the timer is not started.
    pub next: Option<u64>,
    /// Its period in nanoseconds; `None` if it fires once.
    pub period: Option<u64>,
    /// The number of calls of its function.
    pub fired: u64,
    /// The number of periods without a call.
    pub missed: u64,
}

/// Calls `visit` with each timer of CPU number `cpu`.
///
/// Context: any but NMI.
pub fn for_each_of(cpu: u32, mut visit: impl FnMut(Snapshot)) {
    let mut index = 0;
    let registry = queue::of(cpu).and_then(|queue| queue.storage.registry());
    while let Some((found, snapshot)) = registry.and_then(|registry| registry.next(index)) {
        index = found + 1;
        visit(snapshot);
    }
}

/// Calls `visit` with each timer of each CPU.
///
/// Context: any but NMI.
pub fn for_each(mut visit: impl FnMut(Snapshot)) {
    for queue in queue::all() {
        for_each_of(queue.cpu().id(), &mut visit);
    }
}

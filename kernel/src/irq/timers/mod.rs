//! Timers: a queue on each CPU, on the timer of its local APIC.
//!
//! ```ignore
//! let mut retry = Timer::new("retry", Mode::Interrupt, |_| RETRY.store(true, Ordering::Relaxed))?;
//! retry.after(2_000_000)?;                            // in 2 ms, once
//!
//! let mut clock = Timer::on(3, "clock", Mode::Interrupt, |expiry| {
//!     TICKS.fetch_add(1 + expiry.missed(), Ordering::Relaxed);
//! })?;
//! clock.every(10_000_000)?;                           // each 10 ms, on CPU 3
//! ```
//!
//! A timer belongs to the CPU that it was made for: its function runs there and nowhere else. The
//! function is called with interrupts enabled in class 14, above all devices, so it must be short;
//! with [`Mode::Deferred`] it is left to deferred work, in class 2. It never runs before the deadline
//! that [`time::nanoseconds`] tells, and of one CPU's timers the one with
//! the earlier deadline runs first.
//!
//! Making a timer allocates, and takes one of its CPU's [`CAPACITY`] places, which come with the
//! CPU's first timer. Starting and cancelling
//! it does neither. On the timer's own CPU that is a few hundred instructions with the priority
//! raised; from another CPU it is a message, and an interrupt there. Dropping a timer cancels it,
//! and returns when its function cannot be running any more on another CPU.
//!
//! The local APIC's timer is programmed with the next deadline only: as it is where the processor
//! has TSC deadlines, else as a count, in pieces if it is longer than the counter.
//!
//! | module | job |
//! |---|---|
//! | `node` | a timer: its function, and whether it runs |
//! | [`Expiry`] | what its function is told |
//! | `inbox` | what other CPUs ask of it |
//! | `queue` | a CPU's timers: interrupt, commands, hardware |
//! | `registry` | which timers there are |
//! | `tables` | the memory of both, made with the first timer |
//! | [`borrow`](borrow()) | the hardware for others |

mod borrow;
mod error;
mod expiry;
mod inbox;
mod node;
mod queue;
mod registry;
mod tables;

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use tocsin_logic::vector::PriorityClass;

use crate::apic::{timer, vectors};
use crate::{cpu, time};
use inbox::Command;
use node::Node;
use queue::Queue;
use registry::Registry;

pub use borrow::{Borrowed, borrow};
pub use error::{Lent, TimerError};
pub use expiry::Expiry;
pub use queue::COMMANDS;
pub(crate) use queue::set_up;

/// Timers that a CPU can have.
pub const CAPACITY: usize = 256;

/// The shortest period, in nanoseconds: shorter ones leave the CPU no time for anything else.
pub const SHORTEST_PERIOD: u64 = 10_000;

/// The class that functions run in, and above which nobody may use timers.
pub const CLASS: PriorityClass = vectors::TIMER.priority_class();

/// Time after which a CPU that does not take a command counts as silent, in nanoseconds. Long, because a
/// virtual CPU may have to wait for its turn on the host.
const PATIENCE: u64 = 10_000_000_000;

/// Where a timer's function runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the timer's interrupt, class 14: at once, and short.
    Interrupt,
    /// As deferred work, class 2: when nothing more urgent is in service. If the timer fires again
    /// before the function was called for the last time, that counts as a missed period.
    Deferred,
}

/// A timer with its function. It does nothing until it is started; dropping it cancels it.
///
/// A drop on the function's CPU, inside the function or in an interrupt of it, cannot wait for its
/// end; the function is then freed when it returns.
#[derive(Debug)]
pub struct Timer {
    queue: &'static Queue,
    node: NonNull<Node>,
    /// Where it is registered.
    registry: &'static Registry,
    place: usize,
}

// SAFETY: 1. What another CPU does with a timer goes through its owner, and the function is `Send`.
unsafe impl Send for Timer {}
// SAFETY: 1. By reference, only what is atomic or constant is used.
unsafe impl Sync for Timer {}

impl Timer {
    /// A timer of this CPU. `name` is for people. In a thread.
    ///
    /// # Errors
    ///
    /// [`TimerError`], if there is none to be had.
    pub fn new<F>(name: &'static str, mode: Mode, function: F) -> Result<Self, TimerError>
    where
        F: FnMut(&Expiry<'_>) + Send + 'static,
    {
        Self::on(cpu::current().id(), name, mode, function)
    }

    /// A timer of CPU number `cpu`. `name` is for people. In a thread.
    ///
    /// # Errors
    ///
    /// [`TimerError`], if there is none to be had.
    pub fn on<F>(cpu: u32, name: &'static str, mode: Mode, function: F) -> Result<Self, TimerError>
    where
        F: FnMut(&Expiry<'_>) + Send + 'static,
    {
        if !timer::is_usable() {
            return Err(TimerError::NotMeasured);
        }
        let queue = queue::of(cpu).ok_or(TimerError::Offline(cpu))?;
        let registry = queue.tables.registry_for_one(cpu);
        let node = node::make(name, cpu, mode, function);
        match registry.add(node) {
            Ok(place) => Ok(Self {
                queue,
                node,
                registry,
                place,
            }),
            Err(error) => {
                // SAFETY: 1. Nobody else knows of it.
                unsafe { node::release(node) };
                Err(error)
            }
        }
    }

    /// Lets it fire once, `nanoseconds` from now, and not when it was going to before. In a thread, or a
    /// handler of a class up to 14. For a timer of another CPU it does not wait until that CPU knows.
    ///
    /// # Errors
    ///
    /// [`TimerError::Silent`], if it belongs to another CPU, which has not taken the last command.
    pub fn after(&mut self, nanoseconds: u64) -> Result<(), TimerError> {
        self.at(time::nanoseconds().saturating_add(nanoseconds))
    }

    /// As [`after`](Self::after), at a time as [`time::nanoseconds`] tells it;
    /// at once, if it is past.
    ///
    /// # Errors
    ///
    /// As [`after`](Self::after).
    pub fn at(&mut self, deadline: u64) -> Result<(), TimerError> {
        self.arm(deadline, 0)
    }

    /// Lets it fire every `period` nanoseconds from now on, the first time after one. Contexts and waiting
    /// as [`after`](Self::after). The times do not drift: each is a whole number of periods after the
    /// first. Periods that pass while it cannot fire are counted, and it does not fire for them.
    ///
    /// # Errors
    ///
    /// As [`after`](Self::after), and [`TimerError::Period`], if it is below [`SHORTEST_PERIOD`].
    pub fn every(&mut self, period: u64) -> Result<(), TimerError> {
        if period < SHORTEST_PERIOD {
            return Err(TimerError::Period(period));
        }
        self.arm(time::nanoseconds().saturating_add(period), period)
    }

    /// Cancels it. Returns whether it was going to fire; if not, its function has been called or is being
    /// called. In a thread, or a handler of a class up to 14. For a timer of another CPU, waits until
    /// that CPU has done it.
    pub fn cancel(&mut self) -> bool {
        self.and_wait(Command::Cancel)
    }

    /// The number of the CPU that it belongs to.
    #[must_use]
    pub fn cpu(&self) -> u32 {
        self.node().cpu
    }

    /// How often its function has been called.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.node().fired.load(Ordering::Relaxed)
    }

    /// How many periods passed without a call.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.node().missed.load(Ordering::Relaxed)
    }

    fn node(&self) -> &Node {
        // SAFETY: 1. The node lives as long as its timer.
        unsafe { self.node.as_ref() }
    }

    fn arm(&mut self, deadline: u64, period: u64) -> Result<(), TimerError> {
        let command = Command::Arm { deadline, period };
        if self.here(command).is_none() {
            self.post(command)?;
        }
        Ok(())
    }

    /// Does `command`, if this is the timer's CPU.
    fn here(&mut self, command: Command) -> Option<bool> {
        (self.cpu() == cpu::current().id()).then(|| {
            queue::local(|queue| {
                // Where an earlier command may be.
                queue.serve();
                queue.execute(self.node, command)
            })
        })
    }

    /// Posts `command` to the timer's CPU, another one, if it has taken the last.
    fn post(&mut self, command: Command) -> Result<(), TimerError> {
        let begin = time::nanoseconds();
        while !self.node().request.is_done() {
            if time::has_passed(begin, PATIENCE) {
                return Err(TimerError::Silent(self.cpu()));
            }
            queue::serve_if_asked();
            core::hint::spin_loop();
        }
        self.queue.post(self.node, command);
        Ok(())
    }

    /// Does `command`, here or there, and waits for its answer.
    fn and_wait(&mut self, command: Command) -> bool {
        if let Some(was_pending) = self.here(command) {
            return was_pending;
        }
        let mut wait = Wait::new(self.cpu(), self.node().name);
        while self.post(command).is_err() {
            wait.turn();
        }
        while !self.node().request.is_done() {
            wait.turn();
        }
        self.node().request.was_pending()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.and_wait(Command::Close);
        self.registry.remove(self.place);
        // SAFETY: 1. It is closed, and this was the last use.
        unsafe { node::release(self.node) };
    }
}

/// Waiting for another CPU without leaving others waiting for this one.
struct Wait {
    cpu: u32,
    name: &'static str,
    begin: u64,
    is_told: bool,
}

impl Wait {
    fn new(cpu: u32, name: &'static str) -> Self {
        Self {
            cpu,
            name,
            begin: time::nanoseconds(),
            is_told: false,
        }
    }

    fn turn(&mut self) {
        // This CPU may be where their interrupt does not get through: interrupts off, or class 14.
        queue::serve_if_asked();
        core::hint::spin_loop();
        if !self.is_told && time::has_passed(self.begin, PATIENCE) {
            self.is_told = true;
            log::warn!(
                "timers: CPU {} waits for CPU {} to let go of the timer `{}`; `backtrace {}` tells what it does",
                cpu::current().id(),
                self.cpu,
                self.name,
                self.cpu
            );
        }
    }
}

/// A timer as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The number of its CPU.
    pub cpu: u32,
    /// What it was named.
    pub name: &'static str,
    /// When it fires, in nanoseconds since the kernel began; `None` if it has not been started.
    pub next: Option<u64>,
    /// In nanoseconds; `None` if it fires once.
    pub period: Option<u64>,
    /// How often its function has been called.
    pub fired: u64,
    /// How many periods passed without a call.
    pub missed: u64,
}

/// Calls `show` with each timer of CPU number `cpu`. In a thread.
pub fn for_each_of(cpu: u32, mut show: impl FnMut(Row)) {
    let mut place = 0;
    let registry = queue::of(cpu).and_then(|queue| queue.tables.registry());
    while let Some((found, row)) = registry.and_then(|registry| registry.next(place)) {
        place = found + 1;
        show(row);
    }
}

/// Calls `show` with each timer of each CPU. In a thread.
pub fn for_each(mut show: impl FnMut(Row)) {
    for queue in queue::all() {
        for_each_of(queue.cpu().id(), &mut show);
    }
}

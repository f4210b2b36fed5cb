//! Interrupt lines: each has a source, vectors of one CPU, and a handler closure.
//!
//! ```no_run
//! # use core::sync::atomic::{AtomicU64, Ordering};
//! # use tocsin::prelude::*;
//! # static RECEIVED: AtomicU64 = AtomicU64::new(0);
//! # let class = PriorityClass::LOWEST_USABLE;
//! let request = Request { name: "com1", source: Source::Isa(4), class, cpu: 0 };
//! let line = Line::new(request, || {
//!     RECEIVED.fetch_add(1, Ordering::Relaxed);
//! })?;
//! line.move_to(3)?;
//! ```
//!
//! A handler may return a [`Claim`]. A level-triggered line whose handler claims no interrupts is
//! masked for a time, as is a line whose interrupts are too frequent; see
//! `tocsin_logic::irq::storm`. Dropping the line disables the source, and returns when no CPU can
//! run the closure any more.
//!
//! A line has one handler. Devices whose pins are wired together share a [`SharedLine`].

mod binding;
mod error;
mod inner;
pub(crate) mod message;
mod migrate;
mod shared;
mod source;
mod storm;
mod vectors;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use tocsin_logic::acpi::Gsi;
use tocsin_logic::irq::context::{Level, WAIT_CLASS};
use tocsin_logic::irq::storm::Counts;
use tocsin_logic::vector::{PriorityClass, Vector};

use crate::cpu::context;
use crate::ipi;
use crate::line::binding::Binding;
use crate::line::inner::{Inner, MaskReason};
use crate::line::source::LineSource;
use crate::smp::Online;
use crate::sync::IrqMutex;

pub use crate::line::binding::Claim;
pub use crate::line::error::LineError;
pub use crate::line::inner::{Description, all};
pub use crate::line::message::MessageTarget;
pub use crate::line::shared::{SharedHandler, SharedLine};
pub use crate::line::source::{Messages, Source};

/// A request for a line.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The name of the line in reports and tables.
    pub name: &'static str,
    /// The source of the interrupt.
    pub source: Source,
    /// The priority class, which determines preemption.
    pub class: PriorityClass,
    /// The number of the CPU that handles it.
    pub cpu: u32,
}

/// An interrupt line with its handler. Dropping it removes both.
///
/// Context: its functions are for threads, except [`trigger`](Self::trigger) and the mask.
///
/// Dropping it waits until none of its handlers runs, so it is for threads and handlers below the
/// line's class (and below 13, that of calls) with interrupts enabled; under a raised priority or a
/// ceiling lock, that class counts. In other contexts, such as the line's own handler, the drop
/// panics with this rule, and so does [`move_to`](Self::move_to).
pub struct Line {
    inner: Arc<Inner>,
    /// Always `Some`, except during the drop and a move.
    binding: IrqMutex<Option<Binding>>,
    bind: Box<Bind>,
}

/// Binds the line's handlers to vectors of a CPU.
type Bind = dyn Fn(&'static Online, Vector, &Arc<Inner>) -> Binding + Send + Sync;

impl Line {
    /// Allocates a vector of the class on the CPU, binds `handler` to it, and unmasks the source.
    ///
    /// A line with [`Source::Message`] is only raised by [`trigger`](Self::trigger), until a
    /// device's messages are [attached](Self::attach).
    ///
    /// Context: thread or handler below the line's class, interrupts enabled.
    ///
    /// # Errors
    ///
    /// [`LineError`], with the requested and the available resources.
    pub fn new<F, C>(request: Request, handler: F) -> Result<Self, LineError>
    where
        F: Fn() -> C + Send + Sync + 'static,
        C: Into<Claim> + 'static,
    {
        Self::block(request, 1, move |_| handler())
    }

    /// As [`new`](Self::new), with `count` vectors for the messages of one device: 1, 2, 4, 8 or
    /// 16; other values are rounded up. The handler gets the number of the message.
    ///
    /// Context: thread or handler below the line's class, interrupts enabled.
    ///
    /// # Errors
    ///
    /// [`LineError`], with the requested and the available resources.
    pub fn block<F, C>(request: Request, count: u8, handler: F) -> Result<Self, LineError>
    where
        F: Fn(u8) -> C + Send + Sync + 'static,
        C: Into<Claim> + 'static,
    {
        let handler = Arc::new(handler);
        let bind = move |target, first, inner: &_| Binding::new(target, first, &handler, inner);
        Self::make(request, count, Box::new(bind))
    }

    fn make(request: Request, count: u8, bind: Box<Bind>) -> Result<Self, LineError> {
        let Request {
            name,
            source,
            class,
            cpu,
        } = request;
        let target = find(cpu)?;
        let source = LineSource::allocate(source)?;
        let count = count.max(1).checked_next_power_of_two().unwrap_or(u8::MAX);
        let first = vectors::allocate(target, class, count, source.is_level())
            .map_err(|exhausted| LineError::Vectors { cpu, exhausted })?;
        let inner = Inner::new(name, class, count, target, first, source);
        let binding = bind(target, first, &inner);
        // From here on, dropping the line undoes the previous steps.
        let line = Self {
            inner,
            binding: IrqMutex::new(Some(binding)),
            bind,
        };
        line.inner.enable()?;
        Ok(line)
    }

    /// Attaches a device's messages as the source of the line. They belong to the line and move
    /// with it.
    ///
    /// Context: thread or handler below the line's class, interrupts enabled.
    ///
    /// # Errors
    ///
    /// [`LineError::HasSource`], [`LineError::Target`], [`LineError::Messages`].
    pub fn attach(&self, messages: impl Messages + 'static) -> Result<(), LineError> {
        self.inner.attach(Box::new(messages))
    }

    /// Sends the line's first interrupt, as a device would, from the calling CPU.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`LineError::Level`], if the source is a level-triggered input.
    ///
    /// # Panics
    ///
    /// If the mode of the local APICs cannot express the CPU's ID, which then would not be online.
    pub fn trigger(&self) -> Result<(), LineError> {
        self.inner.trigger()
    }

    /// Masks or unmasks the source. While it is masked, maskable messages and levels stay pending;
    /// edges and other messages are lost. IPIs are not masked.
    ///
    /// Context: any but NMI.
    pub fn set_masked(&self, masked: bool) {
        self.inner.set_masked(MaskReason::Owner, masked);
    }

    /// Routes the source's interrupts to another vector of its CPU, until a call with the line's
    /// own vector undoes this. It is for measurements, for edge-triggered sources only, and must be
    /// called while no interrupt is in flight. Moving the line undoes it too.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`LineError::Target`], [`LineError::Messages`].
    ///
    /// # Safety
    ///
    /// The vector must belong to the caller.
    #[cfg(feature = "bench")]
    pub unsafe fn divert(&self, vector: Vector) -> Result<(), LineError> {
        self.inner.with(|state| {
            let target = state.target.apic_id;
            state.source.set_route(vector, self.inner.count, target)
        })
    }

    /// Whether messages are masked and one is pending.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.inner.with(|state| match &state.source {
            LineSource::Messages(messages) => messages.is_pending(),
            LineSource::Ipi | LineSource::Pin(..) => false,
        })
    }

    /// The GSI of its input, if its source is an input.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn gsi(&self) -> Option<Gsi> {
        self.inner.with(|state| match &state.source {
            LineSource::Pin(pin, _) => Some(pin.gsi),
            LineSource::Ipi | LineSource::Messages(_) => None,
        })
    }

    /// Whether its source is a level-triggered input.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn is_level(&self) -> bool {
        self.inner.with(|state| state.source.is_level())
    }

    /// Its first vector on its CPU.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn vector(&self) -> Vector {
        self.inner.with(|state| state.first)
    }

    /// The number of the CPU that handles it.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn cpu(&self) -> u32 {
        self.inner.with(|state| state.target.cpu.id())
    }

    /// Its interrupt counts, summed over all bindings and vectors.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.inner.counts()
    }

    /// Rejects an operation that waits until no handler of the line runs, if it could wait for the
    /// running code: at the line's class or above, or with interrupts disabled.
    #[track_caller]
    fn require_below(&self, operation: &'static str) {
        context::require(operation, below(self.inner.class));
    }

    /// A snapshot of the line, as `lines` shows it.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn describe(&self) -> Description {
        self.inner.describe()
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Line").field(&self.describe()).finish()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.require_below("Line::drop");
        self.inner.storm.close();
        self.inner.stop();
        let (target, first, is_level) = self
            .inner
            .with(|state| (state.target, state.first, state.source.is_level()));
        // Interrupts must be enabled during the wait.
        let binding = self.binding.lock().take();
        if let Some(binding) = binding {
            binding.remove(&self.inner);
        }
        self.inner.retire();
        vectors::free(target, first, self.inner.count, is_level);
    }
}

/// The highest level at which code may wait for handlers of this class: code up to it has not
/// interrupted such a handler, holds no ceiling lock that one takes, and can wait for another CPU.
fn below(class: PriorityClass) -> Level {
    let below = PriorityClass::new(class.get().saturating_sub(1)).unwrap_or(WAIT_CLASS);
    Level::Class(below.min(WAIT_CLASS))
}

fn find(cpu: u32) -> Result<&'static Online, LineError> {
    ipi::find(cpu).map_err(LineError::Offline)
}

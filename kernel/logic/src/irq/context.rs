//! The execution context of a CPU, which limits the operations that may be called.
//!
//! Each operation of the library has a highest [`Level`] at which it may be called. An operation
//! that waits for another CPU, or that takes a lock which handlers share, deadlocks or corrupts
//! data above that level. The kernel compares the [`Context`] with the limit and reports a
//! [`Violation`].
//!
//! Code that runs with IF = 0 is above every class: it delays all handlers of its CPU, whatever CR8
//! holds, so a handler on another CPU that spins for something this CPU owns is not preempted by
//! anything this CPU could still do.

use core::fmt;

use crate::vector::{PriorityClass, Vector};

/// The level of a context: which interrupts the running code delays, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Interrupts of this class and of all lower classes are masked: by CR8, or because an
    /// interrupt of this class is in service. Class 0 is a thread that masks nothing.
    Class(PriorityClass),
    /// IF is 0: an exception handler, a section with interrupts disabled, or a thread that holds an
    /// `IrqMutex`.
    InterruptsOff,
    /// An NMI handler, which may have interrupted code at any other level.
    Nmi,
}

impl Level {
    /// A thread that masks nothing.
    pub const THREAD: Self = Self::Class(PriorityClass::LOWEST);
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(PriorityClass::LOWEST) => f.write_str("threads at class 0"),
            Self::Class(class) => write!(f, "threads and handlers up to class {class}"),
            Self::InterruptsOff => f.write_str("all code but NMI handlers"),
            Self::Nmi => f.write_str("any context"),
        }
    }
}

/// The execution context of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// An NMI handler is active.
    pub in_nmi: bool,
    /// RFLAGS.IF.
    pub interrupts_enabled: bool,
    /// CR8: interrupts up to this class are masked.
    pub cr8: PriorityClass,
    /// The vector of the innermost interrupt in service.
    pub in_service: Option<Vector>,
    /// The code is a called function that runs in this CPU's wait loop.
    pub is_serving: bool,
    /// The number of `IrqMutex`es that this CPU holds.
    pub irq_locks: u32,
}

/// The highest class at which code may wait for another CPU: below that of calls, because a CPU
/// that waits must be able to take the interrupts of calls.
pub const WAIT_CLASS: PriorityClass = PriorityClass::new(12).unwrap();

/// The class of calls.
pub const CALL_CLASS: PriorityClass = PriorityClass::new(13).unwrap();

impl Context {
    /// The level of the context.
    ///
    /// A called function has the same level whether an interrupt delivered the call or the wait
    /// loop of a CPU with interrupts disabled runs it: what it may do must not depend on that.
    #[inline]
    #[must_use]
    pub fn level(&self) -> Level {
        if self.in_nmi {
            Level::Nmi
        } else if self.interrupts_enabled || (self.is_serving && self.irq_locks == 0) {
            Level::Class(self.class())
        } else {
            Level::InterruptsOff
        }
    }

    /// The class of the PPR (SDM vol. 3A, 12.8.3.1): the higher of CR8 and of the interrupt in
    /// service. A called function in the wait loop counts as an interrupt of the class of calls.
    #[inline]
    #[must_use]
    pub fn class(&self) -> PriorityClass {
        let in_service = self
            .in_service
            .map_or(PriorityClass::LOWEST, Vector::priority_class);
        let called = if self.is_serving {
            CALL_CLASS
        } else {
            PriorityClass::LOWEST
        };
        in_service.max(called).max(self.cr8)
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.in_nmi {
            return f.write_str("in an NMI handler");
        }
        match self.in_service {
            None => f.write_str("in a thread")?,
            Some(vector) => write!(
                f,
                "in a handler of class {} (vector {vector})",
                vector.priority_class()
            )?,
        }
        if self.is_serving {
            f.write_str(" that waits, in a function called by another CPU")?;
        }
        if self.irq_locks > 0 {
            write!(f, " with {} IrqMutex held", self.irq_locks)?;
        } else if self.level() == Level::InterruptsOff {
            f.write_str(" with interrupts disabled")?;
        } else if self.class() == self.cr8 && self.cr8 != PriorityClass::LOWEST {
            write!(f, " with CR8 raised to class {}", self.cr8)?;
        }
        Ok(())
    }
}

/// An operation that was called above its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The operation, as `Type::function`.
    pub operation: &'static str,
    /// Its limit.
    pub limit: Limit,
    /// The context of the caller.
    pub context: Context,
}

/// The contexts in which an operation may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Contexts up to this level.
    Level(Level),
    /// Contexts up to this class, with IF = 0 too.
    Class(PriorityClass),
    /// Up to this class, with interrupts enabled: the code takes a lock with this ceiling.
    Ceiling(PriorityClass),
    /// Contexts up to [`WAIT_CLASS`], with IF = 0 too, but without an `IrqMutex` held: the other
    /// CPU may spin for it with interrupts disabled.
    Wait,
}

impl From<Level> for Limit {
    fn from(level: Level) -> Self {
        Self::Level(level)
    }
}

impl Limit {
    /// Whether code in this context is within the limit.
    #[inline]
    #[must_use]
    pub fn allows(self, context: Context) -> bool {
        match self {
            Self::Level(limit) => context.level() <= limit,
            Self::Class(limit) => !context.in_nmi && context.class() <= limit,
            Self::Ceiling(limit) => context.level() <= Level::Class(limit),
            Self::Wait => {
                !context.in_nmi
                    && !context.is_serving
                    && context.irq_locks == 0
                    && context.class() <= WAIT_CLASS
            }
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(level) => level.fmt(f),
            Self::Class(class) => Level::Class(*class).fmt(f),
            Self::Ceiling(class) => write!(
                f,
                "{} with interrupts enabled, which the ceiling keeps out",
                Level::Class(*class)
            ),
            Self::Wait => write!(
                f,
                "{} that hold no IrqMutex, because it waits for another CPU",
                Level::Class(WAIT_CLASS)
            ),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            operation,
            limit,
            context,
        } = self;
        write!(
            f,
            "context: {operation}: called {context} (it is for {limit}; see docs/contexts.md)"
        )
    }
}

impl core::error::Error for Violation {}

/// Compares the context with an operation's limit.
///
/// # Errors
///
/// [`Violation`], if the operation must not be called there.
#[inline]
pub fn check(
    operation: &'static str,
    limit: impl Into<Limit>,
    context: Context,
) -> Result<(), Violation> {
    let limit = limit.into();
    if limit.allows(context) {
        Ok(())
    } else {
        Err(Violation {
            operation,
            limit,
            context,
        })
    }
}

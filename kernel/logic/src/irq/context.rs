//! The execution context: what a CPU is running, as far as it limits what may be called.
//!
//! Each operation of the library has a highest [`Level`] at which it may be called. An operation that
//! waits for another CPU, or that takes a lock which handlers share, deadlocks or corrupts data above
//! that level. The kernel compares the [`Context`] with the limit and reports a [`Violation`].
//!
//! Code that runs with IF = 0 is above every class: it delays all handlers of its CPU, whatever CR8
//! holds, so a handler on another CPU that spins for something this CPU owns is not preempted by
//! anything this CPU could still do.

use core::fmt;

use crate::vector::{PriorityClass, Vector};

/// How much of a CPU the running code keeps from running, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Interrupts of this class and of all lower ones are masked: by CR8, or because one of this class is
    /// in service. Class 0 is a thread that masks nothing.
    Class(PriorityClass),
    /// IF is 0: an exception handler, a section with interrupts disabled, or a thread that holds an
    /// `IrqMutex`.
    InterruptsOff,
    /// An NMI handler, which may have interrupted any of the others.
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

/// What a CPU is running.
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
}

impl Context {
    /// How much the running code keeps from running.
    #[inline]
    #[must_use]
    pub fn level(&self) -> Level {
        if self.in_nmi {
            Level::Nmi
        } else if self.interrupts_enabled {
            Level::Class(self.class())
        } else {
            Level::InterruptsOff
        }
    }

    /// The class of the PPR (SDM vol. 3A, 12.8.3.1): the higher of CR8 and of the interrupt in service.
    #[inline]
    #[must_use]
    pub fn class(&self) -> PriorityClass {
        self.in_service
            .map_or(self.cr8, |vector| vector.priority_class().max(self.cr8))
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
        if !self.interrupts_enabled {
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
    pub limit: Level,
    /// Where it was called.
    pub context: Context,
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
pub fn check(operation: &'static str, limit: Level, context: Context) -> Result<(), Violation> {
    if context.level() <= limit {
        Ok(())
    } else {
        Err(Violation {
            operation,
            limit,
            context,
        })
    }
}

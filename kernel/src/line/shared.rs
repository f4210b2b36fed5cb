//! A level-triggered input that several devices share, as is common for PCI interrupt pins.
//!
//! The devices' handlers share the line. Each interrupt calls all of them, because several devices
//! may assert the input at once, and an input that stays asserted is delivered again only after the
//! EOI. An input whose interrupts no handler claims is masked for a time, as on any line.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use tocsin_logic::vector::PriorityClass;

use crate::cpu::context;
use crate::line::{Claim, Line, LineError, Request, below};
use crate::priority::CeilingMutex;

/// A [`Line`] of a level-triggered input with any number of handlers.
#[derive(Debug)]
pub struct SharedLine {
    line: Line,
    class: PriorityClass,
    handlers: Arc<SharedHandlers>,
}

/// A shared handler of a [`SharedLine`]. Dropping it removes the handler, and returns when no CPU
/// can run it any more.
///
/// Context: thread or handler below the line's class and class 13, with interrupts enabled.
/// Elsewhere, as in a handler of the line, the drop panics with this rule.
#[derive(Debug)]
pub struct SharedHandler {
    number: u64,
    class: PriorityClass,
    handlers: Arc<SharedHandlers>,
}

type Handler = Box<dyn Fn() -> Claim + Send>;

/// The handlers run under the lock, whose ceiling is their class. So code that holds the lock to
/// remove a handler knows that the handler runs nowhere.
struct SharedHandlers(CeilingMutex<List>);

#[derive(Default)]
struct List {
    next: u64,
    handlers: Vec<(u64, Handler)>,
}

impl SharedLine {
    /// Creates the line. Until the first handler is added, its interrupts are unclaimed.
    ///
    /// Context: thread or handler below the line's class, interrupts enabled.
    ///
    /// # Errors
    ///
    /// [`LineError`]; [`LineError::NotLevel`], if the source is not a level-triggered input: edges
    /// of two devices may merge into one.
    pub fn new(request: Request) -> Result<Self, LineError> {
        let class = request.class;
        let handlers = SharedHandlers(CeilingMutex::new(request.class, List::default()));
        let handlers = Arc::new(handlers);
        let dispatched = Arc::clone(&handlers);
        let line = Line::new(request, move || dispatched.dispatch())?;
        if line.is_level() {
            Ok(Self {
                line,
                class,
                handlers,
            })
        } else {
            Err(LineError::NotLevel)
        }
    }

    /// Adds a handler. For each interrupt, it handles its own device and returns whether the device
    /// had a reason to interrupt.
    ///
    /// Context: thread or handler below the line's class, interrupts enabled.
    ///
    /// # Panics
    ///
    /// In another context, such as a handler of the line; the message names the rule.
    #[must_use]
    #[track_caller]
    pub fn add_handler(&self, handler: impl Fn() -> Claim + Send + 'static) -> SharedHandler {
        context::require("SharedLine::add_handler", below(self.class));
        let handler = Box::new(handler);
        let mut list = self.handlers.0.lock();
        let number = list.next;
        list.next += 1;
        list.handlers.push((number, handler));
        SharedHandler {
            number,
            class: self.class,
            handlers: Arc::clone(&self.handlers),
        }
    }

    /// The line, for moving, masking and counting.
    ///
    /// Context: any.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }
}

impl SharedHandlers {
    fn dispatch(&self) -> Claim {
        let list = self.0.lock();
        let claims = list.handlers.iter().map(|(_, handler)| handler());
        // Not `any`, which would skip the handlers after the first that claims.
        claims.fold(Claim::Unclaimed, |all, claim| match claim {
            Claim::Claimed => Claim::Claimed,
            Claim::Unclaimed => all,
        })
    }
}

impl Drop for SharedHandler {
    fn drop(&mut self) {
        // The lock is held while handlers run, at the line's class.
        context::require("SharedHandler::drop", below(self.class));
        let mut list = self.handlers.0.lock();
        let index = list
            .handlers
            .iter()
            .position(|(number, _)| *number == self.number);
        let handler = index.map(|index| list.handlers.remove(index));
        drop(list);
        // Outside the lock, because dropping the closure's data may take long.
        drop(handler);
    }
}

impl fmt::Debug for SharedHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedHandlers")
            .field(&self.0.ceiling())
            .finish_non_exhaustive()
    }
}

//! An interrupt that somebody owns: from a source, through a vector of one CPU, to a closure.
//!
//! ```ignore
//! let line = Line::new(
//!     Request { source: Source::Isa(4), class, cpu: 0 },
//!     move || RECEIVED.fetch_add(1, Ordering::Relaxed),
//! )?;
//! ```
//!
//! Dropping the line masks the source, and returns when no CPU can run the closure any more.

use alloc::boxed::Box;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use tocsin_logic::acpi::Gsi;
use tocsin_logic::irq::vectors::Exhausted;
use tocsin_logic::topology::Route;
use tocsin_logic::vector::{PriorityClass, Vector};

use super::call;
use crate::apic::io::{self, RouteError};
use crate::apic::local;
use crate::cpu::interrupts::Handler;
use crate::discover::machine;
use crate::smp::{self, Online};

/// Where an interrupt comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An ISA interrupt, 0 to 15, as the MADT routes it.
    Isa(u8),
    /// A global system interrupt, with polarity and trigger as given.
    Pin(Route),
    /// Nothing but IPIs and messages (MSI) that are sent to the line's vector and CPU.
    Message,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Where the interrupt comes from.
    pub source: Source,
    /// Its class: whom it preempts, and who preempts it.
    pub class: PriorityClass,
    /// The number of the CPU that answers it.
    pub cpu: u32,
}

/// Why there is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// No CPU of this number is online.
    Offline(u32),
    /// The CPU has no vector of the class left; says what it has.
    Vectors(Exhausted),
    /// There is no ISA interrupt of this number.
    NoIsa(u8),
    /// The input cannot be delivered.
    Route(RouteError),
    /// Another line has the input.
    Taken(Gsi),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(cpu) => write!(f, "CPU {cpu} is not online"),
            Self::Vectors(exhausted) => exhausted.fmt(f),
            Self::NoIsa(irq) => write!(f, "there is no ISA interrupt {irq}"),
            Self::Route(error) => error.fmt(f),
            Self::Taken(gsi) => write!(f, "GSI {gsi} belongs to another line"),
        }
    }
}

/// An interrupt with its handler. Dropping it takes both away.
#[derive(Debug)]
pub struct Line {
    target: &'static Online,
    vector: Vector,
    gsi: Option<Gsi>,
    context: usize,
    free: fn(usize),
}

impl Line {
    /// Takes a vector of the class on the CPU, installs `handler`, and lets the source through. In a
    /// thread.
    ///
    /// # Errors
    ///
    /// [`LineError`], with what was asked and what there is.
    ///
    /// # Panics
    ///
    /// If a vector that belongs to nobody has a handler: a mistake of the kernel's.
    pub fn new<F>(request: Request, handler: F) -> Result<Self, LineError>
    where
        F: Fn() + Send + Sync + 'static,
    {
        let mut online = smp::online().into_iter().flat_map(|cpus| &cpus.online);
        let target = online.find(|online| online.cpu.id() == request.cpu);
        let target = target.ok_or(LineError::Offline(request.cpu))?;
        let route = request.source.route()?;
        let vector = target
            .cpu
            .vectors
            .lock()
            .allocate(request.class)
            .map_err(LineError::Vectors)?;
        let context = Box::into_raw(Box::new(handler)) as usize;
        // From here on, dropping the line undoes what has been done.
        let mut line = Self {
            target,
            vector,
            gsi: None,
            context,
            free: free::<F>,
        };
        let installed = target
            .cpu
            .interrupts
            .install(vector, enter::<F> as Handler, context);
        assert!(installed, "a vector that was free has a handler");
        if let Some(route) = route {
            io::claim(route.gsi).map_err(|()| LineError::Taken(route.gsi))?;
            line.gsi = Some(route.gsi);
            io::deliver(route, vector, target.apic_id).map_err(LineError::Route)?;
        }
        Ok(line)
    }

    /// The vector on its CPU.
    #[must_use]
    pub fn vector(&self) -> Vector {
        self.vector
    }

    /// The number of the CPU that answers it.
    #[must_use]
    pub fn cpu(&self) -> u32 {
        self.target.cpu.id()
    }

    /// How often it has come.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.target.cpu.interrupts.count(self.vector.get())
    }

    /// Sends it, as a device would: from whichever CPU runs this.
    ///
    /// # Panics
    ///
    /// If the mode of the local APICs cannot express the CPU's ID, which then would not be online.
    pub fn trigger(&self) {
        use tocsin_logic::apic::Icr;
        use tocsin_logic::apic::icr::Destination;
        let command = Icr::fixed(
            self.vector.get(),
            Destination::Physical(self.target.apic_id),
        );
        local()
            .send(command)
            .expect("the ID of a CPU that is online fits the mode");
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(gsi) = self.gsi {
            io::mask(gsi);
            io::release(gsi);
        }
        self.target.cpu.interrupts.begin_removal(self.vector);
        // What arrived before the mask may wait in the IRR or be in service: the CPU itself looks,
        // in class 13, so a handler of a higher class is done when it does.
        let look = Look {
            vector: self.vector,
            busy: AtomicBool::new(true),
        };
        while look.busy.load(Ordering::Acquire) {
            let argument = &raw const look as usize;
            if call::and_wait(self.cpu(), look_for, argument).is_err() {
                // Too many calls wait; the CPU will have answered some by the next try.
                core::hint::spin_loop();
            }
        }
        self.target.cpu.interrupts.end_removal(self.vector);
        (self.free)(self.context);
        let freed = self.target.cpu.vectors.lock().free(self.vector);
        debug_assert!(freed.is_ok(), "the vector was the line's");
    }
}

/// A question to a CPU: is the vector waiting or in service?
struct Look {
    vector: Vector,
    busy: AtomicBool,
}

extern "C" fn look_for(argument: usize) {
    // SAFETY: 1. The caller waits for this function, and its question lives as long.
    let look = unsafe { &*(argument as *const Look) };
    let apic = local();
    let busy = apic.is_requested(look.vector) || apic.is_in_service(look.vector);
    look.busy.store(busy, Ordering::Release);
}

extern "C" fn enter<F: Fn()>(context: usize, _: u8) {
    // SAFETY: 1. The context is the closure's box, which is freed only when nobody can be here.
    let handler = unsafe { &*(context as *const F) };
    handler();
}

fn free<F>(context: usize) {
    // SAFETY: 1. It came from `Box::into_raw`, and the line that owned it is gone.
    drop(unsafe { Box::from_raw(context as *mut F) });
}

impl Source {
    fn route(self) -> Result<Option<Route>, LineError> {
        match self {
            Self::Isa(irq) => {
                let route = machine().and_then(|machine| machine.topology.isa_irq(irq));
                route.map(Some).ok_or(LineError::NoIsa(irq))
            }
            Self::Pin(route) => Ok(Some(route)),
            Self::Message => Ok(None),
        }
    }
}

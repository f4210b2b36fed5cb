//! The binding of a line's handlers to consecutive vectors of one CPU.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::cpu::handlers::INTERRUPTS;
use crossbeam_utils::CachePadded;
use tocsin_logic::irq::storm::Counts;
use tocsin_logic::vector::Vector;

use crate::apic::io::EndRegister;
use crate::apic::local;
use crate::cpu::handlers::Handler;
use crate::ipi::call;
use crate::ipi::wait::{self, Awaited};
use crate::line::inner::Shared;
use crate::line::storm;
use crate::smp::Online;
use crate::time::LongWait;

/// The result of a handler. A handler that returns `()` claims all interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The device had a reason to interrupt, and the handler has handled it.
    Mine,
    /// The device has no reason to interrupt.
    NotMine,
}

impl From<()> for Claim {
    fn from((): ()) -> Self {
        Self::Mine
    }
}

/// The interrupt counts of one binding. Only its CPU writes; all vectors of a line are of one
/// class, so no handler of the line interrupts another.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    all: AtomicU64,
    unclaimed: AtomicU64,
}

/// Number of interrupts between two storm checks, a power of two.
const LOOK_EVERY: u64 = 64;

impl Arrivals {
    /// Counts one interrupt. Returns whether to check for a storm.
    #[inline]
    fn note(&self, claim: Claim) -> bool {
        let all = self.all.load(Ordering::Relaxed) + 1;
        if claim == Claim::NotMine {
            let unclaimed = self.unclaimed.load(Ordering::Relaxed) + 1;
            self.unclaimed.store(unclaimed, Ordering::Relaxed);
        }
        // Release: a CPU that sees the count sees the handler's stores.
        self.all.store(all, Ordering::Release);
        all.is_multiple_of(LOOK_EVERY)
    }

    pub(super) fn counts(&self) -> Counts {
        let all = self.all.load(Ordering::Acquire);
        // The other count may have been updated since.
        let unclaimed = self.unclaimed.load(Ordering::Relaxed).min(all);
        Counts {
            claimed: all - unclaimed,
            unclaimed,
        }
    }
}

/// The context of a vector's entry in the interrupt table.
struct Context<F> {
    handler: Arc<F>,
    arrivals: Arc<CachePadded<Arrivals>>,
    shared: Arc<Shared>,
    first: Vector,
    /// The register for the end of a level-triggered interrupt, if the local APIC does not
    /// broadcast it.
    end: Option<EndRegister>,
}

/// The binding of a line's handlers to the vectors of one CPU.
#[derive(Debug)]
pub(super) struct Installation {
    target: &'static Online,
    first: Vector,
    count: u8,
    context: usize,
    free: fn(usize),
    arrivals: Arc<CachePadded<Arrivals>>,
}

impl Installation {
    /// Binds `handler` to the `count` vectors from `first` on, which belong to the line.
    ///
    /// # Panics
    ///
    /// If a free vector has a handler, which is a bug in the kernel.
    pub(super) fn new<F, C>(
        target: &'static Online,
        first: Vector,
        handler: &Arc<F>,
        shared: &Arc<Shared>,
    ) -> Self
    where
        F: Fn(u8) -> C + Send + Sync + 'static,
        C: Into<Claim>,
    {
        let arrivals = shared.arrivals_at_new_place();
        let context = Context {
            handler: Arc::clone(handler),
            arrivals: Arc::clone(&arrivals),
            shared: Arc::clone(shared),
            first,
            end: shared.end_register(),
        };
        let installation = Self {
            target,
            first,
            count: shared.count,
            context: Box::into_raw(Box::new(context)) as usize,
            free: free::<F>,
            arrivals,
        };
        for vector in installation.vectors() {
            let table = INTERRUPTS.of(target.cpu);
            let installed = table.install(vector, enter::<F, C> as Handler, installation.context);
            assert!(installed, "a vector that was free has a handler");
        }
        installation
    }

    fn vectors(&self) -> impl Iterator<Item = Vector> + use<> {
        let first = self.first.get();
        (first..=first + (self.count - 1)).map(Vector)
    }

    /// Waits until no interrupt of the binding, for line `name`, is pending or in service. Logs
    /// once if that takes long, because the CPU's priority stays raised or a handler does not
    /// return.
    pub(super) fn wait_until_quiet(&self, name: &'static str) {
        let mut long_wait = LongWait::new();
        let cpu = self.target.cpu.id();
        let is_busy = AtomicBool::new(true);
        // This runs on the line's CPU in class 13, so a handler of a higher class has returned by
        // then.
        let look = || {
            let apic = local();
            let busy = |vector: Vector| apic.is_requested(vector) || apic.is_in_service(vector);
            is_busy.store(self.vectors().any(busy), Ordering::Release);
        };
        loop {
            call::run(cpu, look).expect("a CPU that is online stays so");
            if !is_busy.load(Ordering::Acquire) {
                return;
            }
            wait::poll(Awaited::Line(cpu, name), &mut long_wait);
        }
    }

    /// Removes the handlers, and returns when no CPU can be executing them. In a thread. The source
    /// must be masked or routed elsewhere.
    pub(super) fn remove(self, shared: &Shared) {
        for vector in self.vectors() {
            INTERRUPTS.of(self.target.cpu).begin_removal(vector);
        }
        // Interrupts that arrived before may still be pending or in service.
        self.wait_until_quiet(shared.name);
        for vector in self.vectors() {
            INTERRUPTS.of(self.target.cpu).end_removal(vector);
        }
        shared.leave_place(&self.arrivals);
        (self.free)(self.context);
    }
}

extern "C" fn enter<F, C>(context: usize, vector: u8)
where
    F: Fn(u8) -> C,
    C: Into<Claim>,
{
    // SAFETY: The context is the box of the binding, which is freed only when no CPU can be here.
    let context = unsafe { &*(context as *const Context<F>) };
    let number = vector.wrapping_sub(context.first.get());
    let claim = (context.handler)(number).into();
    if context.arrivals.note(claim) {
        // A separate function, so that no registers are saved for it where it is not called.
        return look(context, vector);
    }
    context.end(vector);
}

#[cold]
#[inline(never)]
fn look<F>(context: &Context<F>, vector: u8) {
    storm::look(&context.shared);
    context.end(vector);
}

impl<F> Context<F> {
    /// Signals the end of the interrupt to the I/O APIC, if the local APIC does not broadcast it.
    #[inline]
    fn end(&self, vector: u8) {
        if let Some(end) = self.end {
            end.write(Vector(vector));
        }
    }
}

fn free<F>(context: usize) {
    // SAFETY: The pointer came from `Box::into_raw`, and the binding that owned it is gone.
    drop(unsafe { Box::from_raw(context as *mut Context<F>) });
}

//! The state that a line's owner, its handlers and its storm detection share.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use crossbeam_utils::CachePadded;
use tocsin_logic::apic::Trigger;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::irq::route::Pin;
use tocsin_logic::irq::storm::Counts;
use tocsin_logic::vector::{PriorityClass, Vector};

use crate::apic::io::EoiRegister;
use crate::apic::local;
use crate::line::LineError;
use crate::line::binding::InterruptCounters;
use crate::line::source::{LineSource, Messages};
use crate::line::storm::StormState;
use crate::smp::Online;
use crate::sync::IrqMutex;
use crate::time;

/// The reasons for masking a line. It is masked while at least one is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MaskReason {
    Owner = 1,
    Move = 2,
    Storm = 4,
}

/// A line, without its handlers.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) name: &'static str,
    pub(super) class: PriorityClass,
    pub(super) count: u8,
    /// Held during a few register accesses, also in handlers.
    state: IrqMutex<State>,
    pub(super) storm: StormState,
    is_moving: AtomicBool,
}

/// The variable state of a line.
#[derive(Debug)]
pub(super) struct State {
    /// The CPU that receives its interrupts.
    pub(super) target: &'static Online,
    pub(super) first: Vector,
    pub(super) source: LineSource,
    /// The set of [`MaskReason`]s.
    masks: u8,
    /// The counts of its current bindings.
    counters: Vec<Arc<CachePadded<InterruptCounters>>>,
    /// The sum of the counts of removed bindings.
    retired: Counts,
}

/// A snapshot of a line.
#[derive(Clone, Debug)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// Its source.
    pub source: String,
    /// The pin of its source; `None` for messages and IPIs.
    pub pin: Option<Pin>,
    /// The number of the CPU that handles it.
    pub cpu: u32,
    /// Its first vector on this CPU.
    pub first: Vector,
    /// The number of its vectors.
    pub count: u8,
    /// Its class.
    pub class: PriorityClass,
    /// Its interrupt counts.
    pub counts: Counts,
    /// Whether it is masked, by its owner or because of a storm.
    pub is_masked: bool,
    /// The number of storms so far.
    pub storms: u32,
}

/// Timeout of the end of an interrupt, in nanoseconds.
const EOI_TIMEOUT: u64 = 1_000_000_000;

impl Description {
    /// Its last vector.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn last(&self) -> Vector {
        Vector(self.first.get() + (self.count - 1))
    }
}

/// All lines, in the order of creation.
static LINES: IrqMutex<Vec<Arc<Inner>>> = IrqMutex::new(Vec::new());

/// The current state of all lines, in the order in which they were made.
///
/// Context: any but NMI.
#[must_use]
pub fn all() -> Vec<Description> {
    let lines = LINES.lock().clone();
    lines.iter().map(|line| line.describe()).collect()
}

impl Inner {
    pub(super) fn new(
        name: &'static str,
        class: PriorityClass,
        count: u8,
        target: &'static Online,
        first: Vector,
        source: LineSource,
    ) -> Arc<Self> {
        let inner = Arc::new(Self {
            name,
            class,
            count,
            state: IrqMutex::new(State {
                target,
                first,
                source,
                masks: 0,
                counters: Vec::new(),
                retired: Counts::default(),
            }),
            storm: StormState::new(),
            is_moving: AtomicBool::new(false),
        });
        LINES.lock().push(Arc::clone(&inner));
        inner
    }

    /// Stops the source. When this returns, no interrupt of the source is in flight, and those of
    /// an input have been ended by the handlers, which must still be bound. Drops a device's
    /// messages.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.set_masked(MaskReason::Owner, true);
        if let LineSource::Messages(_) = state.source {
            let messages = core::mem::replace(&mut state.source, LineSource::Ipi);
            drop(state);
            drop(messages);
            return;
        }
        let waits_for_eoi = state.source.kind().waits_for_eoi();
        drop(state);
        if !self.wait_until_idle(waits_for_eoi) && waits_for_eoi {
            let error = self.with(|state| state.eoi_timeout());
            log::warn!("line {}: {error} (removed nevertheless)", self.name);
        }
    }

    /// Removes the line from the list of lines, and frees its input.
    pub(super) fn retire(&self) {
        LINES
            .lock()
            .retain(|line| !core::ptr::eq(&raw const **line, self));
        let source = core::mem::replace(&mut self.state.lock().source, LineSource::Ipi);
        drop(source);
    }

    /// Waits until no interrupt of the source is in flight and, with `with_eoi`, until its EOI
    /// has arrived. Returns whether this happened within the timeout.
    pub(super) fn wait_until_idle(&self, with_eoi: bool) -> bool {
        time::wait_until(EOI_TIMEOUT, || self.state.lock().source.is_idle(with_eoi))
    }

    /// Calls `act` with the state locked.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock())
    }

    /// Begins a move. Only one move may be in progress.
    pub(super) fn begin_move(&self) -> Result<MoveGuard<'_>, LineError> {
        if self.is_moving.swap(true, Ordering::Acquire) {
            return Err(LineError::Moving);
        }
        Ok(MoveGuard(self))
    }

    /// Sends the line's first interrupt, as a device would.
    pub(super) fn trigger(&self) -> Result<(), LineError> {
        // The state is locked, so that a move waits for an interrupt sent to the old target.
        let state = self.state.lock();
        // An IPI clears its vector's bit in the TMR. If the input's own message is already in the
        // IRR, the two merge into one interrupt whose EOI is not broadcast, and remote IRR stays
        // set (SDM vol. 3A, 12.8.4 and 12.8.5).
        if state.source.is_level() {
            return Err(LineError::Level);
        }
        state.send(0);
        Ok(())
    }

    /// Removes the mask of a storm. If the source does not record interrupts while it is masked,
    /// its device may send no further interrupt until the lost one is handled; therefore each
    /// interrupt of the line is sent once.
    pub(super) fn unmask_after_storm(&self) {
        let mut state = self.state.lock();
        state.set_masked(MaskReason::Storm, false);
        if state.masks == 0 && !state.source.kind().can_be_masked() {
            (0..self.count).for_each(|number| state.send(number));
        }
    }

    /// Unmasks an input for the first time.
    pub(super) fn enable(&self) -> Result<(), LineError> {
        let mut state = self.state.lock();
        let (target, first) = (state.target, state.first);
        state.set_route(target, first, self.count)?;
        state.source.set_masked(false);
        Ok(())
    }

    pub(super) fn attach(
        &self,
        mut messages: alloc::boxed::Box<dyn Messages>,
    ) -> Result<(), LineError> {
        let mut state = self.state.lock();
        if !matches!(state.source, LineSource::Ipi) {
            return Err(LineError::HasSource);
        }
        messages.set_masked(true);
        state.source = LineSource::Messages(messages);
        let (target, first) = (state.target, state.first);
        let routed = state.set_route(target, first, self.count);
        match routed {
            Ok(()) => {
                let masked = state.masks != 0;
                state.source.set_masked(masked);
                Ok(())
            }
            Err(error) => {
                let refused = core::mem::replace(&mut state.source, LineSource::Ipi);
                drop(state);
                drop(refused);
                Err(error)
            }
        }
    }

    pub(super) fn set_masked(&self, reason: MaskReason, masked: bool) {
        self.state.lock().set_masked(reason, masked);
    }

    /// The sum of the counts of all bindings.
    pub(super) fn counts(&self) -> Counts {
        self.state.lock().counts()
    }

    pub(super) fn add_counters(&self) -> Arc<CachePadded<InterruptCounters>> {
        let counters = Arc::new(CachePadded::<InterruptCounters>::default());
        self.state.lock().counters.push(Arc::clone(&counters));
        counters
    }

    /// Moves the counts of a removed binding to the retired counts.
    pub(super) fn retire_counters(&self, counters: &Arc<CachePadded<InterruptCounters>>) {
        let mut state = self.state.lock();
        state.counters.retain(|known| !Arc::ptr_eq(known, counters));
        state.retired = sum(state.retired, counters.counts());
    }

    /// The register with which handlers signal the end of an interrupt, if they must.
    pub(super) fn eoi_register(&self) -> Option<EoiRegister> {
        match &self.state.lock().source {
            LineSource::Pin(pin, input) if pin.mode.trigger == Trigger::Level => {
                input.eoi_register()
            }
            _ => None,
        }
    }

    pub(super) fn describe(&self) -> Description {
        let state = self.state.lock();
        Description {
            name: self.name,
            source: alloc::format!("{}", state.source),
            pin: state.source.pin(),
            cpu: state.target.cpu.id(),
            first: state.first,
            count: self.count,
            class: self.class,
            counts: state.counts(),
            is_masked: state.masks != 0,
            storms: self.storm.storms(),
        }
    }
}

impl State {
    /// Routes the line's interrupts to these vectors of `target`.
    pub(super) fn set_route(
        &mut self,
        target: &'static Online,
        first: Vector,
        count: u8,
    ) -> Result<(), LineError> {
        self.source.set_route(first, count, target.apic_id)?;
        self.target = target;
        self.first = first;
        Ok(())
    }

    /// Sends an interrupt of the line, which has no level-triggered input.
    fn send(&self, number: u8) {
        let destination = Destination::Physical(self.target.apic_id);
        let vector = Vector(self.first.get() + number);
        local()
            .send_fixed(vector, destination)
            .expect("the ID of a CPU that is online fits the mode");
    }

    /// The error for an interrupt of the input whose EOI does not arrive.
    pub(super) fn eoi_timeout(&self) -> LineError {
        match &self.source {
            LineSource::Pin(pin, _) => LineError::EoiTimeout(pin.gsi),
            LineSource::Ipi | LineSource::Messages(_) => LineError::Moving,
        }
    }

    pub(super) fn set_masked(&mut self, reason: MaskReason, masked: bool) {
        let before = self.masks != 0;
        if masked {
            self.masks |= reason as u8;
        } else {
            self.masks &= !(reason as u8);
        }
        let now = self.masks != 0;
        if before != now {
            self.source.set_masked(now);
        }
    }

    fn counts(&self) -> Counts {
        let current = self.counters.iter().map(|counters| counters.counts());
        current.fold(self.retired, sum)
    }
}

fn sum(left: Counts, right: Counts) -> Counts {
    Counts {
        claimed: left.claimed + right.claimed,
        unclaimed: left.unclaimed + right.unclaimed,
    }
}

/// A move in progress.
#[derive(Debug)]
pub(super) struct MoveGuard<'a>(&'a Inner);

impl Drop for MoveGuard<'_> {
    fn drop(&mut self) {
        self.0.is_moving.store(false, Ordering::Release);
    }
}

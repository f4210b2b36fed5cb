//! What a line's owner, its handlers and the watch over storms have in common.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use crossbeam_utils::CachePadded;
use tocsin_logic::apic::Trigger;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::irq::storm::Counts;
use tocsin_logic::vector::{PriorityClass, Vector};

use crate::apic::io::EndRegister;
use crate::apic::local;
use crate::line::LineError;
use crate::line::binding::Arrivals;
use crate::line::source::{Messages, Origin};
use crate::line::storm::Watch;
use crate::smp::Online;
use crate::sync::IrqMutex;
use crate::time;

/// Who keeps a line masked. It is masked while anybody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Masker {
    Owner = 1,
    Move = 2,
    Storm = 4,
}

/// A line, without its handlers.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: &'static str,
    pub(super) class: PriorityClass,
    pub(super) count: u8,
    /// Held for the time of some register accesses, also in handlers.
    state: IrqMutex<State>,
    pub(super) watch: Watch,
    is_moving: AtomicBool,
}

/// What changes in a line's life.
#[derive(Debug)]
pub(super) struct State {
    /// Where its interrupts go.
    pub(super) target: &'static Online,
    pub(super) first: Vector,
    pub(super) origin: Origin,
    /// Of [`Masker`].
    masks: u8,
    /// What comes at the places where it has handlers.
    arrivals: Vec<Arc<CachePadded<Arrivals>>>,
    /// What came at those it has left.
    past: Counts,
}

/// A line as it is at a moment.
#[derive(Clone, Debug)]
pub struct Description {
    /// The owner's name for it.
    pub name: &'static str,
    /// What makes its interrupts come.
    pub source: String,
    /// The number of the CPU that answers it.
    pub cpu: u32,
    /// Its first vector there.
    pub first: Vector,
    /// How many vectors it has.
    pub count: u8,
    /// Its class.
    pub class: PriorityClass,
    /// What has come.
    pub counts: Counts,
    /// Whether it is masked, by its owner or for a storm.
    pub is_masked: bool,
    /// Storms so far.
    pub storms: u32,
}

/// How long an interrupt may take to be ended, in nanoseconds.
const PATIENCE: u64 = 1_000_000_000;

impl Description {
    /// Its last vector.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn last(&self) -> Vector {
        Vector(self.first.get() + (self.count - 1))
    }
}

/// All lines, in the order of their making.
static LINES: IrqMutex<Vec<Arc<Shared>>> = IrqMutex::new(Vec::new());

/// The current state of all lines, in the order in which they were made.
///
/// Context: any but NMI.
#[must_use]
pub fn all() -> Vec<Description> {
    let lines = LINES.lock().clone();
    lines.iter().map(|line| line.describe()).collect()
}

impl Shared {
    pub(super) fn new(
        name: &'static str,
        class: PriorityClass,
        count: u8,
        target: &'static Online,
        first: Vector,
        origin: Origin,
    ) -> Arc<Self> {
        let shared = Arc::new(Self {
            name,
            class,
            count,
            state: IrqMutex::new(State {
                target,
                first,
                origin,
                masks: 0,
                arrivals: Vec::new(),
                past: Counts::default(),
            }),
            watch: Watch::new(),
            is_moving: AtomicBool::new(false),
        });
        LINES.lock().push(Arc::clone(&shared));
        shared
    }

    /// Stops its source: nothing of it is on its way when this returns, and what an input began has been
    /// ended by the handlers, which must still be there. Lets messages go.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.set_masked(Masker::Owner, true);
        if let Origin::Messages(_) = state.origin {
            let messages = core::mem::replace(&mut state.origin, Origin::Ipi);
            drop(state);
            drop(messages);
            return;
        }
        let waits_for_end = state.origin.kind().waits_for_end();
        drop(state);
        if !self.wait_until_idle(waits_for_end) && waits_for_end {
            let error = self.with(|state| state.unended());
            log::warn!("line {}: {error}; taken away all the same", self.name);
        }
    }

    /// Takes it from the list of lines, and lets its input go.
    pub(super) fn retire(&self) {
        LINES
            .lock()
            .retain(|line| !core::ptr::eq(&raw const **line, self));
        let origin = core::mem::replace(&mut self.state.lock().origin, Origin::Ipi);
        drop(origin);
    }

    /// Waits until nothing of the source is on its way, with `ended` also until its interrupt has been
    /// ended. Returns whether it came to that in time.
    pub(super) fn wait_until_idle(&self, ended: bool) -> bool {
        time::wait_until(PATIENCE, || self.state.lock().origin.is_idle(ended))
    }

    /// Does something that needs the state to stand still.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock())
    }

    /// Begins a move: only one at a time.
    pub(super) fn begin_move(&self) -> Result<Moving<'_>, LineError> {
        if self.is_moving.swap(true, Ordering::Acquire) {
            return Err(LineError::Moving);
        }
        Ok(Moving(self))
    }

    /// Sends its first interrupt, as a device would.
    pub(super) fn trigger(&self) -> Result<(), LineError> {
        // The state stands still, so that a move waits for what is sent to the old place.
        let state = self.state.lock();
        // An IPI clears its vector's bit in the TMR. With the input's own message in the IRR already the
        // two are one, whose EOI is then not broadcast: remote IRR stays (SDM vol. 3A, 12.8.4 and 12.8.5).
        if state.origin.is_level() {
            return Err(LineError::Level);
        }
        state.send(0);
        Ok(())
    }

    /// Ends the mask of a storm. A source that forgets what came meanwhile may be a device that sends no
    /// other interrupt until this one is answered: in its place each of the line's interrupts is sent once.
    pub(super) fn let_through_again(&self) {
        let mut state = self.state.lock();
        state.set_masked(Masker::Storm, false);
        if state.masks == 0 && !state.origin.kind().can_be_masked() {
            (0..self.count).for_each(|number| state.send(number));
        }
    }

    /// Lets an input through for the first time.
    pub(super) fn open(&self) -> Result<(), LineError> {
        let mut state = self.state.lock();
        let (target, first) = (state.target, state.first);
        state.aim(target, first, self.count)?;
        state.origin.set_masked(false);
        Ok(())
    }

    pub(super) fn attach(
        &self,
        mut messages: alloc::boxed::Box<dyn Messages>,
    ) -> Result<(), LineError> {
        let mut state = self.state.lock();
        if !matches!(state.origin, Origin::Ipi) {
            return Err(LineError::HasSource);
        }
        messages.set_masked(true);
        state.origin = Origin::Messages(messages);
        let (target, first) = (state.target, state.first);
        let aimed = state.aim(target, first, self.count);
        match aimed {
            Ok(()) => {
                let masked = state.masks != 0;
                state.origin.set_masked(masked);
                Ok(())
            }
            Err(error) => {
                let refused = core::mem::replace(&mut state.origin, Origin::Ipi);
                drop(state);
                drop(refused);
                Err(error)
            }
        }
    }

    pub(super) fn set_masked(&self, by: Masker, masked: bool) {
        self.state.lock().set_masked(by, masked);
    }

    /// What has come at all places.
    pub(super) fn counts(&self) -> Counts {
        self.state.lock().counts()
    }

    pub(super) fn arrivals_at_new_place(&self) -> Arc<CachePadded<Arrivals>> {
        let arrivals = Arc::new(CachePadded::<Arrivals>::default());
        self.state.lock().arrivals.push(Arc::clone(&arrivals));
        arrivals
    }

    /// The place is left: nobody counts there any more.
    pub(super) fn leave_place(&self, arrivals: &Arc<CachePadded<Arrivals>>) {
        let mut state = self.state.lock();
        state.arrivals.retain(|known| !Arc::ptr_eq(known, arrivals));
        state.past = sum(state.past, arrivals.counts());
    }

    /// Where handlers tell of the end of an interrupt, if they must.
    pub(super) fn end_register(&self) -> Option<EndRegister> {
        match &self.state.lock().origin {
            Origin::Pin(pin, input) if pin.mode.trigger == Trigger::Level => input.end_register(),
            _ => None,
        }
    }

    pub(super) fn describe(&self) -> Description {
        let state = self.state.lock();
        Description {
            name: self.name,
            source: alloc::format!("{}", state.origin),
            cpu: state.target.cpu.id(),
            first: state.first,
            count: self.count,
            class: self.class,
            counts: state.counts(),
            is_masked: state.masks != 0,
            storms: self.watch.storms(),
        }
    }
}

impl State {
    /// Sends the line's interrupts there from now on.
    pub(super) fn aim(
        &mut self,
        target: &'static Online,
        first: Vector,
        count: u8,
    ) -> Result<(), LineError> {
        self.origin.aim(first, count, target.apic_id)?;
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

    /// That its input's interrupt is not ended.
    pub(super) fn unended(&self) -> LineError {
        match &self.origin {
            Origin::Pin(pin, _) => LineError::Unended(pin.gsi),
            Origin::Ipi | Origin::Messages(_) => LineError::Moving,
        }
    }

    pub(super) fn set_masked(&mut self, by: Masker, masked: bool) {
        let before = self.masks != 0;
        if masked {
            self.masks |= by as u8;
        } else {
            self.masks &= !(by as u8);
        }
        let now = self.masks != 0;
        if before != now {
            self.origin.set_masked(now);
        }
    }

    fn counts(&self) -> Counts {
        let present = self.arrivals.iter().map(|arrivals| arrivals.counts());
        present.fold(self.past, sum)
    }
}

fn sum(left: Counts, right: Counts) -> Counts {
    Counts {
        claimed: left.claimed + right.claimed,
        unclaimed: left.unclaimed + right.unclaimed,
    }
}

/// A move that is going on.
#[derive(Debug)]
pub(super) struct Moving<'a>(&'a Shared);

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.is_moving.store(false, Ordering::Release);
    }
}

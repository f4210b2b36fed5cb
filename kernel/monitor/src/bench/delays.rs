//! A log of every section that delays interrupts on the measured CPU, with an entry for each
//! section when it ends.
//!
//! - IF = 0 and CR8: the kernel's own accounting of both (`priority::latency`), which its locks,
//!   ceilings and IRQs-off sections update.
//! - Handlers: while a [`Recording`] lives, each handler in the CPU's table is entered through
//!   [`logging_handler`], which reads the TSC before and after it. The entry code before the
//!   handler and the EOI after it count as part of the handler; [`HandlerOverhead`] holds their
//!   measured durations. A handler below the measured class delays the measured interrupt only
//!   during these two periods, in which IF = 0.
//! - Timer functions: several can run in one interrupt, so each of them adds its own entry
//!   ([`note_service`]).
//!
//! The log does not contain the last few instructions between the TSC read and the end of a
//! section, exception handlers, and NMIs.

use crate::raw;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arrayvec::ArrayVec;
use tocsin_logic::bench::{LatencyCause, MaskedPeriod};
use tocsin_logic::vector::{PriorityClass, Vector};
use x86_64::instructions::interrupts;

use super::baselines::Handler;
use super::clock::stamp;
use tocsin::cpu::handlers::{FIRST, WITHOUT_EOI};
use tocsin::priority::latency::SectionKind;
use tocsin::{cpu, sync};

/// The measured priority class, which is that of the timers.
pub(super) const CLASS: PriorityClass = PriorityClass::new(14).expect("a class is 0 to 15");

/// The number of entries in the log. It exceeds the number of sections that end while one interrupt
/// is pending.
const LOG_SIZE: usize = 256;

/// The maximum number of sections in one latency breakdown.
pub(super) const MAX_SECTIONS: usize = 64;

#[derive(Clone, Copy)]
struct Entry {
    section: MaskedPeriod,
    /// The TSC value at which the section was logged.
    noted: u64,
}

struct Log {
    /// The total number of entries logged. The next entry goes to index `count` modulo
    /// [`LOG_SIZE`].
    count: u64,
    entries: [Entry; LOG_SIZE],
    /// The handlers of the CPU's table, by vector.
    handlers: [Option<Handler>; 256],
}

/// The log. It is accessed only on the measured CPU with interrupts disabled.
struct Owned(UnsafeCell<Log>);

// SAFETY: `with` admits only one CPU and disables interrupts on it.
unsafe impl Sync for Owned {}

static LOG: Owned = Owned(UnsafeCell::new(Log {
    count: 0,
    entries: [Entry {
        section: MaskedPeriod {
            cause: LatencyCause::IfOff,
            begin: 0,
            end: 0,
        },
        noted: 0,
    }; LOG_SIZE],
    handlers: [None; 256],
}));

/// The number of the measured CPU plus 1, or 0 if no CPU is measured.
static MEASURED: AtomicU32 = AtomicU32::new(0);

/// The fields of [`HandlerOverhead`].
static BEFORE: AtomicU64 = AtomicU64::new(0);
static AFTER: AtomicU64 = AtomicU64::new(0);

/// Calls `action` with the log if this CPU is the measured one; otherwise returns `None`.
fn with<R>(action: impl FnOnce(&mut Log) -> R) -> Option<R> {
    let own = cpu::current().id() + 1;
    if MEASURED.load(Ordering::Relaxed) != own {
        return None;
    }
    let enable = interrupts::are_enabled();
    interrupts::disable();
    // SAFETY: Only the measured CPU gets here, and no interrupt can access the log at the same
    // time: NMIs take no locks and run no handlers of the table. No `action` of this module calls
    // `with`.
    let result = action(unsafe { &mut *LOG.0.get() });
    if enable {
        interrupts::enable();
    }
    Some(result)
}

impl Log {
    /// Appends a section. The entries are in the order of their `noted`, even if an interrupt
    /// arrives between the end of the section and this call.
    fn push(&mut self, cause: LatencyCause, begin: u64, end: u64) {
        self.entries[self.count as usize % LOG_SIZE] = Entry {
            section: MaskedPeriod { cause, begin, end },
            noted: stamp(),
        };
        self.count += 1;
    }
}

/// The durations of a handler's entry and exit code, in cycles.
#[derive(Clone, Copy, Debug)]
pub(super) struct HandlerOverhead {
    /// From the gate to the first TSC read.
    pub(super) before: u64,
    /// From the last TSC read to the interrupted code.
    pub(super) after: u64,
}

/// Logs all sections of this CPU until it is dropped.
#[derive(Debug)]
pub(super) struct Recording;

impl Recording {
    /// Starts to record. The caller runs in a thread of the measured CPU.
    pub(super) fn begin(overhead: HandlerOverhead) -> Self {
        BEFORE.store(overhead.before, Ordering::Relaxed);
        AFTER.store(overhead.after, Ordering::Relaxed);
        let this = cpu::current();
        MEASURED.store(this.id() + 1, Ordering::SeqCst);
        for vector in vectors() {
            // With interrupts disabled, so that no handler is entered through `logging_handler`
            // before it is stored in the log.
            sync::without_interrupts(|| {
                let found = raw::exchange(this, vector, logging_handler);
                with(|log| log.handlers[usize::from(vector.get())] = found.map(|it| it.0));
            });
        }
        raw::record(Some(log_section));
        Self
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        raw::record(None);
        let this = cpu::current();
        for vector in vectors() {
            let own = with(|log| log.handlers[usize::from(vector.get())].take()).flatten();
            if let Some(own) = own {
                let _ = raw::exchange(this, vector, own);
            }
        }
        MEASURED.store(0, Ordering::SeqCst);
    }
}

/// The vectors that the local APIC delivers.
fn vectors() -> impl Iterator<Item = Vector> {
    let all = (FIRST..=u8::MAX).filter(|vector| !WITHOUT_EOI.contains(vector));
    all.map(Vector)
}

/// The hook that the kernel calls at the end of a section, with interrupts disabled.
fn log_section(kind: SectionKind, since: u64) {
    let cause = match kind {
        SectionKind::IrqsOff => LatencyCause::IfOff,
        SectionKind::Raised(class) if class >= CLASS => LatencyCause::Cr8,
        // A lower class does not delay the measured interrupt.
        SectionKind::Raised(_) => return,
    };
    with(|log| log.push(cause, since, stamp()));
}

/// Logs that the function of a timer has run since `begin`.
pub(super) fn note_service(begin: u64) {
    with(|log| log.push(LatencyCause::InService, begin, stamp()));
}

/// Calls the handler that was in the table, and logs when it ran.
extern "C" fn logging_handler(context: usize, vector: u8) {
    let begin = stamp();
    let entered = begin.saturating_sub(BEFORE.load(Ordering::Relaxed));
    let after = AFTER.load(Ordering::Relaxed);
    let delays_measured = vector >> 4 >= CLASS.get();
    let handler = with(|log| {
        if !delays_measured {
            // Logged now, because a pending interrupt can arrive in the middle of the handler.
            log.push(LatencyCause::IfOff, entered, begin);
        }
        log.handlers[usize::from(vector)]
    });
    if let Some(handler) = handler.flatten() {
        handler(context, vector);
    }
    // Interrupts stay disabled until the IRET to the interrupted code, except in the handler
    // itself.
    interrupts::disable();
    with(|log| {
        let end = stamp();
        if delays_measured {
            log.push(LatencyCause::InService, entered, end + after);
        } else {
            log.push(LatencyCause::IfOff, end, end + after);
        }
    });
}

/// Returns the sections that delayed an interrupt between its `deadline` and the start of the
/// measured function at `began`. The CPU entered the interrupt's gate at `gate`. Returns `None` if
/// there were more sections than the log or the result can hold.
pub(super) fn between(
    deadline: u64,
    gate: u64,
    began: u64,
) -> Option<ArrayVec<MaskedPeriod, MAX_SECTIONS>> {
    let after = AFTER.load(Ordering::Relaxed);
    with(|log| {
        let mut found = ArrayVec::new();
        for back in 1..=log.count.min(LOG_SIZE as u64) {
            let Entry { mut section, noted } = log.entries[(log.count - back) as usize % LOG_SIZE];
            if noted + after < deadline {
                return Some(found);
            }
            if section.begin < gate {
                // It had ended when the interrupt was delivered, whatever the estimate of its exit
                // code is.
                section.end = section.end.min(gate);
            } else if noted >= began {
                // It is a section of the measured function itself.
                continue;
            }
            if section.end > deadline && found.try_push(section).is_err() {
                return None;
            }
        }
        (log.count < LOG_SIZE as u64).then_some(found)
    })
    .flatten()
}

//! The longest IRQs-off and raised-priority sections of a CPU, and their code.
//!
//! Measured on request only, because reading the clock costs more than a short section itself.
//! Recorded are sections under an [`IrqMutex`](crate::sync::IrqMutex), from before the wait for it;
//! sections of [`without_interrupts`](crate::sync::without_interrupts); and sections under a raised
//! priority (CR8), each from the masking of interrupts to their unmasking.
//!
//! Not recorded are the sections that no function ends: the instructions of the entry code before a
//! handler and after it, handlers of exceptions and of the vectors without EOI, bring-up, and the
//! few instructions before an idle CPU sleeps. The time in which a class is masked by a handler of
//! its own class or a higher one is not recorded either: this is the purpose of priorities.

use core::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayString;
use tocsin_logic::backtrace;
use tocsin_logic::irq::statistics::Longest;
use tocsin_logic::vector::PriorityClass;

use crate::cpu::handlers;
use crate::fn_cell::{FnCell, FnPointer};
use crate::hw::processor;
use crate::panic::backtrace::{read, stack_around};
use crate::panic::symbols::Code;
use crate::{sync, time};

/// Number of return addresses recorded for a section: enough to get past the lock's own functions.
const CALLS: usize = 12;

/// Functions between a section and its end, by the beginnings of their names.
const GUARD_FUNCTIONS: [&str; 8] = [
    "tocsin::sync::",
    "tocsin::priority::",
    "<tocsin::sync::",
    "<tocsin::priority::",
    "lock_api::",
    "<lock_api::",
    "core::",
    "x86_64::",
];

/// The start of the measurement, in TSC cycles; sections that began before it are not recorded.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// The longest section of one kind on one CPU.
#[derive(Debug)]
pub struct Section {
    longest: Longest,
    /// The call chain at its end, innermost first; the first is also in `longest`.
    calls: [AtomicU64; CALLS],
}

/// The longest sections of a CPU.
#[derive(Debug)]
pub struct Sections {
    /// With interrupts disabled.
    pub irqs_off: Section,
    /// With the priority raised.
    pub raised: Section,
}

impl Sections {
    const fn new() -> Self {
        Self {
            irqs_off: Section::new(),
            raised: Section::new(),
        }
    }
}

crate::cpu_local! {
    /// The longest sections of each CPU.
    pub static SECTIONS: Sections = Sections::new();
}

impl Section {
    const fn new() -> Self {
        Self {
            longest: Longest::new(),
            calls: [const { AtomicU64::new(0) }; CALLS],
        }
    }

    /// The longest section so far, in nanoseconds, with a maximum of 4.29 s, and the code that
    /// ended it.
    ///
    /// Context: any.
    #[must_use]
    pub fn longest(&self) -> Option<(u64, Code)> {
        let (duration, first) = self.longest.get()?;
        let calls = self.calls.each_ref();
        let calls = calls.map(|call| call.load(Ordering::Relaxed));
        // While a longer section is being recorded, the two may not match.
        let caller = if calls[0] == first {
            let mut calls = calls.into_iter().filter(|&call| call != 0);
            calls.find(|&call| !is_guard_function(call))
        } else {
            None
        };
        Some((duration, Code(caller.unwrap_or(first))))
    }

    /// Records a section from `since` to now. With interrupts disabled, on the CPU to which it
    /// belongs.
    fn update(&self, since: u64) {
        if since < STARTED.load(Ordering::Relaxed) {
            return;
        }
        let duration = time::cycles_to_nanoseconds(processor::timestamp().saturating_sub(since));
        if duration <= self.longest.get().map_or(0, |(longest, _)| longest) {
            return;
        }
        let (rip, rbp, rsp) = processor::position();
        let stack = stack_around(rsp);
        let calls = backtrace::walk(rip, rbp, |address| stack.contains(&address), read);
        let mut calls = calls.enumerate().map(|(number, call)| {
            // A return address may be the first of the next function; the call is before it.
            call - u64::from(number > 0)
        });
        let first = calls.next().unwrap_or(rip);
        self.calls[0].store(first, Ordering::Relaxed);
        for slot in &self.calls[1..] {
            slot.store(calls.next().unwrap_or(0), Ordering::Relaxed);
        }
        self.longest.note(duration, first);
    }

    fn reset(&self) {
        self.longest.reset();
    }
}

/// Whether the code at `address` only ends sections of other functions.
fn is_guard_function(address: u64) -> bool {
    use core::fmt::Write;
    let mut text = ArrayString::<96>::new();
    // A text that is too long is truncated; only its beginning matters.
    let _ = write!(text, "{}", Code(address));
    // An address has 18 characters, followed by two spaces and the name.
    let name = text.get(20..).unwrap_or_default();
    GUARD_FUNCTIONS.iter().any(|begin| name.starts_with(begin))
}

/// Starts to record the longest sections, from none, or stops and keeps the result.
///
/// Context: thread.
pub fn set_measured(on: bool) {
    if !on {
        return sync::set_section_hook(None);
    }
    STARTED.store(processor::timestamp(), Ordering::Relaxed);
    for cpu in handlers::all_cpus() {
        SECTIONS.of(cpu).irqs_off.reset();
        SECTIONS.of(cpu).raised.reset();
    }
    sync::set_section_hook(Some(record_irqs_off));
}

/// How a section masks interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionKind {
    /// IF = 0.
    IrqsOff,
    /// CR8, with this class.
    Raised(PriorityClass),
}

// SAFETY: The type is a function pointer.
unsafe impl FnPointer for fn(SectionKind, u64) {}

/// The function that receives every section instead.
static RECORD: FnCell<fn(SectionKind, u64)> = FnCell::empty();

/// Sets the function that receives every section that ends on any CPU, with the time-stamp counter
/// at its beginning, while interrupts are disabled; `None` removes it. With such a function, the
/// longest sections are not recorded; when it is removed, the measurement is off.
///
/// Context: thread.
///
/// # Safety
///
/// `record` may use only atomics and memory of its own: it runs inside other operations, with
/// interrupts disabled.
#[cfg(feature = "bench")]
pub unsafe fn record(record: Option<fn(SectionKind, u64)>) {
    let is_on = record.is_some();
    RECORD.replace(record);
    sync::set_section_hook(is_on.then_some(record_irqs_off as fn(u64)));
}

/// Passes a section to the function that receives all sections, if there is one.
fn forward(kind: SectionKind, since: u64) -> bool {
    let record = RECORD.get();
    if let Some(record) = record {
        record(kind, since);
    }
    record.is_some()
}

/// Records that this CPU had its interrupts disabled since `since`.
fn record_irqs_off(since: u64) {
    if !forward(SectionKind::IrqsOff, since) {
        SECTIONS.here().irqs_off.update(since);
    }
}

/// Records that this CPU's priority was raised to `class` since `since`, in TSC cycles. Thread or
/// handler.
pub(crate) fn record_raised(class: PriorityClass, since: u64) {
    // This section must not be recorded itself.
    x86_64::instructions::interrupts::without_interrupts(|| {
        if !forward(SectionKind::Raised(class), since) {
            SECTIONS.here().raised.update(since);
        }
    });
}

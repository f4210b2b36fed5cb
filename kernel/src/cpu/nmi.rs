//! What a CPU does on an NMI: what it was asked to, and then it goes on.
//!
//! The handler may interrupt anything, code that holds locks too. So it takes none, allocates
//! nothing and prints nothing; only an NMI that nobody asked for is reported. The entry code sees to
//! it that the handler never runs inside itself: see [`super::entry`].

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tocsin_logic::irq::nmi::{BURST, Cause, Causes, REPORT_INTERVAL, Requests, Sort, is_reported};
use tocsin_logic::units::Nanoseconds;

use super::entry::TrapFrame;
use super::percpu::PerCpu;
use super::{ending, report};
use crate::fn_cell::FnCell;
use crate::time;

/// The vector of NMI.
pub(super) const VECTOR: u8 = 2;

/// A function that a CPU can be made to call in its NMI handler: with all interrupts off, and
/// perhaps in the middle of anything. It must take no lock.
pub type Function = extern "C" fn(argument: usize);

/// A CPU's NMIs.
#[repr(C)]
#[derive(Debug)]
pub struct Nmi {
    /// How many have been delivered. The entry code's.
    pub(super) count: AtomicU64,
    /// How many of them while the handler ran. The entry code's.
    pub(super) nested: AtomicU64,
    requests: Requests,
    call: Call,
    /// How often each of `Cause::ALL` was asked for.
    causes: [AtomicU64; Cause::ALL.len()],
    late: AtomicU64,
    unknown: AtomicU64,
    /// Unknown ones since the last report.
    unreported: AtomicU64,
    /// When that ended, in nanoseconds.
    last_report: AtomicU64,
}

/// The function to call. One at a time.
#[derive(Debug)]
struct Call {
    busy: AtomicBool,
    /// The function; stored after the argument.
    function: FnCell<Function>,
    argument: AtomicUsize,
}

/// How many NMIs a CPU has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Delivered by the processor.
    pub delivered: u64,
    /// Of these, delivered while the handler of another ran.
    pub nested: u64,
    /// What they were for, in the order of [`Cause::ALL`]. One NMI can be for several.
    pub causes: [u64; Cause::ALL.len()],
    /// Those whose causes an earlier one took.
    pub late: u64,
    /// Those that nobody in the kernel asked for.
    pub unknown: u64,
}

impl Nmi {
    pub(super) const fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            nested: AtomicU64::new(0),
            requests: Requests::new(),
            call: Call {
                busy: AtomicBool::new(false),
                function: FnCell::empty(),
                argument: AtomicUsize::new(0),
            },
            causes: [const { AtomicU64::new(0) }; Cause::ALL.len()],
            late: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            unreported: AtomicU64::new(0),
            last_report: AtomicU64::new(0),
        }
    }

    /// Asks for `cause`; the NMI is to be sent after it. Any CPU.
    pub(crate) fn ask(&self, cause: Cause) {
        self.requests.ask(cause);
    }

    /// Asks for a call of `function`; the NMI is to be sent after it. Any CPU. Returns whether it could
    /// be asked for: another one may be on its way.
    pub(crate) fn ask_call(&self, function: Function, argument: usize) -> bool {
        if self.call.busy.swap(true, Ordering::Acquire) {
            return false;
        }
        self.call.argument.store(argument, Ordering::Relaxed);
        self.call.function.replace(Some(function));
        self.ask(Cause::Call);
        true
    }

    /// How many there have been. Any CPU; those that are being handled may be counted in part.
    ///
    /// Context: any.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            delivered: get(&self.count),
            nested: get(&self.nested),
            causes: self.causes.each_ref().map(get),
            late: get(&self.late),
            unknown: get(&self.unknown),
        }
    }

    /// Whether an unknown NMI is reported, which has been counted. In the handler.
    fn is_reported(&self) -> bool {
        let unknown = self.unknown.load(Ordering::Relaxed);
        let last = self.last_report.load(Ordering::Relaxed);
        let reported = is_reported(unknown, time::nanoseconds(), last);
        if !reported {
            count(&self.unreported);
        }
        reported
    }

    /// Writes what a report says of the source, once NMIs have been too many to report each.
    pub(super) fn write(&self, out: &mut dyn Write) -> fmt::Result {
        if self.unknown.load(Ordering::Relaxed) < BURST {
            return Ok(());
        }
        let unreported = self.unreported.swap(0, Ordering::Relaxed);
        writeln!(
            out,
            "  repeats     {unreported} NMIs not reported since the last report (the next one is in {} or more; \
             `nmi` has the counts; silence the device at LINT1 or at an NMI input in `ioapic`)",
            Nanoseconds(REPORT_INTERVAL)
        )
    }

    /// A report has ended. In the handler.
    pub(super) fn end_report(&self) {
        self.last_report
            .store(time::nanoseconds(), Ordering::Relaxed);
    }

    /// Makes the call that is asked for.
    fn make_call(&self) {
        let call = &self.call;
        let Some(function) = call.function.replace(None) else {
            return;
        };
        let argument = call.argument.load(Ordering::Relaxed);
        call.busy.store(false, Ordering::Release);
        function(argument);
    }
}

/// Counts; only on the CPU that the counter belongs to, in its NMI handler.
fn count(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Answers an NMI. Returns whether that was all; otherwise it is one to report.
pub(super) fn answer(cpu: &PerCpu, frame: &TrapFrame) -> bool {
    let nmi = &cpu.nmi;
    match nmi.requests.take(time::nanoseconds()) {
        Sort::Asked(causes) => {
            serve(cpu, frame, causes);
            true
        }
        Sort::Late => {
            count(&nmi.late);
            true
        }
        Sort::Unknown => {
            count(&nmi.unknown);
            // A report that it interrupts must go on; then the counter has to do.
            if cpu.reports() > 0 {
                count(&nmi.unreported);
                return true;
            }
            !nmi.is_reported()
        }
    }
}

fn serve(cpu: &PerCpu, frame: &TrapFrame, causes: Causes) {
    for (cause, counter) in Cause::ALL.into_iter().zip(&cpu.nmi.causes) {
        if causes.contains(cause) {
            count(counter);
        }
    }
    if causes.contains(Cause::Stop) {
        ending::stop_if_elsewhere(cpu, frame.rip);
    }
    if causes.contains(Cause::Backtrace) || causes.contains(Cause::Watchdog) {
        report::capture(cpu, frame);
    }
    if causes.contains(Cause::Call) {
        cpu.nmi.make_call();
    }
}

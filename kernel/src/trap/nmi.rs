//! The NMI handler: it executes the CPU's pending requests and returns.
//!
//! The handler may interrupt any code, including code that holds locks. So it takes no locks,
//! allocates nothing and prints nothing; only an NMI without a request is reported. The entry code
//! ensures that the handler never runs inside itself: see [`crate::trap::entry`].

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tocsin_logic::irq::nmi::{BURST, Cause, Causes, Kind, REPORT_INTERVAL, Requests, is_reported};
use tocsin_logic::units::Nanoseconds;

use crate::cpu::Callback;
use crate::cpu::trap_frame::TrapFrame;
use crate::cpu_local::PerCpu;
use crate::fn_cell::FnCell;
use crate::panic::{backtrace, report, stop_cpus};
use crate::sync::LOCAL;
use crate::time;

/// The vector of NMI.
pub(crate) const VECTOR: u8 = 2;

/// The NMI state of a CPU.
#[repr(C)]
#[derive(Debug)]
pub struct Nmi {
    /// The number of delivered NMIs. Written by the entry code.
    pub(crate) count: AtomicU64,
    /// The number of NMIs delivered while the handler ran. Written by the entry code.
    pub(crate) nested: AtomicU64,
    requests: Requests,
    call: Call,
    /// The number of requests for each of `Cause::ALL`.
    causes: [AtomicU64; Cause::ALL.len()],
    late: AtomicU64,
    unknown: AtomicU64,
    /// The number of unknown NMIs since the last report.
    unreported: AtomicU64,
    /// The time at which the last report ended, in nanoseconds.
    last_report: AtomicU64,
}

/// A request for a call of a function. Only one may be pending.
#[derive(Debug)]
struct Call {
    busy: AtomicBool,
    /// The function; stored after the argument.
    function: FnCell<Callback>,
    argument: AtomicUsize,
}

/// The NMI counts of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Delivered by the processor.
    pub delivered: u64,
    /// Of these, delivered while the handler of another ran.
    pub nested: u64,
    /// Their causes, in the order of [`Cause::ALL`]. One NMI can have several.
    pub causes: [u64; Cause::ALL.len()],
    /// Those whose causes an earlier NMI has handled.
    pub late: u64,
    /// Those that the kernel has not requested.
    pub unknown: u64,
}

impl Nmi {
    const fn new() -> Self {
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

    /// Posts a request for `cause`; the caller must then send the NMI. Any CPU.
    pub(crate) fn request(&self, cause: Cause) {
        self.requests.request(cause);
    }

    /// Posts a request for a call of `function`; the caller must then send the NMI. Any CPU.
    /// Returns whether it was posted; false if another call is pending.
    pub(crate) fn request_call(&self, function: Callback, argument: usize) -> bool {
        if self.call.busy.swap(true, Ordering::Acquire) {
            return false;
        }
        self.call.argument.store(argument, Ordering::Relaxed);
        self.call.function.replace(Some(function));
        self.request(Cause::Call);
        true
    }

    /// The NMI counts. Any CPU; an NMI that is being handled may be counted in part.
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

    /// Whether to report an unknown NMI, which has been counted. In the handler.
    fn is_reported(&self) -> bool {
        let unknown = self.unknown.load(Ordering::Relaxed);
        let last = self.last_report.load(Ordering::Relaxed);
        let reported = is_reported(unknown, time::nanoseconds(), last);
        if !reported {
            count(&self.unreported);
        }
        reported
    }

    /// Writes the number of unreported NMIs, if the unknown NMIs are too many to report each.
    pub(crate) fn write(&self, out: &mut dyn Write) -> fmt::Result {
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

    /// Records the end of a report. In the handler.
    pub(crate) fn end_report(&self) {
        self.last_report
            .store(time::nanoseconds(), Ordering::Relaxed);
    }

    /// Makes the requested call.
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

crate::cpu_local! {
    /// The NMI state of each CPU.
    pub static NMI: Nmi = Nmi::new();
}

/// Whether an NMI has arrived on this CPU while the handler of another one was active, which will
/// then run again.
///
/// Context: any.
#[must_use]
pub fn is_latched(cpu: PerCpu) -> bool {
    LOCAL.of(cpu).nmi_state.load(Ordering::Relaxed) == 2
}

/// Increments a counter. Only on the CPU to which the counter belongs, in its NMI handler.
fn count(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Handles an NMI. Returns false if the NMI must be reported.
pub(crate) fn handle(cpu: PerCpu, frame: &TrapFrame) -> bool {
    let nmi = NMI.of(cpu);
    match nmi.requests.take(time::nanoseconds()) {
        Kind::Requested(causes) => {
            serve(cpu, frame, causes);
            true
        }
        Kind::Late => {
            count(&nmi.late);
            true
        }
        Kind::Unknown => {
            count(&nmi.unknown);
            // A report that it interrupts must continue; then the NMI is only counted.
            if report::depth(cpu) > 0 {
                count(&nmi.unreported);
                return true;
            }
            !nmi.is_reported()
        }
    }
}

fn serve(cpu: PerCpu, frame: &TrapFrame, causes: Causes) {
    for (cause, counter) in Cause::ALL.into_iter().zip(&NMI.of(cpu).causes) {
        if causes.contains(cause) {
            count(counter);
        }
    }
    if causes.contains(Cause::Stop) {
        stop_cpus::stop_if_requested(cpu, frame.rip);
    }
    if causes.contains(Cause::Backtrace) || causes.contains(Cause::Watchdog) {
        backtrace::capture(cpu, frame);
    }
    if causes.contains(Cause::Call) {
        NMI.of(cpu).make_call();
    }
}

unsafe extern "C" {
    // The NMI entry, in `entry`.
    static entry_nmi: u8;
    static entry_nmi_run: u8;
    static entry_nmi_done: u8;
    static entry_nmi_left: u8;
    static entry_nmi_return: u8;
    static entry_nmi_end: u8;
}

/// The last instructions of the NMI return path: the decrement of the state, the check of the
/// result, and the return. At each of the last two, the state may be 0 while the frame is still
/// needed.
///
/// Context: any.
#[must_use]
pub fn return_path() -> [u64; 3] {
    [
        &raw const entry_nmi_done as u64,
        &raw const entry_nmi_left as u64,
        &raw const entry_nmi_return as u64,
    ]
}

/// Whether the code at `rip` is the part of the NMI entry in which a second NMI must not arrive,
/// because its frame would overwrite one that is needed. NMIs are blocked there, unless an
/// exception's IRET unblocks them.
pub(crate) fn needs_frame(rip: u64) -> bool {
    let copying = &raw const entry_nmi as u64..&raw const entry_nmi_run as u64;
    let leaving = &raw const entry_nmi_left as u64..&raw const entry_nmi_end as u64;
    copying.contains(&rip) || leaving.contains(&rip)
}

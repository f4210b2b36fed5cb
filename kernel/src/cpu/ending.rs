//! The end of the kernel: one CPU reports it, and all others are stopped for it.
//!
//! The first CPU that panics or faults becomes the reporter. It asks all others by NMI to stop,
//! takes the console, waits for them, and reports. So nothing comes between the lines of the report,
//! and it can say where each CPU was. A CPU that is printing finishes its line first; one that ends
//! at the same time leaves a note, which the reporter prints below its own report. No wait is
//! without bound: a CPU that does not answer is named.

use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arrayvec::ArrayString;
use spin::Once;
use tocsin_logic::irq::nmi::Cause;

use super::percpu::{self, PerCpu};
use super::symbols::Code;
use crate::hw::processor;
use crate::{console, time};

/// How long, in nanoseconds, and how many looks the reporter waits without any CPU stopping before it
/// goes on. Both: where virtual CPUs wait for their turn on the host, time alone says little.
const PATIENCE: u64 = 1_000_000_000;
const LOOKS: u32 = 1 << 18;

/// CPUs of each kind that have a line of their own in the report.
const SHOWN: usize = 8;

/// How the other CPUs are found, and interrupted by NMI. What is right of this module knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Others {
    /// Calls the function for each CPU that is online but the one that runs this.
    pub(crate) each: fn(&mut dyn FnMut(&'static PerCpu)),
    /// Sends an NMI; any context.
    pub(crate) interrupt: fn(&'static PerCpu),
}

static OTHERS: Once<Others> = Once::new();

/// The number of the reporter plus 1, or 0 while the kernel goes on.
static REPORTER: AtomicU32 = AtomicU32::new(0);

/// Whether the reporter has the console.
static HAS_CONSOLE: AtomicBool = AtomicBool::new(false);

/// How far a CPU has come to its end.
mod state {
    /// It goes on.
    pub const RUNNING: u32 = 0;
    /// It was asked to stop while it was printing. It is to be asked again.
    pub const PRINTING: u32 = 1;
    /// It comes to its end by itself.
    pub const ENDING: u32 = 2;
    /// It has done so, and left a note.
    pub const NOTED: u32 = 3;
    /// It has stopped for the reporter.
    pub const STOPPED: u32 = 4;
}

/// A CPU's end.
#[derive(Debug)]
pub(super) struct End {
    state: AtomicU32,
    /// Where it was when it was stopped; stored before the state.
    place: AtomicU64,
    /// What it ended with; written before the state is `NOTED`.
    note: UnsafeCell<ArrayString<192>>,
}

impl End {
    pub(super) const fn new() -> Self {
        Self {
            state: AtomicU32::new(state::RUNNING),
            place: AtomicU64::new(0),
            note: UnsafeCell::new(ArrayString::new_const()),
        }
    }

    /// The note, if there is one.
    fn note(&self) -> Option<&str> {
        let is_there = self.state.load(Ordering::Acquire) == state::NOTED;
        // SAFETY: 1. A note that is there is not written any more.
        is_there.then(|| unsafe { &*self.note.get() }.as_str())
    }
}

/// What a CPU that comes to its end has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Report.
    Reporter,
    /// Say that its report has failed.
    ReporterAgain,
    /// Leave a note.
    Other,
}

/// Tells how the other CPUs are reached. Until then they are not stopped. Once.
pub(crate) fn set_others(others: Others) {
    OTHERS.call_once(|| others);
}

/// Whether another CPU has begun to stop the kernel.
///
/// Context: any.
#[must_use]
pub fn is_elsewhere() -> bool {
    let reporter = REPORTER.load(Ordering::Acquire);
    reporter != 0 && reporter != percpu::current().id() + 1
}

/// Marks that `cpu`, which runs this, comes to its end; tells what it has to do.
pub(super) fn begin(cpu: &PerCpu) -> Role {
    cpu.end.state.store(state::ENDING, Ordering::Relaxed);
    let own = cpu.id() + 1;
    match REPORTER.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Role::Reporter,
        Err(reporter) if reporter == own => Role::ReporterAgain,
        Err(_) => Role::Other,
    }
}

/// Leaves a note for the reporter, and stops for good.
pub(super) fn leave_note(cpu: &PerCpu, note: fmt::Arguments<'_>) -> ! {
    // SAFETY: 1. Only this CPU writes its note, before the state says that it is there. 2. It does so
    // once: an exception here finds another reporter, and writes a whole note anew.
    let place = unsafe { &mut *cpu.end.note.get() };
    place.clear();
    // What is too long is cut.
    let _ = place.write_fmt(note);
    // SAFETY: 1. Nothing under this goes on.
    unsafe { console::abandon() };
    cpu.end.state.store(state::NOTED, Ordering::Release);
    processor::halt_forever()
}

/// Stops for the reporter, if the kernel has come to its end elsewhere; called by an NMI, or by a
/// report that need not be made any more, about the code at `rip`.
pub(super) fn stop_if_elsewhere(cpu: &PerCpu, rip: u64) {
    let end = &cpu.end;
    let by_itself = matches!(
        end.state.load(Ordering::Relaxed),
        state::ENDING | state::NOTED
    );
    if by_itself || !is_elsewhere() {
        return;
    }
    if console::is_held_here() && !HAS_CONSOLE.load(Ordering::Acquire) {
        end.state.store(state::PRINTING, Ordering::Release);
        return;
    }
    // SAFETY: 1. Nothing under this goes on.
    unsafe { console::abandon() };
    end.place.store(rip, Ordering::Relaxed);
    end.state.store(state::STOPPED, Ordering::Release);
    processor::halt_forever()
}

/// Asks all other CPUs to stop.
pub(super) fn ask_others() {
    each_other(ask);
}

fn ask(cpu: &'static PerCpu) {
    cpu.nmi.ask(Cause::Stop);
    if let Some(others) = OTHERS.get() {
        (others.interrupt)(cpu);
    }
}

fn each_other(mut visit: impl FnMut(&'static PerCpu)) {
    if let Some(others) = OTHERS.get() {
        (others.each)(&mut visit);
    }
}

/// Waits for the others. The reporter must have the console.
pub(super) fn wait_for_others() {
    HAS_CONSOLE.store(true, Ordering::Release);
    let (mut before, mut since, mut looks) = (usize::MAX, time::nanoseconds(), 0);
    loop {
        let mut missing = 0;
        each_other(|cpu| match cpu.end.state.load(Ordering::Acquire) {
            state::NOTED | state::STOPPED => {}
            state::PRINTING => {
                missing += 1;
                // Unless it has come to its end in the meantime.
                let again = cpu.end.state.compare_exchange(
                    state::PRINTING,
                    state::RUNNING,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
                if again.is_ok() {
                    ask(cpu);
                }
            }
            _ => missing += 1,
        });
        if missing != before {
            (before, since, looks) = (missing, time::nanoseconds(), 0);
        }
        looks += 1;
        if missing == 0 || looks > LOOKS && time::has_passed(since, PATIENCE) {
            return;
        }
        core::hint::spin_loop();
    }
}

/// Writes what has become of the others.
pub(super) fn write_others(out: &mut dyn Write) -> fmt::Result {
    let is_silent = |cpu: &PerCpu| {
        let state = cpu.end.state.load(Ordering::Acquire);
        !matches!(state, state::NOTED | state::STOPPED)
    };
    write_kind(out, "also", |cpu, out| {
        let Some(note) = cpu.end.note() else {
            return Ok(false);
        };
        write!(out, "CPU {}: {note}", cpu.id()).map(|()| true)
    })?;
    write_kind(out, "silent", |cpu, out| {
        if !is_silent(cpu) {
            return Ok(false);
        }
        write!(out, "CPU {} did not answer an NMI", cpu.id()).map(|()| true)
    })?;
    write_kind(out, "stopped", |cpu, out| {
        if cpu.end.state.load(Ordering::Acquire) != state::STOPPED {
            return Ok(false);
        }
        let place = Code(cpu.end.place.load(Ordering::Relaxed));
        write!(out, "CPU {} at {place}", cpu.id()).map(|()| true)
    })
}

/// Writes a line for each of the others that `line` has something to say of, up to [`SHOWN`].
fn write_kind(
    out: &mut dyn Write,
    name: &str,
    line: impl Fn(&PerCpu, &mut ArrayString<256>) -> Result<bool, fmt::Error>,
) -> fmt::Result {
    let mut count = 0;
    let mut result = Ok(());
    each_other(|cpu| {
        let mut text = ArrayString::<256>::new();
        // A name that is too long is cut: an error then still means a line.
        if line(cpu, &mut text) != Ok(false) {
            count += 1;
            if count <= SHOWN {
                result = result.and_then(|()| writeln!(out, "  {name:<10}  {text}"));
            }
        }
    });
    result?;
    if count > SHOWN {
        writeln!(out, "  {name:<10}  {} more", count - SHOWN)?;
    }
    Ok(())
}

//! The panic stop: one CPU reports the fatal error, and stops all others.
//!
//! The first CPU that panics or faults becomes the reporter. It requests all others by NMI to stop,
//! takes the console, waits for them, and reports. So no other output is mixed with the report, and
//! the report shows the address at which each CPU was stopped. A CPU that is printing completes its
//! line first. A CPU that fails at the same time records its error, which the reporter prints below
//! its own report. Every wait is bounded; the report lists the CPUs that do not respond.

use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arrayvec::ArrayString;
use spin::Once;

use super::symbols::Code;
use crate::cpu_local::{PerCpu, current};
use crate::hw::processor;
use crate::{console, time};

/// The time, in nanoseconds, and the number of polls after which the reporter continues if no
/// further CPU has stopped. Both must pass: where virtual CPUs wait until the host schedules them,
/// the time alone is not significant.
const TIMEOUT: u64 = 1_000_000_000;
const MIN_POLLS: u32 = 1 << 18;

/// Maximum number of CPUs of each kind with a line of their own in the report.
const SHOWN: usize = 8;

/// The functions that find the other CPUs and request them to stop. They are set at run time,
/// because this module must not depend on theirs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Others {
    /// Calls the function for each online CPU except the calling one.
    pub(crate) each: fn(&mut dyn FnMut(PerCpu)),
    /// Requests a CPU to stop, by an NMI; any context.
    pub(crate) stop: fn(PerCpu),
}

static OTHERS: Once<Others> = Once::new();

/// The number of the reporter plus 1, or 0 if there is no panic stop.
static REPORTER: AtomicU32 = AtomicU32::new(0);

/// Whether the reporter holds the console.
static HAS_CONSOLE: AtomicBool = AtomicBool::new(false);

/// The states of a CPU in a panic stop.
mod state {
    /// It is running.
    pub const RUNNING: u32 = 0;
    /// It received the request while it was printing. The request must be repeated.
    pub const PRINTING: u32 = 1;
    /// It handles a fatal error of its own.
    pub const FATAL: u32 = 2;
    /// It has done so, and left a note.
    pub const NOTED: u32 = 3;
    /// It has stopped for the reporter.
    pub const STOPPED: u32 = 4;
}

/// The panic-stop data of a CPU.
#[derive(Debug)]
struct StopState {
    state: AtomicU32,
    /// The RIP at which it was stopped; stored before the state.
    rip: AtomicU64,
    /// Its own fatal error; written before the state is `NOTED`.
    note: UnsafeCell<ArrayString<192>>,
}

impl StopState {
    const fn new() -> Self {
        Self {
            state: AtomicU32::new(state::RUNNING),
            rip: AtomicU64::new(0),
            note: UnsafeCell::new(ArrayString::new_const()),
        }
    }

    /// The note, if there is one.
    fn note(&self) -> Option<&str> {
        let is_noted = self.state.load(Ordering::Acquire) == state::NOTED;
        // SAFETY: A note is not written any more after the state is `NOTED`.
        is_noted.then(|| unsafe { &*self.note.get() }.as_str())
    }
}

// SAFETY: A note is read only after its last write. The rest is atomic.
unsafe impl Sync for StopState {}

crate::cpu_local! {
    static STOP: StopState = StopState::new();
}

/// The role of a CPU with a fatal error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It writes the report.
    Reporter,
    /// It reports that its report has failed.
    NestedReporter,
    /// It leaves a note.
    Other,
}

/// Sets the functions that reach the other CPUs. Before this, the other CPUs are not stopped.
/// Called once.
pub(crate) fn set_others(others: Others) {
    OTHERS.call_once(|| others);
}

/// Whether another CPU has started a panic stop.
///
/// Context: any.
#[must_use]
pub fn is_requested() -> bool {
    let reporter = REPORTER.load(Ordering::Acquire);
    reporter != 0 && reporter != current().id() + 1
}

/// Records a fatal error of `cpu`, the calling CPU, and returns the CPU's role.
pub(crate) fn begin(cpu: PerCpu) -> Role {
    STOP.of(cpu).state.store(state::FATAL, Ordering::Relaxed);
    let own = cpu.id() + 1;
    match REPORTER.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Role::Reporter,
        Err(reporter) if reporter == own => Role::NestedReporter,
        Err(_) => Role::Other,
    }
}

/// Leaves a note for the reporter, and halts permanently.
pub(crate) fn halt_with_note(cpu: PerCpu, note: fmt::Arguments<'_>) -> ! {
    // SAFETY: Only this CPU writes its note, before the state is `NOTED`. An exception in this
    // function writes a complete new note, because the reporter is another CPU.
    let text = unsafe { &mut *STOP.of(cpu).note.get() };
    text.clear();
    // A note that is too long is truncated.
    let _ = text.write_fmt(note);
    // SAFETY: The code that holds the console never continues.
    unsafe { console::abandon() };
    STOP.of(cpu).state.store(state::NOTED, Ordering::Release);
    processor::halt_forever()
}

/// Stops this CPU if another CPU has started a panic stop. Called by an NMI handler, or in place of
/// a report that is no longer needed, about the code at `rip`.
pub(crate) fn stop_if_requested(cpu: PerCpu, rip: u64) {
    let own = STOP.of(cpu);
    let has_failed = matches!(
        own.state.load(Ordering::Relaxed),
        state::FATAL | state::NOTED
    );
    if has_failed || !is_requested() {
        return;
    }
    if console::is_held_here() && !HAS_CONSOLE.load(Ordering::Acquire) {
        own.state.store(state::PRINTING, Ordering::Release);
        return;
    }
    // SAFETY: The code that holds the console never continues.
    unsafe { console::abandon() };
    own.rip.store(rip, Ordering::Relaxed);
    own.state.store(state::STOPPED, Ordering::Release);
    processor::halt_forever()
}

/// Requests all other CPUs to stop.
pub(crate) fn stop_others() {
    for_each_other(request_stop);
}

fn request_stop(cpu: PerCpu) {
    if let Some(others) = OTHERS.get() {
        (others.stop)(cpu);
    }
}

fn for_each_other(mut visit: impl FnMut(PerCpu)) {
    if let Some(others) = OTHERS.get() {
        (others.each)(&mut visit);
    }
}

/// Waits for the other CPUs. The reporter must hold the console.
pub(crate) fn wait_for_others() {
    HAS_CONSOLE.store(true, Ordering::Release);
    let (mut before, mut since, mut polls) = (usize::MAX, time::nanoseconds(), 0);
    loop {
        let mut missing = 0;
        for_each_other(|cpu| match STOP.of(cpu).state.load(Ordering::Acquire) {
            state::NOTED | state::STOPPED => {}
            state::PRINTING => {
                missing += 1;
                // Fails if the CPU has had a fatal error of its own in the meantime.
                let again = STOP.of(cpu).state.compare_exchange(
                    state::PRINTING,
                    state::RUNNING,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
                if again.is_ok() {
                    request_stop(cpu);
                }
            }
            _ => missing += 1,
        });
        if missing != before {
            (before, since, polls) = (missing, time::nanoseconds(), 0);
        }
        polls += 1;
        if missing == 0 || polls > MIN_POLLS && time::has_passed(since, TIMEOUT) {
            return;
        }
        core::hint::spin_loop();
    }
}

/// Writes the states of the other CPUs.
pub(crate) fn write_others(out: &mut dyn Write) -> fmt::Result {
    let is_silent = |cpu: PerCpu| {
        let state = STOP.of(cpu).state.load(Ordering::Acquire);
        !matches!(state, state::NOTED | state::STOPPED)
    };
    write_kind(out, "also", |cpu, out| {
        let Some(note) = STOP.of(cpu).note() else {
            return Ok(false);
        };
        write!(out, "CPU {}: {note}", cpu.id()).map(|()| true)
    })?;
    write_kind(out, "silent", |cpu, out| {
        if !is_silent(cpu) {
            return Ok(false);
        }
        write!(out, "CPU {} did not respond to an NMI", cpu.id()).map(|()| true)
    })?;
    write_kind(out, "stopped", |cpu, out| {
        if STOP.of(cpu).state.load(Ordering::Acquire) != state::STOPPED {
            return Ok(false);
        }
        let rip = Code(STOP.of(cpu).rip.load(Ordering::Relaxed));
        write!(out, "CPU {} at {rip}", cpu.id()).map(|()| true)
    })
}

/// Writes a line for each of the other CPUs for which `line` writes text, up to [`SHOWN`].
fn write_kind(
    out: &mut dyn Write,
    name: &str,
    line: impl Fn(PerCpu, &mut ArrayString<256>) -> Result<bool, fmt::Error>,
) -> fmt::Result {
    let mut count = 0;
    let mut result = Ok(());
    for_each_other(|cpu| {
        let mut text = ArrayString::<256>::new();
        // A name that is too long is truncated: an error of `line` still counts as a line.
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

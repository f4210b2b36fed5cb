//! `sources`: tests every device of the machine that interrupts by a pin, and the HPET; compares
//! the numbers of interrupts sent and received.

mod hpet;
mod others;
mod records;
mod timers;

use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use tocsin_logic::script;
use tocsin_logic::vector::PriorityClass;

use crate::command::{Arguments, CommandError};
use crate::commands::checks::Checks;
use crate::record::Output;
use records::{AbsentRecord, ProblemRecord, RunRecord, UnsupportedRecord, What};
use tocsin::devices::DeviceError;
use tocsin::ipi::jobs;
use tocsin::line::Line;
use tocsin::timer::{Mode, Timer};
use tocsin::{Machine, cancel, cpu, time};

/// The default number of interrupts.
const COUNT: u64 = 10;

/// The maximum number of interrupts.
const MAX_COUNT: u64 = 10_000;

/// The priority class of the devices' lines.
const CLASS: PriorityClass = PriorityClass::new(5).expect("a class is 0 to 15");

/// The timeout after which an interrupt counts as lost, in nanoseconds.
const TIMEOUT: u64 = 2_000_000_000;

/// The time to watch for an interrupt that must not arrive, in nanoseconds.
const GRACE: u64 = 2_000_000;

/// The driver function of a kind of source.
type Driver = fn(&mut Run<'_>) -> Result<(), DeviceError>;

const SOURCES: [(&str, Driver); 6] = [
    ("pit", timers::pit),
    ("rtc", timers::rtc),
    ("hpet", hpet::hpet),
    ("keyboard", others::keyboard),
    ("com2", others::com2),
    ("virtio", others::virtio),
];

/// The parameters and the state of a run.
struct Run<'a> {
    machine: &'a Machine,
    count: u64,
    class: PriorityClass,
    cpu: u32,
    output: Output,
    /// The checks of the rows, and the other problems.
    checks: Checks,
}

pub(super) fn sources(
    machine: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    let mut word = arguments.next_word();
    let chosen = word.and_then(|word| SOURCES.iter().find(|(name, _)| *name == word));
    if chosen.is_some() {
        word = arguments.next_word();
    }
    let count = word.map_or(Ok(COUNT), |word| parse_count(word, chosen.is_none()))?;
    let cpu = arguments.number(u32::MAX.into())?;
    arguments.end()?;
    let mut run = Run {
        machine,
        count,
        class: CLASS,
        // The cast is lossless: `number` limits the value to 32 bits.
        cpu: cpu.map_or_else(|| cpu::current().id(), |cpu| cpu as u32),
        output,
        checks: Checks::default(),
    };
    output.heading(
        "  source                     CPU  vector  raised  received  empty      time  arrives at",
    );
    if let Some((_, driver)) = chosen {
        driver(&mut run).map_err(CommandError::Device)?;
    } else {
        for (name, driver) in SOURCES {
            if cancel::is_requested() {
                break;
            }
            match driver(&mut run) {
                Ok(()) => {}
                Err(error @ DeviceError::Absent(..)) => {
                    let description = error.to_string();
                    let source = name;
                    output.print(
                        "source_absent",
                        &AbsentRecord {
                            source,
                            description,
                        },
                    );
                }
                Err(error) => run.problem(&format!("{name}: {error}")),
            }
        }
    }
    run.checks.finish(output)
}

/// Parses the number of interrupts. If a name is allowed instead, the error says so.
fn parse_count(word: &str, or_name: bool) -> Result<u64, CommandError> {
    let number = script::parse_number(word).ok();
    number
        .filter(|number| (1..=MAX_COUNT).contains(number))
        .ok_or_else(|| {
            let names = if or_name {
                names() + ", or "
            } else {
                String::new()
            };
            CommandError::BadArgument {
                given: word.to_string(),
                expected: format!("{names}a number from 1 to {MAX_COUNT}"),
            }
        })
}

fn names() -> String {
    SOURCES.map(|(name, _)| name).join(", ")
}

/// The values at the start of a row.
struct Begin {
    time: u64,
    received: u64,
    empty: u64,
}

impl Begin {
    fn new(line: &Line) -> Self {
        Self {
            time: time::nanoseconds(),
            received: received(line),
            empty: line.counts().unclaimed,
        }
    }
}

/// The counts of a source, which limit the counts of the line.
struct ExpectedCounts {
    raised: u64,
    /// The minimum number of interrupts that must arrive.
    least: u64,
    /// The maximum number of interrupts that may arrive.
    most: u64,
    /// The number of additional interrupts that may arrive without a reason in the device.
    empty: u64,
    /// Whether the number of raised interrupts is only an estimate from a clock.
    is_estimate: bool,
}

impl ExpectedCounts {
    /// All must arrive, and no others.
    fn all(raised: u64) -> Self {
        Self {
            raised,
            least: raised,
            most: raised,
            empty: 0,
            is_estimate: false,
        }
    }

    /// Some may have merged with a pending one, as edges and messages do; at least one must arrive.
    /// One more may have been raised in the meantime.
    fn merging(raised: u64) -> Self {
        Self {
            raised,
            least: raised.min(1),
            most: raised + 1,
            ..Self::all(raised)
        }
    }

    /// One was raised, and must have been lost.
    fn lost() -> Self {
        Self {
            raised: 1,
            ..Self::all(0)
        }
    }

    /// At least one must arrive; the number of raised interrupts is an estimate.
    fn estimated(raised: u64) -> Self {
        Self {
            least: 1,
            most: u64::MAX,
            is_estimate: true,
            ..Self::all(raised)
        }
    }
}

impl Run<'_> {
    /// Prints a row, and checks it.
    fn row(&mut self, what: What, line: &Line, begin: &Begin, expected: &ExpectedCounts) {
        let row = RunRecord::of(what, line, begin, expected);
        self.output.print("source_run", &row);
        let (received, empty) = (row.received, row.unclaimed);
        if !(expected.least..=expected.most).contains(&received) {
            let expected = if expected.least == expected.most {
                format!("{}", expected.least)
            } else {
                format!("{} to {}", expected.least, expected.most)
            };
            self.problem(&format!("{what}: {received} received, expected {expected}"));
        } else if empty <= expected.empty {
            self.checks.note(true);
        }
        if empty > expected.empty {
            let most = expected.empty;
            self.problem(&format!(
                "{what}: {empty} interrupts without a pending cause in the device, expected {most}"
            ));
        }
    }

    /// Waits until all interrupts that devices raise in the next `duration` nanoseconds have been
    /// handled.
    ///
    /// An emulated device shows immediately that its time has come, but interrupts only when the
    /// host runs the emulator. The local APIC timer behaves in the same way, and earlier deadlines
    /// come first, so this function waits for a timer. It then runs a job in the CPU's thread,
    /// which runs after all handlers.
    fn quiesce(&self, duration: u64) {
        let has_fired = Arc::new(AtomicBool::new(false));
        let signal = Arc::clone(&has_fired);
        let timer = Timer::new("sources", Mode::Interrupt, move |_| {
            signal.store(true, Ordering::Release);
        });
        let started = timer.and_then(|mut timer| {
            timer.after(duration)?;
            time::wait_until(TIMEOUT, || {
                has_fired.load(Ordering::Acquire) || cancel::is_requested()
            });
            Ok(())
        });
        if let Err(error) = started {
            log::warn!("sources: no timer: {error} (waiting without one)");
            time::spin_for(duration.max(GRACE));
        }
        // Cannot fail: if the CPU were offline, the line could not have been created.
        let _ = jobs::run_on(self.cpu, jobs::NO_OP);
    }

    fn problem(&mut self, what: &str) {
        if cancel::was_requested() {
            // The missing interrupts were not waited for.
            return;
        }
        self.checks.note(false);
        let description = what.to_string();
        self.output
            .print("source_problem", &ProblemRecord { description });
    }

    /// Reports that the source does not support a mode.
    fn unsupported(&self, what: What, error: &DeviceError) {
        let description = error.to_string();
        self.output.print(
            "source_unsupported",
            &UnsupportedRecord { what, description },
        );
    }
}

/// Returns the number of interrupts of a line for which the device showed a reason.
fn received(line: &Line) -> u64 {
    line.counts().claimed
}

/// Masks the line of `device`, makes it raise one edge, waits, and unmasks the line. An interrupt
/// that has arrived since the returned time was not lost.
fn mask_an_edge<D>(
    run: &Run<'_>,
    device: &mut D,
    line: fn(&D) -> &Line,
    raise: impl Fn(&mut D) -> Result<(), DeviceError>,
) -> Result<Begin, DeviceError> {
    line(device).set_masked(true);
    // Interrupts that were in transit before the mask still arrive.
    run.quiesce(0);
    let begin = Begin::new(line(device));
    raise(device)?;
    run.quiesce(GRACE);
    line(device).set_masked(false);
    run.quiesce(0);
    Ok(begin)
}

/// Waits until a line has received `more` interrupts since `begin`. Returns whether it has.
fn arrives(line: &Line, begin: &Begin, more: u64, limit: u64) -> bool {
    let has_come = || received(line) - begin.received >= more;
    time::wait_until(limit, || has_come() || cancel::is_requested()) && has_come()
}

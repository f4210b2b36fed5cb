//! `sources`: drives every device of the machine that interrupts by a pin or as the HPET does, with
//! both ends counted.

mod hpet;
mod others;
mod timers;

use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use tocsin_logic::script;
use tocsin_logic::units::Nanoseconds;
use tocsin_logic::vector::PriorityClass;

use crate::command::{Arguments, CommandError};
use tocsin::devices::DeviceError;
use tocsin::ipi::jobs;
use tocsin::line::Line;
use tocsin::timer::{Mode, Timer};
use tocsin::{Machine, cancel, cpu, println, time};

/// Interrupts that are raised, unless a number is given.
const COUNT: u64 = 10;

/// The most that can be asked for.
const MAX_COUNT: u64 = 10_000;

/// Priority class of the devices' lines.
const CLASS: PriorityClass = PriorityClass::new(5).expect("a class is 0 to 15");

/// How long an interrupt may take before it counts as lost, in nanoseconds.
const PATIENCE: u64 = 2_000_000_000;

/// How long to look for an interrupt that must not come, in nanoseconds.
const GRACE: u64 = 2_000_000;

/// A kind of source: its name, and what drives it.
type Driver = fn(&mut Run<'_>) -> Result<(), DeviceError>;

const SOURCES: [(&str, Driver); 6] = [
    ("pit", timers::pit),
    ("rtc", timers::rtc),
    ("hpet", hpet::hpet),
    ("keyboard", others::keyboard),
    ("com2", others::com2),
    ("virtio", others::virtio),
];

/// What is asked for, and how it goes.
struct Run<'a> {
    machine: &'a Machine,
    count: u64,
    class: PriorityClass,
    cpu: u32,
    /// Rows in which the numbers are wrong.
    problems: usize,
}

pub(super) fn sources(
    machine: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
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
        // `number` keeps it within 32 bits.
        cpu: cpu.map_or_else(|| cpu::current().id(), |cpu| cpu as u32),
        problems: 0,
    };
    println!(
        "  source                     CPU  vector  raised  received  empty      time  arrives at"
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
                Err(error @ DeviceError::Absent(..)) => println!("  {name}: {error}"),
                Err(error) => run.problem(&format!("{name}: {error}")),
            }
        }
    }
    match run.problems {
        0 => Ok(()),
        problems => Err(CommandError::Failed(format!(
            "problems, as told above: {problems}"
        ))),
    }
}

/// How often each is to come; where a name may stand in its place, the error says so.
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

/// What a row began with.
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

/// What the two ends of a source have counted.
struct Ends {
    raised: u64,
    /// How many of them must arrive.
    least: u64,
    /// How many may.
    most: u64,
    /// How many more may arrive for which the device shows no reason.
    empty: u64,
    /// Whether the number of those raised is only what a clock says.
    is_estimate: bool,
}

impl Ends {
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

    /// Some may have merged with one that waited, as edges and messages do; at least one must arrive.
    /// One more may have been raised meanwhile.
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

    /// At least one must arrive; how many were raised is an estimate.
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
    /// Shows a row, and checks it.
    fn row(&mut self, what: &str, line: &Line, begin: &Begin, ends: &Ends) {
        let seen = line.describe();
        let received = seen.counts.claimed - begin.received;
        let empty = seen.counts.unclaimed - begin.empty;
        let took = time::nanoseconds() - begin.time;
        let about = if ends.is_estimate { "~" } else { "" };
        println!(
            "  {what:<25}  {:>3}  {:>6}  {:>6}  {received:>8}  {empty:>5}  {:>8}  {}",
            seen.cpu,
            seen.first,
            format!("{about}{}", ends.raised),
            Nanoseconds(took),
            seen.source
        );
        if !(ends.least..=ends.most).contains(&received) {
            let expected = if ends.least == ends.most {
                format!("{}", ends.least)
            } else {
                format!("{} to {}", ends.least, ends.most)
            };
            self.problem(&format!("{what}: {received} received, expected {expected}"));
        }
        if empty > ends.empty {
            let most = ends.empty;
            self.problem(&format!(
                "{what}: {empty} interrupts for which the device shows no reason, expected {most}"
            ));
        }
    }

    /// Waits until all is answered that devices raise in the next `duration` nanoseconds.
    ///
    /// A device that an emulator makes shows at once that its moment has come, but interrupts only when the
    /// host lets it: as the local APIC's timer does, and the earlier deadline first. So a timer is
    /// waited for. Then the CPU's thread runs, after all handlers.
    fn settle(&self, duration: u64) {
        let has_fired = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&has_fired);
        let timer = Timer::new("sources", Mode::Interrupt, move |_| {
            told.store(true, Ordering::Release);
        });
        let started = timer.and_then(|mut timer| {
            timer.after(duration)?;
            time::wait_until(PATIENCE, || {
                has_fired.load(Ordering::Acquire) || cancel::is_requested()
            });
            Ok(())
        });
        if let Err(error) = started {
            println!("  no timer to wait by: {error}");
            time::spin_for(duration.max(GRACE));
        }
        // If it is not online, the line could not have been made.
        let _ = jobs::run_on(self.cpu, jobs::NOTHING);
    }

    fn problem(&mut self, what: &str) {
        if cancel::was_requested() {
            // The missing interrupts were not waited for.
            return;
        }
        self.problems += 1;
        println!("  problem: {what}");
    }
}

/// All that has come of a line for a reason that the device showed.
fn received(line: &Line) -> u64 {
    line.counts().claimed
}

/// Masks the line of `device`, has it raise one edge, waits, and unmasks it. What has come since the
/// returned moment has not been lost.
fn mask_an_edge<D>(
    run: &Run<'_>,
    device: &mut D,
    line: fn(&D) -> &Line,
    raise: impl Fn(&mut D) -> Result<(), DeviceError>,
) -> Result<Begin, DeviceError> {
    line(device).set_masked(true);
    // What was on its way before the mask still comes.
    run.settle(0);
    let begin = Begin::new(line(device));
    raise(device)?;
    run.settle(GRACE);
    line(device).set_masked(false);
    run.settle(0);
    Ok(begin)
}

/// Waits until a line has come `more` times since `begin`. Returns whether it has.
fn arrives(line: &Line, begin: &Begin, more: u64, limit: u64) -> bool {
    let has_come = || received(line) - begin.received >= more;
    time::wait_until(limit, || has_come() || cancel::is_requested()) && has_come()
}

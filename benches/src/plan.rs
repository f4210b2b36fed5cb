//! Which machines are booted, and what each is measured for.
//!
//! One machine is measured for everything. Others differ from it in what some figures depend
//! on: the way to the local APIC, and the number of CPUs.

#[cfg(test)]
mod tests;

use tocsin_tools::Machine;
use tocsin_tools::settings::{Memory, Smp};

use crate::error::BenchError;
use crate::names::{groups, is_asked};
use crate::record::{Boot, Clock};
use crate::results::Key;
use crate::settings::{Settings, USUAL_CPUS};

/// Groups of figures that differ between xAPIC and x2APIC.
const BY_APIC: &[&str] = &["self_ipi", "ipi"];

/// Groups that grow with the CPUs, and the machines on which they are seen to, beside the usual.
const BY_CPUS: &[&str] = &["broadcast", "call"];
const MANY: [u32; 4] = [2, 8, 16, 32];

/// Samples where one is looked at.
const FEWEST_SAMPLES: &str = "samples=2";

/// What processors of machines in xAPIC mode do without: where there is the other mode, the `x2apic` crate,
/// which the typical way uses, takes it.
const X2APIC: &str = "x2apic";

/// Bringing CPUs online, which a machine does once; and the counts that it is measured for, beside the
/// usual.
const ONCE: &[&str] = &["bringup"];
const COUNTS: [u32; 7] = [2, 8, 16, 32, 64, 128, 255];

/// The counts for other kernels, which take far longer.
const OTHERS_COUNTS: [u32; 4] = [2, 8, 32, 64];

/// Above so many CPUs the usual memory does not hold their stacks.
const MEMORY_HOLDS: u32 = 100;

/// A device that sends a message when it is told to.
const MESSENGER: [&str; 2] = ["-device", "edu"];

/// QEMU's clock for counting instructions: one is one nanosecond and one tick of the TSC.
const ICOUNT: &str = "shift=0,sleep=off";
const CLOCK: &str = "base=2020-01-01,clock=vm";

/// A machine, and what it is measured for.
#[derive(Debug, Clone)]
pub struct Leg {
    /// For people: `4 CPUs, xapic`.
    pub label: String,
    pub machine: Machine,
    pub clock: Clock,
    /// Whether it is measured in the first round only: where the host has fewer cores, every CPU
    /// waits for the host's scheduler, which takes minutes and is no property of a kernel.
    pub once: bool,
}

/// What `make bench` boots in one round by this clock.
pub fn suite(settings: &Settings, clock: Clock) -> Vec<Leg> {
    let usual = number(USUAL_CPUS);
    let chosen = settings.smp.clone().unwrap_or(usual);
    let asked = groups(&settings.only);
    let mut legs = vec![leg(settings, clock, &chosen, &asked)];
    let only = |some: &[&str]| narrowed(some, &asked);
    if !settings.append.contains("apic=") {
        let names = only(BY_APIC);
        legs.extend(names.map(|names| in_xapic(leg(settings, clock, &chosen, &names))));
    }
    if settings.smp.is_none() {
        for cpus in MANY {
            let names = only(BY_CPUS);
            legs.extend(names.map(|names| {
                let mut leg = leg(settings, clock, &number(cpus), &names);
                leg.once = is_crowded(cpus);
                leg
            }));
        }
        for cpus in COUNTS {
            let names = only(ONCE);
            legs.extend(names.map(|names| {
                let mut leg = leg(settings, clock, &number(cpus), &names);
                leg.machine = with_cpus(&leg.machine, cpus);
                leg
            }));
        }
    }
    legs
}

/// The machine of the first of them, with nothing on its command line: for other kernels.
///
/// With the number of its CPUs, as far as they are told by one.
pub fn bare(settings: &Settings, clock: Clock) -> (u64, Machine) {
    let smp = settings.smp.clone().unwrap_or(number(USUAL_CPUS));
    let cpus = smp.cpus().unwrap_or_default();
    let machine = settings.machine.clone().smp(smp);
    (cpus.into(), by_clock(machine, clock))
}

/// As [`bare`], for bringing CPUs online: some of the counts that this kernel does it for; all of
/// them in the `first` round.
pub fn bare_counts(settings: &Settings, clock: Clock, first: bool) -> Vec<(u64, Machine)> {
    let is_asked = narrowed(ONCE, &groups(&settings.only)).is_some();
    if !is_asked || settings.smp.is_some() || clock != Clock::Cycles {
        return Vec::new();
    }
    let machine = |cpus| settings.machine.clone().smp(number(cpus));
    let counts = OTHERS_COUNTS.into_iter();
    counts
        .filter(|&cpus| first || !is_crowded(cpus))
        .map(|cpus| (cpus.into(), machine(cpus)))
        .collect()
}

/// Whether there are far more CPUs than the host has cores for.
fn is_crowded(cpus: u32) -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cpus as usize > cores.max(USUAL_CPUS as usize)
}

/// The machine with so many CPUs, and memory for them.
pub fn with_cpus(machine: &Machine, cpus: u32) -> Machine {
    let machine = machine.clone().smp(number(cpus));
    if cpus < MEMORY_HOLDS {
        return machine;
    }
    machine.memory(Memory::parse("1G").expect("an amount of memory"))
}

fn number(cpus: u32) -> Smp {
    Smp::parse(&cpus.to_string()).expect("a number of CPUs")
}

/// The machine that this figure was measured on, to be measured for its group by instructions,
/// each of which is translated alone and logged.
pub fn traced(settings: &Settings, key: &Key) -> Machine {
    let smp = number(u32::try_from(key.cpus).unwrap_or(USUAL_CPUS));
    let names = [
        groups(std::slice::from_ref(&key.name)),
        vec![FEWEST_SAMPLES.to_owned()],
    ]
    .concat();
    let mut leg = leg(settings, Clock::Instructions, &smp, &names);
    if key.apic == "xapic" {
        leg = in_xapic(leg);
    }
    let logged = ["in_asm", "exec", "nochain"];
    let machine = leg.machine.single_instructions();
    logged.into_iter().fold(machine, Machine::log)
}

/// The machine as it counts by this clock.
pub fn by_clock(machine: Machine, clock: Clock) -> Machine {
    match clock {
        Clock::Cycles => machine,
        Clock::Instructions => machine.icount(ICOUNT).args(["-rtc", CLOCK]),
    }
}

/// Whether a sitting with these settings is to measure a figure that another one has.
pub fn covers(settings: &Settings, key: &Key) -> bool {
    let cpus = settings.smp.as_ref().and_then(Smp::cpus);
    settings.clocks.contains(&key.clock)
        && is_asked(&key.name, &settings.only)
        && cpus.is_none_or(|cpus| u64::from(cpus) == key.cpus)
}

/// Leaves those figures that were asked for; a group is measured as a whole.
///
/// # Errors
///
/// None is left.
pub fn narrow(boots: &mut [Boot], names: &[String]) -> Result<(), BenchError> {
    for boot in &mut *boots {
        boot.figures.retain(|figure| is_asked(&figure.name, names));
    }
    if boots.iter().any(|boot| !boot.figures.is_empty()) {
        return Ok(());
    }
    let skips = boots.iter().flat_map(|boot| &boot.skips);
    let mut skips: Vec<_> = skips
        .map(|skip| format!("\n  {}: {}", skip.name, skip.why))
        .collect();
    skips.sort();
    skips.dedup();
    Err(BenchError::Figureless(skips.concat()))
}

/// Which of `some` groups are asked for, all if none is named; `None` if none of them is.
fn narrowed(some: &[&str], asked: &[String]) -> Option<Vec<String>> {
    let wanted = some
        .iter()
        .filter(|&&own| asked.is_empty() || asked.iter().any(|name| name == own));
    let names: Vec<_> = wanted.map(|&name| name.to_owned()).collect();
    (!names.is_empty()).then_some(names)
}

/// The same with processors that have no x2APIC mode.
fn in_xapic(mut leg: Leg) -> Leg {
    leg.label = leg.label.replacen(':', ", xAPIC:", 1);
    leg.machine = leg.machine.without_feature(X2APIC);
    leg
}

fn leg(settings: &Settings, clock: Clock, smp: &Smp, names: &[String]) -> Leg {
    let argument = match clock {
        Clock::Cycles => "",
        Clock::Instructions => " clock=instructions",
    };
    let list = names.join(" ");
    let own = &settings.append;
    let append = format!("run=\"bench {list}{argument} json; poweroff\" {own}");
    let machine = settings.machine.clone().smp(smp.clone());
    let machine = machine.append(append.trim_end()).args(MESSENGER);
    let machine = by_clock(machine, clock);
    let what = if list.is_empty() { "all" } else { &list };
    Leg {
        label: format!("{}: {what}", smp.describe()),
        machine,
        clock,
        once: false,
    }
}

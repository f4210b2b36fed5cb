//! The machines to boot, and the metrics measured on each.
//!
//! One machine runs all benchmarks. Others differ from it in a property on which some metrics
//! depend: the local APIC mode, and the number of CPUs.

#[cfg(test)]
mod tests;

use tocsin_tools::Machine;
use tocsin_tools::settings::{Memory, Smp};

use crate::error::BenchError;
use crate::names::{groups, is_selected};
use crate::record::{Boot, Clock};
use crate::results::Key;
use crate::settings::{Settings, USUAL_CPUS};

/// Groups whose metrics differ between xAPIC and x2APIC.
const BY_APIC: &[&str] = &["self_ipi", "ipi"];

/// Groups that scale with the number of CPUs, and the additional machines for them.
const BY_CPUS: &[&str] = &["broadcast", "call"];
const MANY: [u32; 4] = [2, 8, 16, 32];

/// Number of samples for a listing.
const FEWEST_SAMPLES: &str = "samples=2";

/// CPU features that machines in xAPIC mode disable: if the CPU has x2APIC, the `x2apic` crate,
/// which the typical path uses, selects it.
const X2APIC: &str = "x2apic";

/// The bring-up of CPUs, which a machine does once; and the additional numbers of CPUs for it.
const ONCE: &[&str] = &["bringup"];
const COUNTS: [u32; 7] = [2, 8, 16, 32, 64, 128, 255];

/// The numbers of CPUs for other kernels, which take far longer.
const OTHERS_COUNTS: [u32; 4] = [2, 8, 32, 64];

/// Above this number of CPUs, the default memory is too small for their stacks.
const MEMORY_HOLDS: u32 = 100;

/// A device that sends a message on command.
const MESSENGER: [&str; 2] = ["-device", "edu"];

/// QEMU's clock for counting instructions: each is one nanosecond and one tick of the TSC.
const ICOUNT: &str = "shift=0,sleep=off";
const CLOCK: &str = "base=2020-01-01,clock=vm";

/// A machine, and its benchmarks.
#[derive(Debug, Clone)]
pub struct PlannedRun {
    /// A display name: `4 CPUs, xapic`.
    pub label: String,
    pub machine: Machine,
    pub clock: Clock,
    /// Whether it is measured only in the first round: if the host has fewer cores, every CPU waits
    /// for the host's scheduler, which takes minutes and is not a property of the kernel.
    pub once: bool,
}

/// The machines that `make bench` boots in one round with this clock.
pub fn suite(settings: &Settings, clock: Clock) -> Vec<PlannedRun> {
    let usual = number(USUAL_CPUS);
    let chosen = settings.smp.clone().unwrap_or(usual);
    let selected = groups(&settings.only);
    let mut runs = vec![run(settings, clock, &chosen, &selected)];
    let only = |some: &[&str]| narrowed(some, &selected);
    if !settings.append.contains("apic=") {
        let names = only(BY_APIC);
        runs.extend(names.map(|names| in_xapic(run(settings, clock, &chosen, &names))));
    }
    if settings.smp.is_none() {
        for cpus in MANY {
            let names = only(BY_CPUS);
            runs.extend(names.map(|names| {
                let mut run = run(settings, clock, &number(cpus), &names);
                run.once = is_crowded(cpus);
                run
            }));
        }
        for cpus in COUNTS {
            let names = only(ONCE);
            runs.extend(names.map(|names| {
                let mut run = run(settings, clock, &number(cpus), &names);
                run.machine = with_cpus(&run.machine, cpus);
                run
            }));
        }
    }
    runs
}

/// The first of these machines, with an empty command line: for other kernels.
///
/// With its number of CPUs, if it is a plain number.
pub fn bare(settings: &Settings, clock: Clock) -> (u64, Machine) {
    let smp = settings.smp.clone().unwrap_or(number(USUAL_CPUS));
    let cpus = smp.cpus().unwrap_or_default();
    let machine = settings.machine.clone().smp(smp);
    (cpus.into(), by_clock(machine, clock))
}

/// Like [`bare`], for bringing CPUs online: some of this kernel's numbers of CPUs; all of them in
/// the `first` round.
pub fn bare_counts(settings: &Settings, clock: Clock, first: bool) -> Vec<(u64, Machine)> {
    let is_selected = narrowed(ONCE, &groups(&settings.only)).is_some();
    if !is_selected || settings.smp.is_some() || clock != Clock::Cycles {
        return Vec::new();
    }
    let machine = |cpus| settings.machine.clone().smp(number(cpus));
    let counts = OTHERS_COUNTS.into_iter();
    counts
        .filter(|&cpus| first || !is_crowded(cpus))
        .map(|cpus| (cpus.into(), machine(cpus)))
        .collect()
}

/// Whether there are far more CPUs than host cores.
fn is_crowded(cpus: u32) -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cpus as usize > cores.max(USUAL_CPUS as usize)
}

/// The machine with this number of CPUs, and enough memory for them.
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

/// The machine on which this metric was measured, to count the instructions of its group, each of
/// which is translated and logged separately.
pub fn traced(settings: &Settings, key: &Key) -> Machine {
    let smp = number(u32::try_from(key.cpus).unwrap_or(USUAL_CPUS));
    let names = [
        groups(std::slice::from_ref(&key.name)),
        vec![FEWEST_SAMPLES.to_owned()],
    ]
    .concat();
    let mut run = run(settings, Clock::Instructions, &smp, &names);
    if key.apic == "xapic" {
        run = in_xapic(run);
    }
    let logged = ["in_asm", "exec", "nochain"];
    let machine = run.machine.single_instructions();
    logged.into_iter().fold(machine, Machine::log)
}

/// The machine as it counts with this clock.
pub fn by_clock(machine: Machine, clock: Clock) -> Machine {
    match clock {
        Clock::Cycles => machine,
        Clock::Instructions => machine.icount(ICOUNT).args(["-rtc", CLOCK]),
    }
}

/// Whether a run with these settings measures a metric of another run.
pub fn covers(settings: &Settings, key: &Key) -> bool {
    let cpus = settings.smp.as_ref().and_then(Smp::cpus);
    settings.clocks.contains(&key.clock)
        && is_selected(&key.name, &settings.only)
        && cpus.is_none_or(|cpus| u64::from(cpus) == key.cpus)
}

/// Keeps only the requested metrics; a group is measured as a whole.
///
/// # Errors
///
/// No metric is left.
pub fn narrow(boots: &mut [Boot], names: &[String]) -> Result<(), BenchError> {
    for boot in &mut *boots {
        boot.metrics
            .retain(|metric| is_selected(&metric.name, names));
    }
    if boots.iter().any(|boot| !boot.metrics.is_empty()) {
        return Ok(());
    }
    let skips = boots.iter().flat_map(|boot| &boot.skips);
    let mut skips: Vec<_> = skips
        .map(|skip| format!("\n  {}: {}", skip.name, skip.why))
        .collect();
    skips.sort();
    skips.dedup();
    Err(BenchError::NoMetrics(skips.concat()))
}

/// Which of `some` groups are requested, all if none is named; `None` if none of them is.
fn narrowed(some: &[&str], selected: &[String]) -> Option<Vec<String>> {
    let wanted = some
        .iter()
        .filter(|&&own| selected.is_empty() || selected.iter().any(|name| name == own));
    let names: Vec<_> = wanted.map(|&name| name.to_owned()).collect();
    (!names.is_empty()).then_some(names)
}

/// The same with CPUs that lack x2APIC mode.
fn in_xapic(mut run: PlannedRun) -> PlannedRun {
    run.label = run.label.replacen(':', ", xAPIC:", 1);
    run.machine = run.machine.without_feature(X2APIC);
    run
}

fn run(settings: &Settings, clock: Clock, smp: &Smp, names: &[String]) -> PlannedRun {
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
    PlannedRun {
        label: format!("{}: {what}", smp.describe()),
        machine,
        clock,
        once: false,
    }
}

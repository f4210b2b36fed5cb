//! The machines of a run, and the frequencies of their counters.

use serde::{Deserialize, Serialize};

use super::float;
use crate::record::{Boot, Clock};

/// A machine, booted once in each round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machines {
    pub clock: Clock,
    pub apic: String,
    pub cpus: u64,
    /// QEMU's command line.
    pub command: String,
    /// Frequency of the time-stamp counter as measured by the kernel, in Hz, for each boot.
    pub tsc_hz: Vec<u64>,
    /// The largest step of one of the counters.
    pub resolution: u64,
}

/// All machines, in boot order.
pub fn of(boots: &[Boot]) -> Vec<Machines> {
    let mut machines: Vec<Machines> = Vec::new();
    for Boot { run, command, .. } in boots {
        let same = |known: &&mut Machines| {
            (known.clock, &known.apic, known.cpus, &known.command)
                == (run.clock, &run.apic, run.cpus, command)
        };
        match machines.iter_mut().find(same) {
            Some(known) => {
                known.tsc_hz.push(run.tsc_hz);
                known.resolution = known.resolution.max(run.resolution);
            }
            None => machines.push(Machines {
                clock: run.clock,
                apic: run.apic.clone(),
                cpus: run.cpus,
                command: command.clone(),
                tsc_hz: vec![run.tsc_hz],
                resolution: run.resolution,
            }),
        }
    }
    machines
}

/// The counter frequencies of machines measured in host time, for display: `2595 to 2601 MHz, 0.385
/// ns a tick, in steps of 26 ticks`; `None` if there are none.
pub fn frequency<'m>(machines: impl IntoIterator<Item = &'m Machines>) -> Option<String> {
    let machines = machines.into_iter();
    let in_cycles = machines.filter(|machine| machine.clock == Clock::Cycles);
    let in_cycles: Vec<_> = in_cycles.collect();
    let all: Vec<_> = in_cycles.iter().flat_map(|it| &it.tsc_hz).collect();
    let step = in_cycles.iter().map(|it| it.resolution).max()?;
    let mhz = |hz: &u64| hz.saturating_add(500_000) / 1_000_000;
    let (least, most) = (mhz(all.iter().min()?), mhz(all.iter().max()?));
    let nanoseconds = 1000.0 / float(least.max(1));
    let ticks = if step == 1 { "tick" } else { "ticks" };
    let to = match most {
        most if most == least => String::new(),
        most => format!(" to {most}"),
    };
    Some(format!(
        "{least}{to} MHz, {nanoseconds:.3} ns a tick, in steps of {step} {ticks}"
    ))
}

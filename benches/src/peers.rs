//! Other kernels (peers), measured on the same machine in the same run.
//!
//! Each is measured once in every round, so that other load on the host affects all kernels.

mod bz_image;
pub mod guest;
pub mod initramfs;
pub mod kvm_unit_tests;
pub mod linux;
mod release;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tocsin_tools::{Machine, Session};

use crate::error::BenchError;
use crate::plan;
use crate::record::Clock;
use crate::results::{Metric, Results, float, lesser_median};
use crate::run::Ticker;
use crate::settings::Settings;

use value::Case;
pub use value::Measured;

/// A peer prints nothing while it measures: its time limit is this multiple of the silence limit
/// for this kernel's machines.
const TIMEOUT_FACTOR: u32 = 4;

/// The description of a peer's test and its counterpart.
#[derive(Debug, Clone, Copy)]
pub struct Meaning {
    /// The peer's name for it.
    pub test: &'static str,
    /// The closest metric of this kernel, if any; with a parameter's value.
    pub beside: &'static str,
    pub param: Option<(&'static str, &'static str)>,
    /// The reported statistic.
    pub statistic: &'static str,
    /// The unit, if it is not that of the clock.
    pub unit: Option<&'static str>,
    /// Whether every sample executes the same code; if not, the peer has a load of its own.
    pub steady: bool,
    /// Description, and differences from this kernel's metric.
    pub what: &'static str,
}

/// A peer's test over all rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerMetric {
    pub test: String,
    pub clock: Clock,
    /// Number of CPUs of the machine.
    pub cpus: u64,
    pub statistic: String,
    pub unit: String,
    pub what: String,
    /// Name of this kernel's corresponding metric.
    pub beside: String,
    /// A parameter of that metric and its value.
    pub param: Option<(String, String)>,
    /// Median of the rounds, in the unit.
    pub value: f64,
    pub rounds: Vec<f64>,
    /// Median of the rounds' 99th percentiles, and the maximum of all rounds; `None` if the peer
    /// reports one value only.
    #[serde(default)]
    pub p99: Option<f64>,
    #[serde(default)]
    pub max: Option<f64>,
    /// The reason why the value cannot be right and is not compared.
    #[serde(default, alias = "doubt")]
    pub rejected: Option<String>,
    /// Whether the peer was measured under a load of its own, so that a ratio would compare loads.
    #[serde(default)]
    pub other_load: bool,
}

impl PeerMetric {
    /// The closest metric of this kernel.
    pub fn ours<'r>(&self, results: &'r Results) -> Option<&'r Metric> {
        results.metrics.iter().find(|metric| {
            let key = &metric.key;
            (key.clock, key.cpus, key.apic.as_str()) == (self.clock, self.cpus, "x2apic")
                && (key.name == self.beside && key.variant == "tocsin")
                && self.param.as_ref().is_none_or(|(name, value)| {
                    key.param
                        .get(name)
                        .is_none_or(|own| own.to_string() == *value)
                })
        })
    }

    /// This kernel's value as a fraction of the peer's; `None` if either is missing, rejected, or
    /// measured under another load.
    pub fn ratio(&self, results: &Results) -> Option<f64> {
        let is_comparable = self.rejected.is_none() && !self.other_load;
        let ours = self.ours(results).filter(|_| is_comparable)?;
        Some(float(ours.summary.p50) / self.value)
    }

    /// Why there is no ratio of two values that were measured: in a word, and the reason.
    pub fn no_ratio(&self) -> Option<(&'static str, String)> {
        let reason = self.rejected.as_ref();
        let rejected = reason.map(|why| ("rejected", format!("rejected: {why}")));
        let other_load = || ("other load", "other load".to_owned());
        rejected.or_else(|| self.other_load.then(other_load))
    }
}

/// Another kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    pub name: String,
    pub version: String,
    /// The reason why it was skipped.
    pub absent: Option<String>,
    pub metrics: Vec<PeerMetric>,
}

impl Peer {
    /// Whether this is the peer with this name, in any version: `Linux 6.12 rt` is a `Linux`.
    pub fn is(&self, name: &str) -> bool {
        self.name == name || self.name.split(' ').next() == Some(name)
    }

    /// Its measurements; empty if it was skipped.
    pub fn metrics(&self) -> impl Iterator<Item = &PeerMetric> {
        self.metrics.iter()
    }
}

/// A bootable peer.
pub trait Runs {
    fn name(&self) -> &str;
    /// The machine, derived from one with the run's options.
    fn machine(&self, machine: Machine, clock: Clock) -> Machine;
    /// The machine that only brings its CPUs online, derived from one with the run's options;
    /// `None` if the peer does not report the time of bring-up.
    fn starting(&self, machine: Machine) -> Option<Machine>;
    /// Parses its output.
    ///
    /// # Errors
    ///
    /// The output is incomplete or invalid.
    fn read(&self, text: &str) -> Result<Vec<Measured>, String>;
    /// The descriptions of its tests.
    fn meanings(&self) -> Vec<Meaning>;
    fn version(&self, text: &str) -> String;
}

/// A peer that takes part in a run.
pub struct InstalledPeer {
    runs: Box<dyn Runs>,
    version: String,
    /// With the number of CPUs of the machine.
    rounds: Vec<(Clock, u64, Measured)>,
    /// The reason why a round failed.
    trouble: Option<String>,
}

/// The available peers, and the unavailable ones.
pub fn find() -> Result<(Vec<InstalledPeer>, Vec<Peer>), BenchError> {
    let (mut present, mut absent) = (Vec::new(), Vec::new());
    let kvm_unit_tests = kvm_unit_tests::find()?.map(|runs| vec![runs]);
    let found = [
        ("kvm-unit-tests", kvm_unit_tests),
        ("Linux", linux::find()?),
    ];
    for (name, peers) in found {
        match peers {
            Ok(peers) => present.extend(peers.into_iter().map(|runs| InstalledPeer {
                runs,
                version: String::new(),
                rounds: Vec::new(),
                trouble: None,
            })),
            Err(why) => absent.push(Peer {
                name: name.to_owned(),
                version: String::new(),
                absent: Some(why),
                metrics: Vec::new(),
            }),
        }
    }
    Ok((present, absent))
}

impl InstalledPeer {
    /// Boots it once on each of its machines. An error is recorded, and the peer is skipped from
    /// then on.
    pub fn round(&mut self, settings: &Settings, clock: Clock, first: bool, ticker: &Ticker) {
        let name = self.runs.name().to_owned();
        let (cpus, machine) = plan::bare(settings, clock);
        let mut machines = vec![(cpus, self.runs.machine(machine, clock))];
        let counts = plan::bare_counts(settings, clock, first).into_iter();
        machines.extend(
            counts.filter_map(|(cpus, machine)| Some((cpus, self.runs.starting(machine)?))),
        );
        for (cpus, machine) in machines {
            if self.trouble.is_some() {
                return;
            }
            let what = format!("{name} in {clock}, {}", machine.describe());
            ticker.status(&what);
            if let Err(why) = self.boot(&machine, cpus, clock, settings.timeout * TIMEOUT_FACTOR) {
                ticker.print(&format!("{name} is left out: {why}"));
                self.trouble = Some(why.lines().next().unwrap_or_default().to_owned());
            } else {
                ticker.print(&format!("{what}: done"));
            }
        }
    }

    fn boot(
        &mut self,
        machine: &Machine,
        cpus: u64,
        clock: Clock,
        timeout: Duration,
    ) -> Result<(), String> {
        let mut session = Session::start(machine).map_err(|e| e.to_string())?;
        let outcome = session.wait_exit(timeout).map_err(|e| e.to_string())?;
        let text = session.transcript().text_from(0);
        let measured = self.runs.read(&text).map_err(|why| {
            let tail = session.transcript().tail(20);
            format!("{why} ({outcome})\n{tail}{}", session.command_line())
        })?;
        self.version = self.runs.version(&text);
        let measured = measured.into_iter();
        self.rounds
            .extend(measured.map(|measured| (clock, cpus, measured)));
        Ok(())
    }

    /// Merges all rounds.
    pub fn into_peer(self) -> Peer {
        let mut metrics = Vec::new();
        let machines: BTreeSet<_> = self.rounds.iter().map(|round| (round.0, round.1)).collect();
        for (clock, cpus) in machines {
            for meaning in self.runs.meanings() {
                let rounds = self.rounds.iter().filter(|(of, on, measured)| {
                    (*of, *on, measured.test.as_str()) == (clock, cpus, meaning.test)
                });
                let rounds: Vec<_> = rounds.map(|(_, _, measured)| measured).collect();
                metrics.extend(metric(&meaning, clock, cpus, &rounds));
            }
        }
        Peer {
            name: self.runs.name().to_owned(),
            version: self.version,
            absent: self.trouble,
            metrics,
        }
    }
}

/// Merges the rounds of a test; `None` if there are none. One implausible round is enough to reject
/// the value.
fn metric(meaning: &Meaning, clock: Clock, cpus: u64, rounds: &[&Measured]) -> Option<PeerMetric> {
    let values: Vec<_> = rounds.iter().map(|round| round.value).collect();
    let value = lesser_median(values.clone(), f64::total_cmp)?;
    let case = Case {
        clock: meaning.unit.is_none().then_some(clock),
        cpus,
        steady: meaning.steady,
    };
    let spreads = || rounds.iter().filter_map(|round| round.spread);
    let p99 = spreads().map(|spread| spread.p99).collect();
    let param = meaning
        .param
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some(PeerMetric {
        test: meaning.test.to_owned(),
        clock,
        cpus,
        statistic: meaning.statistic.to_owned(),
        unit: meaning
            .unit
            .map_or_else(|| clock.to_string(), str::to_owned),
        what: meaning.what.to_owned(),
        beside: meaning.beside.to_owned(),
        param,
        value,
        rounds: values,
        p99: lesser_median(p99, f64::total_cmp),
        max: spreads().map(|spread| spread.max).reduce(f64::max),
        rejected: rounds.iter().find_map(|round| round.rejection(case)),
        other_load: !meaning.steady,
    })
}

/// A variable that names a file or a directory; `None` if it is not set.
fn variable(name: &str) -> Option<PathBuf> {
    variables(name).into_iter().next()
}

/// A variable that names files or directories, separated by colons; empty if it is not set.
fn variables(name: &str) -> Vec<PathBuf> {
    let value = std::env::var_os(name).unwrap_or_default();
    let paths = std::env::split_paths(&value);
    paths.filter(|path| !path.as_os_str().is_empty()).collect()
}

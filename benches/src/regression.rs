//! The regression check: metrics in instructions, which are reproducible, compared with the
//! accepted baseline.

mod counted;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tocsin_tools::workspace;

use crate::error::BenchError;
use crate::host;
use crate::names::is_selected;
use crate::record::{Clock, Param};
use crate::results::{Key, Metric, Results};

pub use counted::Counted;

/// Advice for a difference.
const NEXT: &str = "if the change is intended, `make bench-accept` writes the new numbers to benches/baseline.json; \
     commit them with the change and state the reason";

/// Metrics that are reported in instructions and not compared, with a parameter's value. Their load
/// is pseudo-random: an additional instruction anywhere, or another boot time, changes which of its
/// interrupts delay a sample.
const UNCOMPARED: &[(&str, &str, &str)] = &[("wake.thread", "load", "interrupts")];

/// The accepted metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    pub qemu: String,
    pub compiler: String,
    /// The build of the kernel.
    #[serde(default = "release")]
    pub profile: String,
    pub metrics: Vec<Accepted>,
}

/// One accepted metric, in instructions or in its unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    pub name: String,
    pub variant: String,
    #[serde(default, skip_serializing_if = "Param::is_empty")]
    pub param: Param,
    pub apic: String,
    pub cpus: u64,
    pub unit: String,
    pub min: u64,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
    /// The permitted increase of each metric.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub allow: u64,
}

fn release() -> String {
    host::RELEASE.to_owned()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Accepted {
    fn new(metric: &Metric, allow: u64) -> Self {
        let Key {
            name,
            variant,
            param,
            apic,
            cpus,
            ..
        } = metric.key.clone();
        Self {
            name,
            variant,
            param,
            apic,
            cpus,
            unit: metric.unit.clone(),
            min: metric.summary.min,
            p50: metric.summary.p50,
            p99: metric.summary.p99,
            max: metric.summary.max,
            allow,
        }
    }

    fn key(&self) -> Key {
        Key {
            clock: Clock::Instructions,
            name: self.name.clone(),
            param: self.param.clone(),
            apic: self.apic.clone(),
            cpus: self.cpus,
            variant: self.variant.clone(),
        }
    }

    fn values(&self) -> [(&'static str, u64); 4] {
        [
            ("min", self.min),
            ("median", self.p50),
            ("p99", self.p99),
            ("max", self.max),
        ]
    }
}

/// The result of the regression check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Increases that are not permitted, and metrics that are no longer measured.
    pub worse: Vec<String>,
    /// Decreases, permitted increases, and new metrics.
    pub other: Vec<String>,
    /// Different tools, which make the baseline incomparable.
    pub unlike: Vec<String>,
    pub compared: usize,
}

impl Verdict {
    /// Whether the change must be rejected.
    pub fn fails(&self) -> bool {
        self.unlike.is_empty() && !self.worse.is_empty()
    }

    /// Formats the result for the terminal.
    pub fn show(&self) -> String {
        let mut out = String::new();
        for line in &self.unlike {
            out += &format!("other tools than the baseline's: {line}\n");
        }
        for (mark, lines) in [("WORSE ", &self.worse), ("note  ", &self.other)] {
            for line in lines {
                out += &format!("{mark} {line}\n");
            }
        }
        let Self {
            worse, compared, ..
        } = self;
        out += &match (worse.len(), self.unlike.is_empty()) {
            (0, true) => format!("bench-check: {compared}/{compared} passed\n"),
            (n, true) => {
                format!("bench-check: {n} regressions in {compared} metrics ({NEXT})\n")
            }
            (n, false) => format!(
                "bench-check: {n} regressions in {compared} metrics, not counted as failures: other tools \
                 (instructions depend on the compiler and QEMU; `make bench-accept` makes a baseline of these)\n"
            ),
        };
        out
    }
}

/// Path of the baseline.
pub fn path() -> PathBuf {
    workspace().join("benches/baseline.json")
}

impl Baseline {
    /// Reads the baseline.
    ///
    /// # Errors
    ///
    /// It does not exist, or cannot be parsed.
    pub fn load(path: &Path) -> Result<Self, BenchError> {
        let text = std::fs::read_to_string(path).map_err(BenchError::file(
            "read (`make bench-accept` writes it)",
            path,
        ))?;
        serde_json::from_str(&text).map_err(|e| BenchError::Content {
            path: path.to_owned(),
            why: format!(
                "{e}; restore it from the repository, or write it anew with `make bench-accept`"
            ),
        })
    }

    /// The metrics whose names begin with one of `names`; all if `names` is empty.
    fn only(mut self, names: &[String]) -> Self {
        self.metrics
            .retain(|metric| is_selected(&metric.name, names));
        self
    }

    /// Takes the measured values; permitted increases are taken from `old`.
    pub fn accept(results: &Results, old: Option<&Self>) -> Self {
        let allowed = |key: &Key| {
            let known = old.and_then(|old| old.metrics.iter().find(|known| known.key() == *key));
            known.map_or(0, |known| known.allow)
        };
        let mut metrics: Vec<_> = counted(results)
            .map(|metric| Accepted::new(metric, allowed(&metric.key)))
            .collect();
        metrics.sort_by_key(Accepted::key);
        Self {
            qemu: results.host.qemu.clone(),
            compiler: results.host.compiler.clone(),
            profile: results.host.profile.clone(),
            metrics,
        }
    }

    /// These metrics, and those of `old` that `names` does not select.
    ///
    /// # Errors
    ///
    /// The old ones were measured with other tools: a baseline has one set of tools.
    fn beside(mut self, old: Self, names: &[String]) -> Result<Self, String> {
        let unlike = old.unlike(&self);
        if !unlike.is_empty() {
            let unlike = unlike.join("; ");
            return Err(format!(
                "{unlike}; some metrics alone cannot be accepted into it: accept all"
            ));
        }
        let others = old.metrics.into_iter();
        self.metrics
            .extend(others.filter(|metric| !is_selected(&metric.name, names)));
        self.metrics.sort_by_key(Accepted::key);
        Ok(self)
    }

    /// The reasons why values cannot be compared with these, because the tools differ.
    fn unlike(&self, new: &Self) -> Vec<String> {
        let pairs = [
            ("QEMU", &self.qemu, &new.qemu),
            ("compiler", &self.compiler, &new.compiler),
            ("profile", &self.profile, &new.profile),
        ];
        let unlike = pairs.into_iter().filter(|(_, old, new)| old != new);
        unlike
            .map(|(what, old, new)| format!("{what} {new:?}, accepted with {old:?}"))
            .collect()
    }

    /// As JSON, one metric per line, so that a diff shows which one changed.
    pub fn to_json(&self) -> String {
        let quoted = |text: &str| serde_json::to_string(text).expect("text is JSON");
        let lines = self.metrics.iter().map(|metric| {
            let json = serde_json::to_string(metric).expect("numbers and names are JSON");
            format!("    {json}")
        });
        format!(
            "{{\n  \"qemu\": {},\n  \"compiler\": {},\n  \"profile\": {},\n  \"metrics\": [\n{}\n  ]\n}}\n",
            quoted(&self.qemu),
            quoted(&self.compiler),
            quoted(&self.profile),
            lines.collect::<Vec<_>>().join(",\n")
        )
    }

    /// Compares the measured values with the baseline.
    pub fn judge(&self, results: &Results) -> Verdict {
        let mut verdict = Verdict {
            unlike: self.unlike(&Self::accept(results, None)),
            ..Verdict::default()
        };
        for accepted in &self.metrics {
            let key = accepted.key();
            let Some(metric) = counted(results).find(|metric| metric.key == key) else {
                verdict
                    .worse
                    .push(format!("{}: not measured any more", key.describe()));
                continue;
            };
            verdict.compared += 1;
            judge(accepted, metric, &mut verdict);
        }
        for metric in counted(results) {
            if !self
                .metrics
                .iter()
                .any(|accepted| accepted.key() == metric.key)
            {
                let label = metric.key.describe();
                verdict
                    .other
                    .push(format!("{label}: new, not in the baseline"));
            }
        }
        verdict
    }
}

/// The metrics that can be compared with a baseline.
fn counted(results: &Results) -> impl Iterator<Item = &Metric> {
    let is_uncompared = |key: &Key| {
        UNCOMPARED.iter().any(|(name, param, value)| {
            let own = key.param.get(*param);
            key.name == *name && own.is_some_and(|own| own.to_string() == *value)
        })
    };
    results.metrics.iter().filter(move |metric| {
        metric.key.clock == Clock::Instructions && !is_uncompared(&metric.key)
    })
}

fn judge(accepted: &Accepted, metric: &Metric, verdict: &mut Verdict) {
    let measured = Accepted::new(metric, 0);
    let (mut worse, mut other) = (Vec::new(), Vec::new());
    let (before, after) = (accepted.values(), measured.values());
    let alike = |values: &[(&str, u64); 4]| values.iter().all(|value| value.1 == values[0].1);
    let all_alike = alike(&before) && alike(&after);
    for ((what, old), (_, new)) in before.into_iter().zip(after) {
        if old == new || all_alike && what != "median" {
            continue;
        }
        let is_worse = (new > old) != metric.more_is_better();
        let what = if all_alike { "every sample" } else { what };
        let text = format!("{what} {old}, now {new}");
        if is_worse && old.abs_diff(new) > accepted.allow {
            worse.push(text);
        } else {
            other.push(text);
        }
    }
    let label = metric.key.describe();
    let allowed = match accepted.allow {
        0 => String::new(),
        allow => format!(" ({allow} allowed)"),
    };
    if !worse.is_empty() {
        let unit = &metric.unit;
        verdict
            .worse
            .push(format!("{label}: {} {unit}{allowed}", worse.join(", ")));
    }
    if !other.is_empty() {
        verdict
            .other
            .push(format!("{label}: {}{allowed}", other.join(", ")));
    }
}

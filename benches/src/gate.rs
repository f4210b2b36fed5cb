//! The gate: figures in instructions, which come out alike in every run, held against those
//! that were accepted.

mod counted;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tocsin_tools::workspace;

use crate::error::BenchError;
use crate::host;
use crate::names::is_asked;
use crate::record::{Clock, Param};
use crate::results::{Figure, Key, Results};

pub use counted::Counted;

/// What to do about a difference.
const NEXT: &str = "if the change is meant, `make bench-accept` takes the new numbers into benches/baseline.json; \
     commit them with the change and say why";

/// The accepted figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    pub qemu: String,
    pub compiler: String,
    /// How the kernel was built.
    #[serde(default = "release")]
    pub profile: String,
    pub figures: Vec<Accepted>,
}

/// One accepted figure, in instructions or as its unit says.
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
    /// By how much each may be worse.
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
    fn new(figure: &Figure, allow: u64) -> Self {
        let Key {
            name,
            variant,
            param,
            apic,
            cpus,
            ..
        } = figure.key.clone();
        Self {
            name,
            variant,
            param,
            apic,
            cpus,
            unit: figure.unit.clone(),
            min: figure.summary.min,
            p50: figure.summary.p50,
            p99: figure.summary.p99,
            max: figure.summary.max,
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

/// What the gate found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Rises that are not allowed, and figures that are not measured any more.
    pub worse: Vec<String>,
    /// Falls, rises that are allowed, and figures that are new.
    pub other: Vec<String>,
    /// Tools that differ: nothing can be held against the baseline then.
    pub unlike: Vec<String>,
    pub compared: usize,
}

impl Verdict {
    /// Whether a change must not land.
    pub fn fails(&self) -> bool {
        self.unlike.is_empty() && !self.worse.is_empty()
    }

    /// For the terminal.
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
            (0, true) => format!("gate: {compared} figures, none worse than accepted\n"),
            (n, true) => {
                format!("gate: {n} differences for the worse in {compared} figures; {NEXT}\n")
            }
            (n, false) => format!(
                "gate: {compared} figures, {n} differences for the worse, reported only: instructions \
                 depend on the compiler and QEMU; `make bench-accept` makes a baseline of these\n"
            ),
        };
        out
    }
}

/// Where the accepted figures are.
pub fn path() -> PathBuf {
    workspace().join("benches/baseline.json")
}

impl Baseline {
    /// Reads the accepted figures.
    ///
    /// # Errors
    ///
    /// There are none, or they are not understood.
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

    /// Those whose names begin with one of `names`; all if there are none.
    fn only(mut self, names: &[String]) -> Self {
        self.figures.retain(|figure| is_asked(&figure.name, names));
        self
    }

    /// Takes what was measured; what rises are allowed stays as it was in `old`.
    pub fn accept(results: &Results, old: Option<&Self>) -> Self {
        let allowed = |key: &Key| {
            let known = old.and_then(|old| old.figures.iter().find(|known| known.key() == *key));
            known.map_or(0, |known| known.allow)
        };
        let mut figures: Vec<_> = counted(results)
            .map(|figure| Accepted::new(figure, allowed(&figure.key)))
            .collect();
        figures.sort_by_key(Accepted::key);
        Self {
            qemu: results.host.qemu.clone(),
            compiler: results.host.compiler.clone(),
            profile: results.host.profile.clone(),
            figures,
        }
    }

    /// These figures, and those of `old` that `names` do not ask for.
    ///
    /// # Errors
    ///
    /// The old ones are of other tools: a baseline is of one.
    fn beside(mut self, old: Self, names: &[String]) -> Result<Self, String> {
        let unlike = old.unlike(&self);
        if !unlike.is_empty() {
            let unlike = unlike.join("; ");
            return Err(format!(
                "{unlike}; some figures alone cannot be accepted into it: accept all"
            ));
        }
        let others = old.figures.into_iter();
        self.figures
            .extend(others.filter(|figure| !is_asked(&figure.name, names)));
        self.figures.sort_by_key(Accepted::key);
        Ok(self)
    }

    /// Where figures are not to be held against these, because they were made by other tools.
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

    /// As JSON, one figure a line, so that a change shows which.
    pub fn to_json(&self) -> String {
        let quoted = |text: &str| serde_json::to_string(text).expect("text is JSON");
        let lines = self.figures.iter().map(|figure| {
            let json = serde_json::to_string(figure).expect("numbers and names are JSON");
            format!("    {json}")
        });
        format!(
            "{{\n  \"qemu\": {},\n  \"compiler\": {},\n  \"profile\": {},\n  \"figures\": [\n{}\n  ]\n}}\n",
            quoted(&self.qemu),
            quoted(&self.compiler),
            quoted(&self.profile),
            lines.collect::<Vec<_>>().join(",\n")
        )
    }

    /// Holds what was measured against what was accepted.
    pub fn judge(&self, results: &Results) -> Verdict {
        let mut verdict = Verdict {
            unlike: self.unlike(&Self::accept(results, None)),
            ..Verdict::default()
        };
        for accepted in &self.figures {
            let key = accepted.key();
            let Some(figure) = counted(results).find(|figure| figure.key == key) else {
                verdict
                    .worse
                    .push(format!("{}: not measured any more", key.describe()));
                continue;
            };
            verdict.compared += 1;
            judge(accepted, figure, &mut verdict);
        }
        for figure in counted(results) {
            if !self
                .figures
                .iter()
                .any(|accepted| accepted.key() == figure.key)
            {
                let label = figure.key.describe();
                verdict
                    .other
                    .push(format!("{label}: new, not in the baseline"));
            }
        }
        verdict
    }
}

/// What can be held against a baseline.
fn counted(results: &Results) -> impl Iterator<Item = &Figure> {
    results
        .figures
        .iter()
        .filter(|figure| figure.key.clock == Clock::Instructions)
}

fn judge(accepted: &Accepted, figure: &Figure, verdict: &mut Verdict) {
    let measured = Accepted::new(figure, 0);
    let (mut worse, mut other) = (Vec::new(), Vec::new());
    let (before, after) = (accepted.values(), measured.values());
    let alike = |values: &[(&str, u64); 4]| values.iter().all(|value| value.1 == values[0].1);
    let all_alike = alike(&before) && alike(&after);
    for ((what, old), (_, new)) in before.into_iter().zip(after) {
        if old == new || all_alike && what != "median" {
            continue;
        }
        let is_worse = (new > old) != figure.more_is_better();
        let what = if all_alike { "every sample" } else { what };
        let text = format!("{what} {old}, now {new}");
        if is_worse && old.abs_diff(new) > accepted.allow {
            worse.push(text);
        } else {
            other.push(text);
        }
    }
    let label = figure.key.describe();
    let allowed = match accepted.allow {
        0 => String::new(),
        allow => format!(" ({allow} allowed)"),
    };
    if !worse.is_empty() {
        let unit = &figure.unit;
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

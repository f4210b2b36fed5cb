//! A peer's value, and the rule that rejects a value that cannot be right.

#[cfg(test)]
mod tests;

use crate::record::Clock;
use crate::results::float;

/// The minimum number of samples from which a percentile is used.
const FEWEST: u64 = 50;

/// The limits for a test whose every sample executes the same code.
struct Limits {
    /// The maximum ratio of the median to the minimum.
    spread: f64,
    /// The maximum value for each CPU of the machine: far more than any path through a kernel from
    /// an interrupt to its handler, a woken thread or an acknowledgement.
    longest: f64,
}

impl Limits {
    /// Cycles include caches, the translation of code and the emulator's own work, so that their
    /// limits only reject samples that waited for the host's scheduler.
    const fn of(clock: Clock) -> Self {
        match clock {
            Clock::Instructions => Self {
                spread: 3.0,
                longest: 10_000.0,
            },
            Clock::Cycles => Self {
                spread: 100.0,
                longest: 1_000_000.0,
            },
        }
    }
}

/// A peer's measurement in one boot.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The peer's name for it.
    pub test: String,
    pub value: f64,
    /// The distribution whose median is `value`; `None` if the peer reports one value only.
    pub spread: Option<Spread>,
}

/// The distribution of a measurement's samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub samples: u64,
    pub min: f64,
    pub p99: f64,
    pub max: f64,
}

/// The circumstances of a measurement, on which the rule depends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Case {
    /// The clock of the value; `None` if it has a unit of its own.
    pub clock: Option<Clock>,
    /// Number of CPUs of the machine.
    pub cpus: u64,
    /// Whether every sample executes the same code.
    pub steady: bool,
}

impl Measured {
    /// The reason why the value cannot be right; `None` if it is plausible.
    pub fn rejection(&self, case: Case) -> Option<String> {
        let value = self.value;
        if !(value.is_finite() && value > 0.0) {
            return Some("not more than the cost of measuring".to_owned());
        }
        if let Some(spread) = self.spread {
            let Spread {
                samples,
                min,
                p99,
                max,
            } = spread;
            if !(min <= value && value <= p99 && p99 <= max) {
                return Some("its percentiles are out of order".to_owned());
            }
            if samples < FEWEST {
                return Some(format!("of {samples} samples, fewer than {FEWEST}"));
            }
        }
        let clock = case.clock.filter(|_| case.steady)?;
        let limits = Limits::of(clock);
        let min = self.spread.map_or(value, |spread| spread.min);
        if value > limits.spread * min.max(1.0) {
            return Some(format!(
                "the minimum is {min:.0}: most samples include waiting or other work"
            ));
        }
        let most = limits.longest * float(case.cpus.max(1));
        (value > most).then(|| format!("more than {most:.0} {clock}: the samples include waiting"))
    }
}

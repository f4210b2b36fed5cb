//! Summary statistics of a series of measurements.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

/// A series and its summary, all in the series' unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The median.
    pub median: f64,
    /// The first and third quartiles: half of the series is between them.
    pub spread: f64,
    /// The minimum.
    pub least: f64,
    /// The maximum.
    pub most: f64,
    /// The series, in the order of measurement.
    pub all: Vec<f64>,
}

impl Series {
    /// Summarises a series; `None` for an empty one.
    pub fn of(all: &[f64]) -> Option<Self> {
        let mut sorted = all.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: quantile(&sorted, 2)?,
            spread: quantile(&sorted, 3)? - quantile(&sorted, 1)?,
            least: *sorted.first()?,
            most: *sorted.last()?,
            all: all.to_vec(),
        })
    }
}

/// The value below which `quarters` quarters of a sorted series lie, interpolated linearly between
/// two of its values.
fn quantile(sorted: &[f64], quarters: usize) -> Option<f64> {
    let position = sorted.len().checked_sub(1)? * quarters;
    let (below, part) = (position / 4, position % 4);
    let (low, high) = (sorted[below], sorted[(below + 1).min(sorted.len() - 1)]);
    let fraction = [0.0, 0.25, 0.5, 0.75][part];
    Some(low + (high - low) * fraction)
}

/// The head of a table of series.
pub fn head(out: &mut String, first: &str) {
    *out += &format!(
        "  {first:<13}{:>10}{:>10}{:>10}{:>10}{:>10}\n",
        "median", "spread", "least", "most", "runs"
    );
}

/// A row of such a table, with this many decimals.
pub fn row(out: &mut String, name: &str, series: &Series, unit: &str, decimals: usize) {
    let width = 9 - unit.len();
    *out += &format!("  {name:<13}");
    for value in [series.median, series.spread, series.least, series.most] {
        *out += &format!("{value:>width$.decimals$} {unit}");
    }
    *out += &format!("{:>10}\n", series.all.len());
}

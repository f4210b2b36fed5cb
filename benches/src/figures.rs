//! What is told of a series of measurements.

#[cfg(test)]
mod tests;

use serde::Serialize;

/// A series and its summary, all in the series' unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// The middle one.
    pub median: f64,
    /// From the first quartile to the third: half of the series lies within.
    pub spread: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
    /// The series, in the order in which it was measured.
    pub all: Vec<f64>,
}

impl Figures {
    /// Sums up a series; `None` for an empty one.
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

/// The value below which `quarters` quarters of a sorted series lie, between two of
/// its values in proportion.
fn quantile(sorted: &[f64], quarters: usize) -> Option<f64> {
    let position = sorted.len().checked_sub(1)? * quarters;
    let (below, part) = (position / 4, position % 4);
    let (low, high) = (sorted[below], sorted[(below + 1).min(sorted.len() - 1)]);
    let fraction = [0.0, 0.25, 0.5, 0.75][part];
    Some(low + (high - low) * fraction)
}

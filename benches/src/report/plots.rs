//! The plots of the report.

use super::machine;
use crate::error::BenchError;
use crate::plot::bars::Bars;
use crate::plot::{Curve, Plot, cumulative, distribution, number, tail};
use crate::record::{Cause, Clock, Value};
use crate::results::{Causes, Metric, Results, float};

/// Metrics over a parameter: name, parameter, axis, whether it doubles from point to point.
const SCALING: &[(&str, &str, &str, bool)] = &[
    ("broadcast.all", "cpus", "CPUs", true),
    ("broadcast.sender", "cpus", "CPUs", true),
    ("tlb.shootdown", "cpus", "CPUs", true),
    ("bringup.cpus", "cpus", "CPUs", true),
    ("nest.entry", "depth", "nesting depth", false),
];

/// The plot that is shown first.
const CONTENTION: &str = "contention.latency";

/// Metrics measured alike except for the variant, and their plots.
pub struct Group {
    pub title: String,
    pub plots: Vec<String>,
}

/// Histogram and cumulative distribution of metrics measured alike; `None` if they have no spread.
pub fn group(metrics: &[&Metric]) -> Result<Option<Group>, BenchError> {
    let with: Vec<_> = metrics
        .iter()
        .filter(|metric| !metric.histogram.is_empty())
        .collect();
    if with.iter().all(|metric| metric.histogram.len() == 1) {
        return Ok(None);
    }
    let key = &with[0].key;
    let unit = with[0].unit.clone();
    let title = format!("{} {}", key.name, key.params())
        .trim_end()
        .to_owned();
    // Distant outliers would compress the rest of the plot: they are in the last plot.
    let least = with.iter().map(|metric| metric.summary.min).min();
    let most = with.iter().map(|metric| metric.summary.p99_9).max();
    let least = least.unwrap_or_default().max(1);
    let range = (least, most.unwrap_or_default().max(least + least / 4 + 1));
    let curves = |of: &dyn Fn(&Metric) -> Vec<(f64, f64)>| {
        let curves = with.iter().map(|metric| Curve {
            name: metric.key.variant.clone(),
            points: of(metric),
        });
        curves.collect::<Vec<_>>()
    };
    let plot = |what: &str, y: &str, log_y, curves| Plot {
        title: format!("{title}: {what}"),
        x: format!("{unit} (logarithmic)"),
        y: y.to_owned(),
        log_x: true,
        log_y,
        marks: false,
        curves,
    };
    let histogram = plot(
        "histogram up to p99.9",
        "% of samples",
        false,
        curves(&|metric| distribution(&metric.histogram, range)),
    );
    let within = |points: Vec<(f64, f64)>| {
        let within = points.into_iter();
        within
            .take_while(|point| point.0 <= float(range.1))
            .collect()
    };
    let whole = plot(
        "cumulative distribution up to p99.9",
        "% of samples at or below",
        false,
        curves(&|metric| within(cumulative(&metric.histogram))),
    );
    let tail = plot(
        "the tail, to the greatest",
        "% of samples at or above (logarithmic)",
        true,
        curves(&|metric| tail(&metric.histogram)),
    );
    let title = format!("{title} ({})", machine(key));
    let plots = vec![histogram.draw()?, whole.draw()?, tail.draw()?];
    Ok(Some(Group { title, plots }))
}

/// A numeric parameter.
fn numeric(metric: &Metric, param: &str) -> Option<f64> {
    match metric.key.param.get(param)? {
        Value::Number(number) => Some(float(*number)),
        Value::Text(_) => None,
    }
}

/// The curves of each variant over a parameter.
fn over(metrics: &[&Metric], param: &str, of: fn(&Metric) -> u64, what: &str) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for metric in metrics {
        let Some(x) = numeric(metric, param) else {
            continue;
        };
        let (name, point) = (
            format!("{}{what}", metric.key.variant),
            (x, float(of(metric))),
        );
        match curves.iter_mut().find(|curve| curve.name == name) {
            Some(curve) => curve.points.push(point),
            None => curves.push(Curve {
                name,
                points: vec![point],
            }),
        }
    }
    for curve in &mut curves {
        curve
            .points
            .sort_by(|left, right| left.0.total_cmp(&right.0));
    }
    curves
}

/// Latency under contention as a function of the section's duration.
pub fn contention(results: &Results, clock: Clock) -> Result<Vec<String>, BenchError> {
    let metrics = results
        .metrics
        .iter()
        .filter(|metric| metric.key.clock == clock && metric.key.name == CONTENTION);
    let metrics: Vec<_> = metrics.collect();
    let mut plots = Vec::new();
    // The maximum in cycles is dominated by noise from the host.
    let (of, what): (fn(&Metric) -> u64, _) = match clock {
        Clock::Cycles => (|metric| metric.summary.p99, "p99"),
        Clock::Instructions => (|metric| metric.summary.max, "worst"),
    };
    let mut curves = over(&metrics, "section", of, "");
    for curve in &mut curves {
        curve.points.retain(|point| point.0 > 0.0);
    }
    if curves.iter().any(|curve| curve.points.len() > 1) {
        let plot = Plot {
            title: format!("{what} latency of a high class while low priority holds a lock"),
            x: format!("length L of the section, {clock} (logarithmic; 0 is in the table)"),
            y: format!("{what} latency, {clock} (logarithmic)"),
            log_x: true,
            log_y: true,
            marks: true,
            curves,
        };
        plots.push(plot.draw()?);
    }
    Ok(plots)
}

/// The parts of each of the slowest samples of a load run, and of all samples together.
pub fn shares(causes: &Causes) -> Result<String, BenchError> {
    let Cause {
        name, parts, worst, ..
    } = &causes.cause;
    let all: Vec<_> = parts.values().map(|part| float(part.sum)).collect();
    // Older files lack the sums.
    let has_sums = all.iter().any(|&sum| sum > 0.0);
    let mut bars = Vec::new();
    if has_sums {
        bars.push(("all samples".to_owned(), all));
    }
    for (index, sample) in worst.iter().enumerate() {
        let sizes: Vec<f64> = parts
            .keys()
            .map(|part| float(sample.get(part).copied().unwrap_or_default()))
            .collect();
        let whole = number(sizes.iter().sum());
        bars.push((
            format!("slowest {}: {whole} {}", index + 1, causes.clock),
            sizes,
        ));
    }
    let bars = Bars {
        title: format!("{name}: what a latency is made of"),
        parts: parts.keys().map(|part| part.replace('_', " ")).collect(),
        rows: bars,
    };
    bars.draw()
}

/// The metrics with a numeric parameter.
pub fn scaling(results: &Results, clock: Clock) -> Result<Vec<String>, BenchError> {
    let mut plots = Vec::new();
    for &(name, param, axis, doubles) in SCALING {
        let metrics = results
            .metrics
            .iter()
            .filter(|metric| (metric.key.clock, metric.key.name.as_str()) == (clock, name));
        let metrics: Vec<_> = metrics.collect();
        // A metric for a number of CPUs is taken from the machine with exactly this number, if
        // there is one; otherwise from the largest.
        let most = metrics.iter().map(|metric| metric.key.cpus).max();
        let has_own = |cpus: u64| {
            metrics.iter().any(|metric| {
                metric.key.cpus == cpus
                    && metric.key.param.get("cpus") == Some(&Value::Number(cpus))
            })
        };
        let own: Vec<_> = metrics
            .iter()
            .filter(|metric| match metric.key.param.get("cpus") {
                Some(&Value::Number(cpus)) if has_own(cpus) => cpus == metric.key.cpus,
                _ => Some(metric.key.cpus) == most,
            })
            .copied()
            .collect();
        let curves = over(&own, param, |metric| metric.summary.p50, "");
        if !curves.iter().any(|curve| curve.points.len() > 1) {
            continue;
        }
        let unit = &own[0].unit;
        let plot = Plot {
            title: format!("{name} in {clock}"),
            x: if doubles {
                format!("{axis} (logarithmic)")
            } else {
                axis.to_owned()
            },
            y: format!("median, {unit}"),
            log_x: doubles,
            log_y: false,
            marks: true,
            curves,
        };
        plots.push(plot.draw()?);
    }
    Ok(plots)
}

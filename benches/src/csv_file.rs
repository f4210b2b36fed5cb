//! Results as comma-separated values, one row per metric, for spreadsheets and scripts.

#[cfg(test)]
mod tests;

use crate::peers::{Peer, PeerMetric};
use crate::results::{Metric, Results};

const HEAD: [&str; 23] = [
    "kernel",
    "clock",
    "name",
    "param",
    "variant",
    "apic",
    "cpus",
    "unit",
    "samples",
    "below_zero",
    "rounds",
    "overhead",
    "min",
    "p50",
    "p90",
    "p99",
    "p99_9",
    "max",
    "p50_least",
    "p50_most",
    "mean",
    "beside",
    "rejected",
];

/// The whole file: this kernel's metrics, then those of other kernels, which name the metric that
/// they are compared with.
pub fn of(results: &Results) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing to memory cannot fail, and all rows are as long as the header.
    let fits = "memory takes every row";
    writer.write_record(HEAD).expect(fits);
    for metric in &results.metrics {
        writer.write_record(own(metric)).expect(fits);
    }
    for peer in &results.peers {
        for metric in peer.metrics() {
            writer
                .write_record(others(results, peer, metric))
                .expect(fits);
        }
    }
    let bytes = writer.into_inner().expect(fits);
    String::from_utf8(bytes).expect("fields are text")
}

fn own(metric: &Metric) -> Vec<String> {
    let key = &metric.key;
    let mut row = vec![
        "tocsin".to_owned(),
        key.clock.to_string(),
        key.name.clone(),
        key.params(),
        key.variant.clone(),
        key.apic.clone(),
        key.cpus.to_string(),
        metric.unit.clone(),
        metric.samples.to_string(),
        metric.below_zero.to_string(),
        metric.rounds.len().to_string(),
        metric.overhead.to_string(),
    ];
    let text = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    row.extend(metric.supported().map(text));
    let (least, most) = metric.spread().unzip();
    row.extend([least, most].map(text));
    row.extend([String::new(), String::new(), String::new()]);
    row
}

/// A peer reports a mean, or a median with the tail of its distribution. A value that cannot be
/// right has the reason in the last column.
fn others(results: &Results, peer: &Peer, metric: &PeerMetric) -> Vec<String> {
    let ours = metric.ours(results);
    let param = ours.map(|ours| ours.key.params());
    let value = format!("{:.0}", metric.value);
    let (median, mean) = match metric.statistic.as_str() {
        "mean" => (String::new(), value),
        _ => (value, String::new()),
    };
    let none = String::new;
    let tail = |value: Option<f64>| value.map_or_else(none, |value| format!("{value:.0}"));
    vec![
        peer.name.clone(),
        metric.clock.to_string(),
        metric.test.clone(),
        param.unwrap_or_default(),
        none(),
        none(),
        metric.cpus.to_string(),
        metric.unit.clone(),
        none(),
        none(),
        metric.rounds.len().to_string(),
        none(),
        none(),
        median,
        none(),
        tail(metric.p99),
        none(),
        tail(metric.max),
        none(),
        none(),
        mean,
        metric.beside.clone(),
        metric.rejected.clone().unwrap_or_default(),
    ]
}

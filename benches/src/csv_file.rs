//! Results as comma-separated values, one row per metric, for spreadsheets and scripts.

#[cfg(test)]
mod tests;

use crate::peers::{Peer, PeerFigure};
use crate::results::{Figure, Results};

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
    for figure in &results.figures {
        writer.write_record(own(figure)).expect(fits);
    }
    for peer in &results.peers {
        for figure in peer.figures() {
            writer
                .write_record(others(results, peer, figure))
                .expect(fits);
        }
    }
    let bytes = writer.into_inner().expect(fits);
    String::from_utf8(bytes).expect("fields are text")
}

fn own(figure: &Figure) -> Vec<String> {
    let key = &figure.key;
    let mut row = vec![
        "tocsin".to_owned(),
        key.clock.to_string(),
        key.name.clone(),
        key.params(),
        key.variant.clone(),
        key.apic.clone(),
        key.cpus.to_string(),
        figure.unit.clone(),
        figure.samples.to_string(),
        figure.below_zero.to_string(),
        figure.rounds.len().to_string(),
        figure.overhead.to_string(),
    ];
    let text = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    row.extend(figure.told().map(text));
    let (least, most) = figure.spread().unzip();
    row.extend([least, most].map(text));
    row.extend([String::new(), String::new(), String::new()]);
    row
}

/// A peer reports a mean, or a median with the tail of its distribution. A value that cannot be right
/// has the reason in the last column.
fn others(results: &Results, peer: &Peer, figure: &PeerFigure) -> Vec<String> {
    let ours = figure.ours(results);
    let param = ours.map(|ours| ours.key.params());
    let value = format!("{:.0}", figure.value);
    let (median, mean) = match figure.statistic.as_str() {
        "mean" => (String::new(), value),
        _ => (value, String::new()),
    };
    let none = String::new;
    let tail = |value: Option<f64>| value.map_or_else(none, |value| format!("{value:.0}"));
    vec![
        peer.name.clone(),
        figure.clock.to_string(),
        figure.test.clone(),
        param.unwrap_or_default(),
        none(),
        none(),
        figure.cpus.to_string(),
        figure.unit.clone(),
        none(),
        none(),
        figure.rounds.len().to_string(),
        none(),
        none(),
        median,
        none(),
        tail(figure.p99),
        none(),
        tail(figure.max),
        none(),
        none(),
        mean,
        figure.beside.clone(),
        figure.doubt.clone().unwrap_or_default(),
    ]
}

//! Results as text for the terminal.

use crate::columns::aligned;
use crate::peers::PeerMetric;
use crate::record::{self, Clock};
use crate::results::{Metric, Results, machines};
use crate::targets;

/// A number in short form: `1.15`, `42`.
pub fn short(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

/// Left-aligned columns of the tables.
const LEFT: [&str; 4] = ["metric", "target", "unit", ""];

/// Notes on rates and times.
const RATES: &str =
    "of what is per_second more is better: above x1 of the floor, and their min is the bad end\n";

/// Placeholder where there are too few samples for a value.
pub const NO_VALUE: &str = "-";

fn cell(value: Option<u64>) -> String {
    value.map_or_else(|| NO_VALUE.to_owned(), |value| value.to_string())
}

/// All metrics for this clock; empty if there are none.
pub fn metrics(results: &Results, clock: Clock) -> String {
    let metrics = results.metrics.iter();
    let metrics = metrics.filter(|metric| metric.key.clock == clock);
    let rows: Vec<_> = metrics.map(|metric| row(results, metric)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let head = [
        "metric",
        "min",
        "median",
        "p90",
        "p99",
        "p99.9",
        "max",
        "overhead",
        "rounds' medians",
        "samples",
        "below 0",
        "floor",
    ];
    let peers = results.present().map(|peer| peer.name.as_str());
    let head = head.into_iter().chain(peers).chain(["unit"]);
    let head = vec![head.map(str::to_owned).collect()];
    let table = aligned(&[head, rows].concat(), &LEFT);
    let ticks = match (clock, machines::frequency(&results.machines)) {
        (Clock::Cycles, Some(frequency)) => format!(" of a counter with {frequency}"),
        _ => String::new(),
    };
    let of_clock = |metric: &&Metric| metric.key.clock == clock;
    let mut metrics = results.metrics.iter().filter(of_clock);
    let rates = if metrics.any(Metric::more_is_better) {
        RATES
    } else {
        ""
    };
    format!("\n{clock}{ticks}: medians of rounds; least and greatest of all\n{table}{rates}")
}

fn row(results: &Results, metric: &Metric) -> Vec<String> {
    let floor = results.to_floor(metric).map(|ratio| format!("x{ratio:.2}"));
    let spread = metric
        .spread()
        .map(|(least, most)| format!("{least} to {most}"));
    let mut row = vec![metric.key.describe()];
    row.extend(metric.supported().map(cell));
    row.extend([
        metric.overhead.to_string(),
        spread.unwrap_or_default(),
        metric.samples.to_string(),
        metric.below_zero_note(),
        floor.unwrap_or_default(),
    ]);
    row.extend(results.present().map(|peer| results.of_peer(peer, metric)));
    row.push(metric.unit.clone());
    row
}

/// A metric in one line, as it arrives.
pub fn brief(label: &str, metric: &record::Metric) -> String {
    let [min, median, _, p99, _, max] = metric.summary.supported(metric.samples).map(cell);
    let (samples, unit) = (metric.samples, &metric.unit);
    format!(
        "{label:<66} min {min:>9}  median {median:>9}  p99 {p99:>9}  max {max:>9} {unit}, {samples} samples"
    )
}

/// What was skipped.
pub fn skips(results: &Results) -> String {
    let skips = results
        .skips
        .iter()
        .map(|skip| format!("skipped: {}: {}\n", skip.name, skip.why));
    skips.collect()
}

/// The targets, met or missed.
pub fn targets(results: &Results) -> String {
    let targets = targets::of(results);
    if targets.is_empty() {
        return String::new();
    }
    let mut rows = vec![
        ["target", "measured", "at most", "unit", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    for target in &targets {
        let verdict = if target.is_met() { "met" } else { "MISSED" };
        rows.push(vec![
            target.what.clone(),
            short(target.measured),
            short(target.limit),
            target.unit.clone(),
            verdict.to_owned(),
        ]);
    }
    let mut out = format!("\n{}", aligned(&rows, &LEFT));
    for listing in &results.listings {
        let (what, all) = (listing.key.describe(), listing.instructions);
        out += &format!("{what}: {all} instructions: {}\n", listing.why());
    }
    out
}

/// Columns of [`peers`].
const PEERS: [&str; 10] = [
    "test", "CPUs", "value", "p99", "max", "unit", "ours", "median", "ours p99", "ours max",
];

/// Other kernels compared with this one.
pub fn peers(results: &Results) -> String {
    let mut out = String::new();
    for peer in &results.peers {
        let version = &peer.version;
        out += &format!("\n{} {version}\n", peer.name);
        if let Some(why) = &peer.absent {
            out += &format!("  {why}\n");
        }
        let head = PEERS.into_iter().chain(["ratio"]).map(str::to_owned);
        let rows = peer.metrics().map(|metric| peer_row(results, metric));
        let rows: Vec<_> = std::iter::once(head.collect()).chain(rows).collect();
        if rows.len() > 1 {
            out += &aligned(&rows, &["test", "unit", "ours", "ratio"]);
        }
    }
    out
}

/// A peer's test and the corresponding metric of this kernel; for values that are not compared, the
/// reason in place of the ratio.
fn peer_row(results: &Results, metric: &PeerMetric) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.0}"));
    let ours = metric.ours(results);
    let [_, median, _, p99, _, max] = ours.map(Metric::supported).unwrap_or_default();
    let ratio = metric.ratio(results).map(|ratio| format!("x{ratio:.2}"));
    let none = metric.no_ratio().map(|(_, why)| why);
    let has_tail = metric.p99.is_some();
    let own = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    vec![
        metric.test.clone(),
        metric.cpus.to_string(),
        number(Some(metric.value)),
        number(metric.p99),
        number(metric.max),
        format!("{} ({})", metric.unit, metric.statistic),
        ours.map(|ours| format!("{} {}", ours.key.name, ours.key.params()))
            .unwrap_or_default(),
        own(median),
        own(p99.filter(|_| has_tail)),
        own(max.filter(|_| has_tail)),
        none.or(ratio).unwrap_or_default(),
    ]
}

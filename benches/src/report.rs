//! The report: one self-contained HTML file.

mod plots;
#[cfg(test)]
mod tests;

use askama::Template;

use crate::error::BenchError;
use crate::peers::Peer;
use crate::plot::number;
use crate::record::Clock;
use crate::results::{Causes, Key, Metric, Results, float, machines};
use crate::table::{NO_VALUE, short};
use crate::targets::{self, Target};
use plots::{Group, contention, group, scaling};

/// A row of a table of metrics.
struct Row<'r> {
    metric: &'r Metric,
    /// The anchor in the page.
    id: String,
    label: String,
    machine: String,
    unit: String,
    /// The percentiles from the minimum to the maximum.
    values: [String; 6],
    /// The minimum and maximum of the rounds' medians.
    spread: String,
    /// Number of rounds, and of samples in each.
    samples: String,
    below_zero: String,
    floor: String,
    /// Each peer's value for this metric.
    others: Vec<String>,
}

/// The metrics for one clock.
struct Section<'r> {
    clock: Clock,
    rows: Vec<Row<'r>>,
    groups: Vec<Group>,
}

/// A part of a load run's latency.
struct Share {
    name: String,
    part: crate::record::Part,
    /// Share of the time of all samples together, in percent.
    percent: String,
}

struct CauseTable<'r> {
    plot: String,
    causes: &'r Causes,
    shares: Vec<Share>,
    names: Vec<&'r str>,
    worst: Vec<Vec<u64>>,
}

struct PeerRow {
    test: String,
    cpus: u64,
    what: String,
    value: String,
    /// The 99th percentile and the maximum, if the peer reports them.
    tail: [String; 2],
    unit: String,
    ours: String,
    /// The median, 99th percentile and maximum.
    own: [String; 3],
    /// The ratio, or the reason why the value is rejected.
    ratio: String,
}

struct PeerTable<'r> {
    peer: &'r Peer,
    rows: Vec<PeerRow>,
}

struct TargetRow {
    target: Target,
    measured: String,
    limit: String,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'r> {
    results: &'r Results,
    began: String,
    frequency: Option<String>,
    targets: Vec<TargetRow>,
    met: usize,
    overview: Vec<String>,
    causes: Vec<CauseTable<'r>>,
    sections: Vec<Section<'r>>,
    peers: Vec<PeerTable<'r>>,
}

/// The whole page.
///
/// # Errors
///
/// A plot cannot be drawn, or the template cannot be rendered.
pub fn of(results: &Results) -> Result<String, BenchError> {
    let clocks = [Clock::Cycles, Clock::Instructions];
    let mut sections = Vec::new();
    let mut overview = Vec::new();
    for clock in clocks {
        if results
            .metrics
            .iter()
            .any(|metric| metric.key.clock == clock)
        {
            overview.extend(contention(results, clock)?);
            overview.extend(scaling(results, clock)?);
            sections.push(section(results, clock)?);
        }
    }
    let targets = targets::of(results);
    let met = targets.iter().filter(|target| target.is_met()).count();
    let targets = targets.into_iter().map(|target| TargetRow {
        measured: short(target.measured),
        limit: short(target.limit),
        target,
    });
    let page = Page {
        results,
        began: date(results.host.began),
        frequency: machines::frequency(&results.machines),
        targets: targets.collect(),
        met,
        overview,
        causes: results.causes.iter().map(cause).collect::<Result<_, _>>()?,
        sections,
        peers: results
            .peers
            .iter()
            .map(|peer| peer_table(results, peer))
            .collect(),
    };
    Ok(page.render()?)
}

/// The anchor of a metric: letters, digits, dots and dashes.
pub fn id(key: &Key) -> String {
    let text = format!(
        "{}-{}-{}-{}-{}",
        key.clock,
        key.name,
        key.params(),
        key.variant,
        key.apic
    );
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
            c
        } else {
            '-'
        }
    };
    format!(
        "{}-{}",
        text.chars().map(plain).collect::<String>(),
        key.cpus
    )
}

/// The abbreviation of a unit.
fn unit(unit: &str) -> String {
    match unit {
        "per_second" => "per s".to_owned(),
        "nanoseconds" => "ns".to_owned(),
        unit => unit.replace('_', " "),
    }
}

/// `5 × 10000`; the mean if the rounds have different numbers of samples.
fn samples(metric: &Metric) -> String {
    let (rounds, all) = (metric.rounds.len(), metric.samples);
    let rounds = u64::try_from(rounds).unwrap_or(1).max(1);
    let about = if all.is_multiple_of(rounds) { "" } else { "~" };
    format!("{rounds} × {about}{}", all / rounds)
}

fn machine(key: &Key) -> String {
    format!("{}, {}", key.apic, key.cpus)
}

fn section(results: &Results, clock: Clock) -> Result<Section<'_>, BenchError> {
    let metrics: Vec<_> = results
        .metrics
        .iter()
        .filter(|metric| metric.key.clock == clock)
        .collect();
    let rows = metrics.iter().map(|metric| Row {
        metric,
        id: id(&metric.key),
        label: format!("{} {}", metric.key.name, metric.key.params())
            .trim_end()
            .to_owned(),
        machine: machine(&metric.key),
        unit: unit(&metric.unit),
        values: metric
            .supported()
            .map(|value| value.map_or_else(|| NO_VALUE.to_owned(), grouped)),
        spread: metric.spread().map_or_else(String::new, |(least, most)| {
            format!("{} to {}", number(float(least)), number(float(most)))
        }),
        samples: samples(metric),
        below_zero: metric.below_zero_note(),
        floor: results
            .to_floor(metric)
            .map(|ratio| format!("{ratio:.2}"))
            .unwrap_or_default(),
        others: results
            .present()
            .map(|peer| results.of_peer(peer, metric))
            .collect(),
    });
    let rows = rows.collect();
    let mut groups = Vec::new();
    let mut done: Vec<&Key> = Vec::new();
    for metric in &metrics {
        if done.iter().any(|key| key.is_beside(&metric.key)) {
            continue;
        }
        done.push(&metric.key);
        let alike: Vec<_> = metrics
            .iter()
            .filter(|other| other.key.is_beside(&metric.key))
            .copied()
            .collect();
        groups.extend(group(&alike)?);
    }
    Ok(Section {
        clock,
        rows,
        groups,
    })
}

fn cause(causes: &Causes) -> Result<CauseTable<'_>, BenchError> {
    let parts = &causes.cause.parts;
    let sum = causes.cause.total.sum;
    let shares = parts.iter().map(|(name, part)| Share {
        name: name.replace('_', " "),
        part: *part,
        percent: match sum {
            0 => NO_VALUE.to_owned(),
            sum => format!("{:.1}", 100.0 * float(part.sum) / float(sum)),
        },
    });
    let names: Vec<_> = match causes.cause.worst.first() {
        Some(first) => first.keys().map(String::as_str).collect(),
        None => Vec::new(),
    };
    let worst = causes.cause.worst.iter().map(|sample| {
        let values = names
            .iter()
            .map(|&name| sample.get(name).copied().unwrap_or_default());
        values.collect()
    });
    Ok(CauseTable {
        plot: plots::shares(causes)?,
        causes,
        shares: shares.collect(),
        worst: worst.collect(),
        names,
    })
}

fn peer_table<'r>(results: &Results, peer: &'r Peer) -> PeerTable<'r> {
    let rows = peer.metrics().map(|metric| {
        let ours = metric.ours(results);
        let [_, median, _, p99, _, max] = ours.map(Metric::supported).unwrap_or_default();
        let ratio = metric.ratio(results).map(|ratio| format!("{ratio:.2}"));
        let none = metric.no_ratio().map(|(_, why)| why);
        PeerRow {
            test: metric.test.clone(),
            cpus: metric.cpus,
            what: metric.what.clone(),
            value: format!("{:.0}", metric.value),
            tail: [metric.p99, metric.max]
                .map(|value| value.map_or_else(String::new, |value| format!("{value:.0}"))),
            unit: format!("{}, {}", metric.unit, metric.statistic),
            ours: ours
                .map(|ours| format!("{} {}", ours.key.name, ours.key.params()))
                .unwrap_or_default(),
            own: [median, p99, max]
                .map(|value| value.map_or_else(String::new, |value| value.to_string())),
            ratio: none.or(ratio).unwrap_or_default(),
        }
    });
    let rows = rows.collect();
    PeerTable { peer, rows }
}

/// A number with narrow spaces between its thousands, from five digits on.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// Seconds since 1970 as a date and time.
fn date(seconds: u64) -> String {
    // Days since 1 March of the year 0, so that leap days are at the end of a year: after Howard
    // Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let (hour, minute) = (time / 3600, time / 60 % 60);
    format!(
        "{}-{month:02}-{day:02} {hour:02}:{minute:02} UTC",
        era * 400 + year + next
    )
}

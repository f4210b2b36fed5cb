//! The report: one HTML file that needs no other.

#[cfg(test)]
mod tests;

use askama::Template;

use crate::aims::{self, Aim};
use crate::error::BenchError;
use crate::peers::Peer;
use crate::plot::{Curve, Plot, cumulative, distribution};
use crate::record::{Clock, Value};
use crate::results::{Causes, Figure, Key, Results, float};
use crate::table::short;

/// Figures over a parameter: name, parameter, axis, whether it doubles from point to point.
const SCALING: &[(&str, &str, &str, bool)] = &[
    ("broadcast.all", "cpus", "CPUs", true),
    ("broadcast.sender", "cpus", "CPUs", true),
    ("tlb.shootdown", "cpus", "CPUs", true),
    ("bringup.cpus", "cpus", "CPUs", true),
    ("nest.entry", "depth", "nesting depth", false),
];

/// The one that is shown first.
const CONTENTION: &str = "contention.latency";

/// A row of a table of figures.
struct Row<'r> {
    figure: &'r Figure,
    /// Of the anchor in the page.
    id: String,
    label: String,
    machine: String,
    floor: String,
}

/// Figures that were measured alike, but for the variant, and their plots.
struct Group {
    title: String,
    plots: Vec<String>,
}

/// The figures by one clock.
struct Section<'r> {
    clock: Clock,
    rows: Vec<Row<'r>>,
    groups: Vec<Group>,
}

/// A part of a load run's latency.
struct Share {
    name: String,
    part: crate::record::Part,
    /// Of the sum of all parts' medians, in percent.
    percent: String,
}

struct CauseTable<'r> {
    causes: &'r Causes,
    shares: Vec<Share>,
    names: Vec<&'r str>,
    worst: Vec<Vec<u64>>,
}

struct PeerRow {
    test: String,
    what: String,
    value: String,
    unit: String,
    ours: String,
    median: String,
    ratio: String,
}

struct PeerTable<'r> {
    peer: &'r Peer,
    rows: Vec<PeerRow>,
}

struct AimRow {
    aim: Aim,
    measured: String,
    limit: String,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'r> {
    results: &'r Results,
    began: String,
    aims: Vec<AimRow>,
    overview: Vec<String>,
    causes: Vec<CauseTable<'r>>,
    sections: Vec<Section<'r>>,
    peers: Vec<PeerTable<'r>>,
}

/// The whole page.
///
/// # Errors
///
/// A plot cannot be drawn, or the template not be filled in.
pub fn of(results: &Results) -> Result<String, BenchError> {
    let clocks = [Clock::Cycles, Clock::Instructions];
    let mut sections = Vec::new();
    let mut overview = Vec::new();
    for clock in clocks {
        if results
            .figures
            .iter()
            .any(|figure| figure.key.clock == clock)
        {
            overview.extend(contention(results, clock)?);
            overview.extend(scaling(results, clock)?);
            sections.push(section(results, clock)?);
        }
    }
    let aims = aims::of(results).into_iter().map(|aim| AimRow {
        measured: short(aim.measured),
        limit: short(aim.limit),
        aim,
    });
    let page = Page {
        results,
        began: date(results.host.began),
        aims: aims.collect(),
        overview,
        causes: results.causes.iter().map(cause).collect(),
        sections,
        peers: results
            .peers
            .iter()
            .map(|peer| peer_table(results, peer))
            .collect(),
    };
    Ok(page.render()?)
}

/// The anchor of a figure: letters, digits, dots and dashes.
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

fn machine(key: &Key) -> String {
    format!("{}, {}", key.apic, key.cpus)
}

fn section(results: &Results, clock: Clock) -> Result<Section<'_>, BenchError> {
    let figures: Vec<_> = results
        .figures
        .iter()
        .filter(|figure| figure.key.clock == clock)
        .collect();
    let rows = figures.iter().map(|figure| Row {
        figure,
        id: id(&figure.key),
        label: format!("{} {}", figure.key.name, figure.key.params())
            .trim_end()
            .to_owned(),
        machine: machine(&figure.key),
        floor: results
            .to_floor(figure)
            .map(|ratio| format!("{ratio:.2}"))
            .unwrap_or_default(),
    });
    let rows = rows.collect();
    let mut groups = Vec::new();
    let mut done: Vec<&Key> = Vec::new();
    for figure in &figures {
        if done.iter().any(|key| key.is_beside(&figure.key)) {
            continue;
        }
        done.push(&figure.key);
        let alike: Vec<_> = figures
            .iter()
            .filter(|other| other.key.is_beside(&figure.key))
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

/// Histogram and cumulative distribution of figures that were measured alike; `None` if they
/// have no spread to show.
fn group(figures: &[&Figure]) -> Result<Option<Group>, BenchError> {
    let with: Vec<_> = figures
        .iter()
        .filter(|figure| !figure.histogram.is_empty())
        .collect();
    if with.iter().all(|figure| figure.histogram.len() == 1) {
        return Ok(None);
    }
    let key = &with[0].key;
    let unit = with[0].unit.clone();
    let title = format!("{} {}", key.name, key.params())
        .trim_end()
        .to_owned();
    let range = with
        .iter()
        .flat_map(|figure| [figure.summary.min, figure.summary.max]);
    let range = (range.clone().min().unwrap_or(1), range.max().unwrap_or(2));
    let curves = |of: &dyn Fn(&Figure) -> Vec<(f64, f64)>| {
        let curves = with.iter().map(|figure| Curve {
            name: figure.key.variant.clone(),
            points: of(figure),
        });
        curves.collect::<Vec<_>>()
    };
    let plot = |what: &str, y: &str, curves| Plot {
        title: format!("{title}: {what}"),
        x: format!("{unit} (logarithmic)"),
        y: y.to_owned(),
        log_x: true,
        log_y: false,
        marks: false,
        curves,
    };
    let histogram = plot(
        "histogram",
        "% of samples",
        curves(&|figure| distribution(&figure.histogram, range)),
    );
    let whole = plot(
        "cumulative distribution",
        "% of samples at or below",
        curves(&|figure| cumulative(&figure.histogram)),
    );
    let title = format!("{title} ({})", machine(key));
    let plots = vec![histogram.draw()?, whole.draw()?];
    Ok(Some(Group { title, plots }))
}

/// A parameter that is a number.
fn numeric(figure: &Figure, param: &str) -> Option<f64> {
    match figure.key.param.get(param)? {
        Value::Number(number) => Some(float(*number)),
        Value::Text(_) => None,
    }
}

/// The curves of each variant over a parameter.
fn over(figures: &[&Figure], param: &str, of: fn(&Figure) -> u64, what: &str) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for figure in figures {
        let Some(x) = numeric(figure, param) else {
            continue;
        };
        let (name, point) = (
            format!("{}{what}", figure.key.variant),
            (x, float(of(figure))),
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

fn contention(results: &Results, clock: Clock) -> Result<Vec<String>, BenchError> {
    let figures = results
        .figures
        .iter()
        .filter(|figure| figure.key.clock == clock && figure.key.name == CONTENTION);
    let figures: Vec<_> = figures.collect();
    let mut plots = Vec::new();
    // The host's own doings make the greatest of all cycles.
    let (of, what): (fn(&Figure) -> u64, _) = match clock {
        Clock::Cycles => (|figure| figure.summary.p99, "99th percentile of"),
        Clock::Instructions => (|figure| figure.summary.max, "worst"),
    };
    let curves = over(&figures, "section", of, "");
    if curves.iter().any(|curve| curve.points.len() > 1) {
        let plot = Plot {
            title: format!("{what} latency of a high class while low priority holds a lock"),
            x: format!("length L of the section, {clock}"),
            y: format!("latency, {clock} (logarithmic)"),
            log_x: curves
                .iter()
                .all(|curve| curve.points.iter().all(|point| point.0 > 0.0)),
            log_y: true,
            marks: true,
            curves,
        };
        plots.push(plot.draw()?);
    }
    Ok(plots)
}

fn scaling(results: &Results, clock: Clock) -> Result<Vec<String>, BenchError> {
    let mut plots = Vec::new();
    for &(name, param, axis, doubles) in SCALING {
        let figures = results
            .figures
            .iter()
            .filter(|figure| (figure.key.clock, figure.key.name.as_str()) == (clock, name));
        let figures: Vec<_> = figures.collect();
        // Bringing CPUs online takes a machine for each number of them; the others are
        // compared on the largest.
        let most = figures.iter().map(|figure| figure.key.cpus).max();
        let own: Vec<_> = figures
            .iter()
            .filter(|figure| name == "bringup.cpus" || Some(figure.key.cpus) == most)
            .copied()
            .collect();
        let curves = over(&own, param, |figure| figure.summary.p50, "");
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

fn cause(causes: &Causes) -> CauseTable<'_> {
    let parts = &causes.cause.parts;
    let sum: u64 = parts.values().map(|part| part.p50).sum();
    let shares = parts.iter().map(|(name, part)| Share {
        name: name.replace('_', " "),
        part: *part,
        percent: format!("{:.1}", 100.0 * float(part.p50) / float(sum.max(1))),
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
    CauseTable {
        causes,
        shares: shares.collect(),
        worst: worst.collect(),
        names,
    }
}

fn peer_table<'r>(results: &Results, peer: &'r Peer) -> PeerTable<'r> {
    let rows = peer.figures().map(|figure| {
        let ours = figure.ours(results);
        PeerRow {
            test: figure.test.clone(),
            what: figure.what.clone(),
            value: format!("{:.0}", figure.value),
            unit: format!("{}, {}", figure.clock, figure.statistic),
            ours: ours
                .map(|ours| format!("{} {}", ours.key.name, ours.key.params()))
                .unwrap_or_default(),
            median: ours
                .map(|ours| ours.summary.p50.to_string())
                .unwrap_or_default(),
            ratio: figure
                .ratio(results)
                .map(|ratio| format!("{ratio:.2}"))
                .unwrap_or_default(),
        }
    });
    let rows = rows.collect();
    PeerTable { peer, rows }
}

/// Seconds since 1970 as a date and time.
fn date(seconds: u64) -> String {
    // Days since 1 March of the year 0, by which leap days come last in a year: after
    // Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.
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

//! Results as text for the terminal.

use crate::aims;
use crate::columns::aligned;
use crate::record::{self, Clock};
use crate::results::{Figure, Results, machines};

/// A number in short form: `1.15`, `42`.
pub fn short(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

/// Left-aligned columns of the tables.
const LEFT: [&str; 4] = ["figure", "aim", "unit", ""];

/// Notes on rates and times.
const RATES: &str =
    "of what is per_second more is better: above x1 of the floor, and their min is the bad end\n";

/// Placeholder where there are too few samples for a value.
pub const UNTOLD: &str = "-";

fn told(value: Option<u64>) -> String {
    value.map_or_else(|| UNTOLD.to_owned(), |value| value.to_string())
}

/// All metrics for this clock; empty if there are none.
pub fn figures(results: &Results, clock: Clock) -> String {
    let figures = results.figures.iter();
    let figures = figures.filter(|figure| figure.key.clock == clock);
    let rows: Vec<_> = figures.map(|figure| row(results, figure)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let head = [
        "figure",
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
    let of_clock = |figure: &&Figure| figure.key.clock == clock;
    let mut figures = results.figures.iter().filter(of_clock);
    let rates = if figures.any(Figure::more_is_better) {
        RATES
    } else {
        ""
    };
    format!("\n{clock}{ticks}: medians of rounds; least and greatest of all\n{table}{rates}")
}

fn row(results: &Results, figure: &Figure) -> Vec<String> {
    let floor = results.to_floor(figure).map(|ratio| format!("x{ratio:.2}"));
    let spread = figure
        .spread()
        .map(|(least, most)| format!("{least} to {most}"));
    let mut row = vec![figure.key.describe()];
    row.extend(figure.told().map(told));
    row.extend([
        figure.overhead.to_string(),
        spread.unwrap_or_default(),
        figure.samples.to_string(),
        figure.told_below_zero(),
        floor.unwrap_or_default(),
    ]);
    row.extend(results.present().map(|peer| results.of_peer(peer, figure)));
    row.push(figure.unit.clone());
    row
}

/// A metric in one line, as it arrives.
pub fn brief(label: &str, figure: &record::Figure) -> String {
    let [min, median, _, p99, _, max] = figure.summary.told(figure.samples).map(told);
    let (samples, unit) = (figure.samples, &figure.unit);
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
pub fn aims(results: &Results) -> String {
    let aims = aims::of(results);
    if aims.is_empty() {
        return String::new();
    }
    let mut rows = vec![
        ["aim", "measured", "at most", "unit", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    for aim in &aims {
        let verdict = if aim.is_reached() {
            "reached"
        } else {
            "MISSED"
        };
        rows.push(vec![
            aim.what.clone(),
            short(aim.measured),
            short(aim.limit),
            aim.unit.clone(),
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

/// Other kernels compared with this one.
pub fn peers(results: &Results) -> String {
    let mut out = String::new();
    for peer in &results.peers {
        let version = &peer.version;
        out += &format!("\n{} {version}\n", peer.name);
        if let Some(why) = &peer.absent {
            out += &format!("  {why}\n");
        }
        for figure in peer.figures() {
            let unit = &figure.unit;
            let ours = match (figure.ours(results), figure.ratio(results)) {
                (Some(ours), Some(ratio)) => {
                    format!(
                        "{:<32}{:>9}  x{ratio:.2}",
                        format!("{} {}", ours.key.name, ours.key.params()),
                        ours.summary.p50
                    )
                }
                _ => String::new(),
            };
            let (value, statistic) = (figure.value, &figure.statistic);
            let test = format!("{}, {} CPUs", figure.test, figure.cpus);
            out += &format!("  {test:<40}{value:>11.0} {unit} ({statistic})  {ours}\n");
        }
    }
    out
}

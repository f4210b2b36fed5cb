//! Results as text for the terminal.

use crate::aims::{self, Aim};
use crate::record::{self, Clock};
use crate::results::{Figure, Results};

/// A number in few characters: `1.15`, `42`.
pub fn short(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

/// All figures by this clock.
pub fn figures(results: &Results, clock: Clock) -> String {
    let others = results
        .present()
        .map(|peer| format!("{:>22}", peer.name))
        .collect::<Vec<_>>()
        .concat();
    let mut out = format!(
        "\n{clock}: medians of rounds; least and greatest of all\n{:<60}{:>10}{:>10}{:>10}{:>10}{:>10}{:>11}{:>9}{:>8}{others}  {}\n",
        "figure", "min", "median", "p90", "p99", "p99.9", "max", "overhead", "floor", "unit"
    );
    for figure in results
        .figures
        .iter()
        .filter(|figure| figure.key.clock == clock)
    {
        out += &row(results, figure);
    }
    out
}

fn row(results: &Results, figure: &Figure) -> String {
    let summary = &figure.summary;
    let floor = results.to_floor(figure).map(|ratio| format!("x{ratio:.2}"));
    let others = results
        .present()
        .map(|peer| format!("{:>22}", results.of_peer(peer, figure)))
        .collect::<Vec<_>>()
        .concat();
    format!(
        "{:<60}{:>10}{:>10}{:>10}{:>10}{:>10}{:>11}{:>9}{:>8}{others}  {}\n",
        figure.key.describe(),
        summary.min,
        summary.p50,
        summary.p90,
        summary.p99,
        summary.p99_9,
        summary.max,
        figure.overhead,
        floor.unwrap_or_default(),
        figure.unit
    )
}

/// A figure in one line, as it comes.
pub fn brief(label: &str, figure: &record::Figure) -> String {
    let (summary, unit) = (&figure.summary, &figure.unit);
    format!(
        "{label:<60} min {:>8}  median {:>8}  p99 {:>8}  max {:>9} {unit}",
        summary.min, summary.p50, summary.p99, summary.max
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

/// The aims, reached or missed.
pub fn aims(results: &Results) -> String {
    let aims = aims::of(results);
    if aims.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "\n{:<66}{:>10}{:>10}  {}\n",
        "aim", "measured", "at most", ""
    );
    for aim in &aims {
        let Aim {
            what,
            measured,
            limit,
            unit,
            ..
        } = aim;
        let verdict = if aim.is_reached() {
            "reached"
        } else {
            "MISSED"
        };
        out += &format!(
            "{what:<66}{:>10}{:>10}  {unit}: {verdict}\n",
            short(*measured),
            short(*limit)
        );
    }
    for listing in &results.listings {
        let (what, all) = (listing.key.describe(), listing.instructions);
        out += &format!("{what}: {all} instructions: {}\n", listing.why());
    }
    out
}

/// Other kernels beside this one.
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

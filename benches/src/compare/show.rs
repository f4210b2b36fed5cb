//! Terminal output of a comparison.

use super::{CONFIDENCE, Comparison, Row, Shift};
use crate::columns::aligned;
use crate::record::Clock;

/// Left-aligned columns.
const LEFT: [&str; 2] = ["metric", ""];

impl Comparison {
    /// Formats the comparison for the terminal.
    pub fn show(&self) -> String {
        let mut out = String::new();
        for line in &self.differences {
            out += &format!("not comparable: {line}\n");
        }
        for clock in [Clock::Cycles, Clock::Instructions] {
            out += &self.show_rows(clock);
        }
        for (what, labels) in [("no longer measured", &self.gone), ("new", &self.added)] {
            for label in labels {
                out += &format!("{what}: {label}\n");
            }
        }
        out += "* differs, and which way; instructions are exact.\n";
        let cycles = || self.rows.iter().filter(|row| row.clock == Clock::Cycles);
        if cycles().next().is_some() {
            out += &format!(
                "  In cycles: with {:.0} % confidence or more by the exact Mann-Whitney test of the rounds' medians\n  \
                 (to the floor's, where there is one). Of {} metrics in cycles chance alone would mark {:.1}.\n",
                CONFIDENCE * 100.0,
                cycles().count(),
                // The sum of zeros is -0.
                cycles().map(|row| row.by_chance).sum::<f64>().abs()
            );
        }
        let few = cycles()
            .filter(|row| row.max_confidence < CONFIDENCE && !row.is_significant())
            .count();
        if few > 0 {
            out += &format!(
                "  {few} of them were measured in too few rounds to be marked; 4 in both runs suffice.\n"
            );
        }
        out
    }

    /// The rows for one clock.
    fn show_rows(&self, clock: Clock) -> String {
        let rows = self.rows.iter().filter(|row| row.clock == clock);
        let rows: Vec<_> = rows.map(cells).collect();
        if rows.is_empty() {
            return String::new();
        }
        let head = [
            "metric",
            "old",
            "new",
            "change",
            "confidence",
            "to floor",
            "confidence",
            "",
        ];
        let head = vec![head.map(str::to_owned).to_vec()];
        let table = aligned(&[head, rows].concat(), &LEFT);
        format!("median by {clock}\n{table}\n")
    }
}

fn cells(row: &Row) -> Vec<String> {
    let by_rounds = row.clock == Clock::Cycles;
    let shown = |shift: Shift| [percent(shift.change), confidence(shift)];
    let [change, raw_confidence] = shown(row.raw);
    let [to_floor, floor_confidence] = row.to_floor.map(shown).unwrap_or_default();
    vec![
        row.label.clone(),
        row.old.to_string(),
        row.new.to_string(),
        change,
        if by_rounds {
            raw_confidence
        } else {
            String::new()
        },
        to_floor,
        floor_confidence,
        note(row),
    ]
}

/// The mark of a row, its direction, and the changed value if it is not the median; or the reason
/// why the row cannot be marked.
fn note(row: &Row) -> String {
    if !row.is_significant() {
        return match row.clock {
            Clock::Cycles if row.max_confidence < CONFIDENCE => {
                let (old, new) = row.rounds;
                let max_confidence = (row.max_confidence * 100.0).floor();
                format!("{old} against {new} rounds allow {max_confidence:.0} % at most")
            }
            _ => String::new(),
        };
    }
    let way = match row.is_worse() {
        Some(true) => "* worse",
        Some(false) => "* better",
        None => "*",
    };
    [way.to_owned(), row.moved.join(", ")]
        .join(" ")
        .trim_end()
        .to_owned()
}

fn percent(part: f64) -> String {
    format!("{:+.1} %", part * 100.0)
}

fn confidence(shift: Shift) -> String {
    format!("{:.0} %", (shift.confidence * 100.0).floor())
}

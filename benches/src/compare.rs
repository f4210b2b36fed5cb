//! Two sittings compared, and how sure a difference is.
//!
//! Instructions are exact: any difference is one. Cycles are compared by the medians of
//! rounds, not by single samples: samples of one boot share its translated code and the
//! host's mood, so ten thousand of them are not ten thousand independent observations;
//! rounds, which take turns with all others, nearly are. Two small groups of numbers of
//! unknown distribution call for the exact Mann-Whitney test, which assumes none. The
//! difference itself is told by the Hodges-Lehmann estimate, which belongs to that test.
//!
//! A sitting has a speed of its own, which no number of its rounds averages out. Where a
//! floor was measured in the same boots, the ratio to it is compared too: what slows both
//! cancels.

#[cfg(test)]
mod tests;

use crate::record::Clock;
use crate::results::{Figure, Results, float};

/// How sure one has to be before a difference is marked.
const SURE: f64 = 0.95;

/// How one group of numbers differs from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// The second group's to the first's: the median of all differences between them,
    /// as a part of the first group's median.
    pub change: f64,
    /// How sure it is that they differ: 1 less the two-sided p of the exact test.
    pub confidence: f64,
}

/// A figure in both sittings.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub label: String,
    pub clock: Clock,
    pub old: u64,
    pub new: u64,
    pub raw: Shift,
    /// Of the ratios to the floor, round by round.
    pub to_floor: Option<Shift>,
}

impl Row {
    /// Whether the difference is more than noise.
    pub fn is_sure(&self) -> bool {
        self.to_floor.unwrap_or(self.raw).confidence >= SURE
    }
}

/// A comparison of sittings.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub rows: Vec<Row>,
    /// Figures that only the old one has.
    pub gone: Vec<String>,
    /// Figures that only the new one has.
    pub added: Vec<String>,
    /// Where the two were not measured alike.
    pub unlike: Vec<String>,
}

/// Compares, figure by figure.
pub fn compare(old: &Results, new: &Results) -> Comparison {
    let find = |results: &Results, figure: &Figure| {
        results
            .figures
            .iter()
            .position(|other| other.key == figure.key)
    };
    let mut comparison = Comparison {
        rows: Vec::new(),
        gone: Vec::new(),
        added: Vec::new(),
        unlike: unlike(old, new),
    };
    for figure in &new.figures {
        match find(old, figure) {
            Some(at) => comparison
                .rows
                .push(row(old, &old.figures[at], new, figure)),
            None => comparison.added.push(figure.key.describe()),
        }
    }
    let gone = old.figures.iter().filter(|it| find(new, it).is_none());
    comparison.gone = gone.map(|figure| figure.key.describe()).collect();
    comparison
}

fn unlike(old: &Results, new: &Results) -> Vec<String> {
    let (old, new) = (&old.host, &new.host);
    let pairs = [
        ("machine", &old.machine, &new.machine),
        ("CPU model", &old.cpu, &new.cpu),
        ("QEMU's arguments", &old.qemu_args, &new.qemu_args),
        ("kernel's command line", &old.append, &new.append),
        ("processor", &old.processor, &new.processor),
        ("host's kernel", &old.system, &new.system),
        ("QEMU", &old.qemu, &new.qemu),
        ("compiler", &old.compiler, &new.compiler),
        ("profile", &old.profile, &new.profile),
    ];
    // Files of before it was kept have no profile; nor what else is kept since then.
    let is_older = old.profile.is_empty();
    let unlike = pairs.into_iter().filter(|(_, old, new)| old != new);
    unlike
        .map(|(what, old, new)| match old.as_str() {
            "" if is_older => format!("{what}: not recorded, now {new:?}"),
            old => format!("{what}: {old:?}, now {new:?}"),
        })
        .collect()
}

fn row(old_results: &Results, old: &Figure, new_results: &Results, new: &Figure) -> Row {
    let medians = |figure: &Figure| -> Vec<f64> {
        figure.rounds.iter().map(|round| float(round.p50)).collect()
    };
    let (before, after) = (medians(old), medians(new));
    let raw = match new.key.clock {
        Clock::Cycles => shift(&before, &after),
        Clock::Instructions => {
            let differs = old.summary != new.summary;
            Shift {
                change: relative(float(old.summary.p50), float(new.summary.p50)),
                confidence: if differs { 1.0 } else { 0.0 },
            }
        }
    };
    let ratios = [(old_results, old), (new_results, new)]
        .map(|(results, figure)| results.to_floor_by_round(figure));
    let to_floor = match ratios {
        [Some(before), Some(after)] if new.key.clock == Clock::Cycles => {
            Some(shift(&before, &after))
        }
        _ => None,
    };
    Row {
        label: new.key.describe(),
        clock: new.key.clock,
        old: old.summary.p50,
        new: new.summary.p50,
        raw,
        to_floor,
    }
}

fn relative(old: f64, new: f64) -> f64 {
    match old {
        0.0 if new == 0.0 => 0.0,
        0.0 => f64::INFINITY,
        old => (new - old) / old,
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// How the second group differs from the first.
pub fn shift(before: &[f64], after: &[f64]) -> Shift {
    let pairs = after
        .iter()
        .flat_map(|new| before.iter().map(move |old| new - old));
    let base = middle(before.to_vec());
    let difference = middle(pairs.collect());
    Shift {
        change: relative(base, base + difference),
        confidence: 1.0 - mann_whitney(before, after),
    }
}

/// The two-sided p of the exact Mann-Whitney test: how likely two groups of these sizes from
/// one distribution are to differ in rank at least so much. Ties share their ranks.
pub fn mann_whitney(first: &[f64], second: &[f64]) -> f64 {
    let all: Vec<f64> = first.iter().chain(second).copied().collect();
    // Twice the rank of each, so that shared ranks are whole numbers too.
    let twice_rank = |value: f64| {
        let below = all.iter().filter(|&&other| other < value).count();
        let alike = all
            .iter()
            .filter(|&&other| other.total_cmp(&value).is_eq())
            .count();
        2 * below + alike + 1
    };
    let ranks: Vec<_> = all.iter().map(|&value| twice_rank(value)).collect();
    let observed: usize = ranks[..first.len()].iter().sum();
    let total: usize = ranks.iter().sum();
    // ways[n][s]: how many choices of n of the ranks add up to s.
    let mut ways = vec![vec![0.0_f64; total + 1]; first.len() + 1];
    ways[0][0] = 1.0;
    for &rank in &ranks {
        for chosen in (1..=first.len()).rev() {
            for sum in (rank..=total).rev() {
                let more = ways[chosen - 1][sum - rank];
                ways[chosen][sum] += more;
            }
        }
    }
    let choices = &ways[first.len()];
    let count: f64 = choices.iter().sum();
    // The distribution lies about the middle, also with ties: compare distances from it,
    // scaled so that the middle is a whole number.
    let distance = |sum: usize| (sum * all.len()).abs_diff(first.len() * total);
    let extreme = choices
        .iter()
        .enumerate()
        .filter(|&(sum, _)| distance(sum) >= distance(observed));
    let extreme: f64 = extreme.map(|(_, ways)| ways).sum();
    if count == 0.0 {
        1.0
    } else {
        (extreme / count).min(1.0)
    }
}

impl Comparison {
    /// For the terminal.
    pub fn show(&self) -> String {
        let mut out = String::new();
        for line in &self.unlike {
            out += &format!("not measured alike: {line}\n");
        }
        for clock in [Clock::Cycles, Clock::Instructions] {
            out += &self.show_rows(clock);
        }
        for (what, labels) in [("no longer measured", &self.gone), ("new", &self.added)] {
            for label in labels {
                out += &format!("{what}: {label}\n");
            }
        }
        let cycles = self.rows.iter().filter(|row| row.clock == Clock::Cycles);
        out += &format!(
            "* differs for sure: instructions at all, cycles with {:.0} % or more by the exact\n  \
             Mann-Whitney test of the rounds' medians (to the floor's, where there is one).\n  \
             Of {} figures in cycles chance alone would mark {:.0}.\n",
            SURE * 100.0,
            cycles.clone().count(),
            (1.0 - SURE) * float(cycles.count() as u64)
        );
        out
    }

    /// The rows by one clock; instructions are sure.
    fn show_rows(&self, clock: Clock) -> String {
        let mut rows = self.rows.iter().filter(|row| row.clock == clock).peekable();
        if rows.peek().is_none() {
            return String::new();
        }
        let mut out = format!(
            "{:<62}{:>12}{:>12}{:>9}",
            format!("median by {clock}"),
            "old",
            "new",
            "change"
        );
        if clock == Clock::Cycles {
            out += &format!("{:>7}{:>10}{:>7}", "sure", "to floor", "sure");
        }
        out.push('\n');
        for row in rows {
            out += &format!(
                "{:<62}{:>12}{:>12}{:>9}",
                row.label,
                row.old,
                row.new,
                percent(row.raw.change)
            );
            if clock == Clock::Cycles {
                let blank = || (String::new(), String::new());
                let shown = |shift: Shift| (percent(shift.change), sure(shift));
                let (change, to_floor) = row.to_floor.map_or_else(blank, shown);
                out += &format!("{:>7}{change:>10}{to_floor:>7}", sure(row.raw));
            }
            out += if row.is_sure() { " *\n" } else { "\n" };
        }
        out
    }
}

fn percent(part: f64) -> String {
    format!("{:+.1} %", part * 100.0)
}

fn sure(shift: Shift) -> String {
    format!("{:.0} %", (shift.confidence * 100.0).floor())
}

//! The exact Mann-Whitney test, for groups small enough to count all choices.

use crate::results::float;

/// All choices of a group of one size from two groups' numbers, by their rank sum.
#[derive(Debug)]
pub struct Ranks {
    /// Number of choices with each sum of doubled ranks.
    choices: Vec<f64>,
    /// The first group's own sum.
    observed: usize,
    /// The total number of values, and the number chosen.
    all: usize,
    chosen: usize,
}

impl Ranks {
    /// Builds the distribution for two groups; ties share their ranks.
    pub fn of(first: &[f64], second: &[f64]) -> Self {
        let all: Vec<f64> = first.iter().chain(second).copied().collect();
        // Twice the rank of each value, so that shared ranks are integers too.
        let twice_rank = |value: f64| {
            let below = all.iter().filter(|&&other| other < value).count();
            let alike = all
                .iter()
                .filter(|&&other| other.total_cmp(&value).is_eq())
                .count();
            2 * below + alike + 1
        };
        let ranks: Vec<_> = all.iter().map(|&value| twice_rank(value)).collect();
        let total: usize = ranks.iter().sum();
        // ways[n][s]: number of choices of n of the ranks with the sum s.
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
        Self {
            choices: ways.swap_remove(first.len()),
            observed: ranks[..first.len()].iter().sum(),
            all: all.len(),
            chosen: first.len(),
        }
    }

    /// Distance of a sum from the centre, scaled so that the centre is an integer: the distribution
    /// is symmetric about it, also with ties.
    fn distance(&self, sum: usize) -> usize {
        let total = self.choices.len() - 1;
        (sum * self.all).abs_diff(self.chosen * total)
    }

    /// The fraction of all choices with these sums.
    fn part(&self, is_meant: impl Fn(usize) -> bool) -> f64 {
        let count: f64 = self.choices.iter().sum();
        let meant = self.choices.iter().enumerate();
        let meant: f64 = meant
            .filter(|&(sum, _)| is_meant(sum))
            .map(|(_, ways)| ways)
            .sum();
        meant / count
    }

    /// The two-sided p-value of a sum: the probability that groups from one distribution differ in
    /// rank at least this much.
    fn p_of(&self, sum: usize) -> f64 {
        let least = self.distance(sum);
        self.part(|sum| self.distance(sum) >= least).min(1.0)
    }

    /// The p-value of the two groups.
    pub fn p(&self) -> f64 {
        self.p_of(self.observed)
    }

    /// The probability that groups from one distribution have a p-value of at most `level`: usually
    /// lower than that, because there are few choices.
    pub fn rate(&self, level: f64) -> f64 {
        self.part(|sum| self.choices[sum] > 0.0 && self.p_of(sum) <= level)
    }
}

/// The maximum confidence for groups of these sizes: one is entirely above the other.
pub fn max_confidence(first: usize, second: usize) -> f64 {
    let choose = |n: usize, k: usize| {
        let factors = (1..=k).map(|i| float((n - k + i) as u64) / float(i as u64));
        factors.product::<f64>()
    };
    (1.0 - 2.0 / choose(first + second, first)).max(0.0)
}

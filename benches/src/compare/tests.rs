//! Tests of `compare`.

use super::*;
use crate::fixtures;

/// The two-sided p-value.
fn mann_whitney(first: &[f64], second: &[f64]) -> f64 {
    Ranks::of(first, second).p()
}

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-9
}

/// All choices of the first group from both: an independent computation of the exact test.
fn brute_force(first: &[f64], second: &[f64]) -> f64 {
    let all: Vec<f64> = first.iter().chain(second).copied().collect();
    let u = |chosen: u32| -> f64 {
        let mut sum = 0.0;
        for (i, a) in all.iter().enumerate().filter(|(i, _)| chosen >> i & 1 == 1) {
            for (j, b) in all.iter().enumerate().filter(|(j, _)| chosen >> j & 1 == 0) {
                assert_ne!(i, j);
                sum += if a < b {
                    1.0
                } else if a > b {
                    0.0
                } else {
                    0.5
                };
            }
        }
        let middle = float((first.len() * second.len()) as u64) / 2.0;
        (sum - middle).abs()
    };
    let own = u((1 << first.len()) - 1);
    let choices =
        (0_u32..1 << all.len()).filter(|chosen| chosen.count_ones() as usize == first.len());
    let (mut extreme, mut count) = (0.0, 0.0);
    for chosen in choices {
        count += 1.0;
        extreme += if u(chosen) >= own - 1e-9 { 1.0 } else { 0.0 };
    }
    extreme / count
}

#[test]
fn the_test_is_exact() {
    // Of the 252 ways to choose 5 of 10, two are as extreme: all below, and all above.
    let (low, high) = ([1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]);
    assert!(close(mann_whitney(&low, &high), 2.0 / 252.0));
    // From a published table: U = 2 for groups of 5 has a two-sided p-value of 0.0317.
    let p = mann_whitney(&[1.0, 2.0, 3.0, 4.0, 7.0], &[5.0, 6.0, 8.0, 9.0, 10.0]);
    assert!((p - 0.0317).abs() < 1e-3, "{p}");
    assert!(close(mann_whitney(&[1.0; 4], &[1.0; 4]), 1.0));
    assert!(close(mann_whitney(&[], &[1.0]), 1.0));
}

#[test]
fn the_test_agrees_with_counting_all_choices() {
    let mut state = 7_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        // Few values, so that there are ties.
        float(state >> 60)
    };
    for sizes in [(1, 1), (2, 5), (3, 4), (5, 5), (6, 3)] {
        for _ in 0..8 {
            let first: Vec<_> = (0..sizes.0).map(|_| next()).collect();
            let second: Vec<_> = (0..sizes.1).map(|_| next()).collect();
            let (own, other) = (mann_whitney(&first, &second), brute_force(&first, &second));
            assert!(
                (own - other).abs() < 1e-9,
                "{first:?} {second:?}: {own} {other}"
            );
        }
    }
}

#[test]
fn chance_marks_as_often_as_few_rounds_let_it() {
    let rate = |first: u32, second: u32| {
        let numbers: Vec<f64> = (0..first + second).map(f64::from).collect();
        let (first, second) = numbers.split_at(first as usize);
        Ranks::of(first, second).rate(1.0 - CONFIDENCE)
    };
    // Of 5 against 5, U of 2 or less on either side: 8 of 252 choices.
    assert!(close(rate(5, 5), 8.0 / 252.0));
    assert!(close(rate(4, 4), 2.0 / 70.0));
    assert!(close(rate(3, 3), 0.0) && close(rate(1, 1), 0.0));
    let reached = [(5, 5), (4, 4), (3, 3), (1, 1)].map(|(old, new)| max_confidence(old, new));
    for (reached, known) in reached
        .into_iter()
        .zip([250.0 / 252.0, 68.0 / 70.0, 0.9, 0.0])
    {
        assert!(close(reached, known), "{reached} {known}");
    }
}

#[test]
fn too_few_rounds_are_noted() {
    let old = five(|_, _, p50| p50);
    let mut new = five(|_, _, p50| p50 * 2);
    for metric in &mut new.metrics {
        metric.rounds.truncate(1);
    }
    let shown = compare(&old, &new).show();
    let cycles = old.metrics.iter();
    let cycles = cycles.filter(|it| it.key.clock == Clock::Cycles).count();
    assert_eq!(
        shown
            .matches("5 against 1 rounds allow 66 % at most")
            .count(),
        cycles
    );
    let few = format!("{cycles} of them were measured in too few rounds");
    assert!(shown.contains(&few), "{shown}");
    assert!(shown.contains("chance alone would mark 0.0"), "{shown}");
    let all = compare(&old, &old).show();
    assert!(!all.contains("too few rounds"), "{all}");
    // Less often than 5 %, with 5 rounds in total, each with a tie in the other group.
    let (_, marked) = all.split_once("chance alone would mark ").unwrap();
    let marked: f64 = marked.split(".\n").next().unwrap().parse().unwrap();
    let most = float(cycles as u64) * (1.0 - CONFIDENCE);
    assert!(marked > 0.0 && marked < most, "{all}");
}

#[test]
fn changes_are_named_with_their_direction() {
    let old = fixtures::results();
    let mut new = old.clone();
    let mut find = |name: &str| {
        let mut metrics = new.metrics.iter_mut();
        metrics
            .position(|it| it.key.clock == Clock::Instructions && it.key.name == name)
            .unwrap()
    };
    let (entry, rate) = (find("self_ipi.entry"), find("throughput.self_ipi"));
    let max = new.metrics[entry].summary.max;
    new.metrics[entry].summary.max += 1;
    new.metrics[rate].summary.p50 -= 1;
    let shown = compare(&old, &new).show();
    let row = |name: &str| {
        let (_, rows) = shown.split_once("median by instructions").unwrap();
        rows.lines().find(|row| row.starts_with(name)).unwrap()
    };
    let note = format!("* max {max}, now {}", max + 1);
    assert!(row("self_ipi.entry tocsin").ends_with(&note), "{shown}");
    assert!(row("throughput.self_ipi").ends_with("* worse"), "{shown}");
}

#[test]
fn a_change_is_relative_to_the_old_value() {
    let shift = shift(&[100.0, 101.0, 102.0], &[110.0, 111.0, 112.0]);
    assert!(close(shift.change, 10.0 / 101.0), "{shift:?}");
    assert!(close(shift.confidence, 1.0 - 2.0 / 20.0));
}

/// Results with five rounds of every metric in cycles, each of which `slow` may change.
fn five(slow: impl Fn(&str, &str, u64) -> u64) -> Results {
    let mut results = fixtures::results();
    for metric in results
        .metrics
        .iter_mut()
        .filter(|metric| metric.key.clock == Clock::Cycles)
    {
        let first = metric.rounds[0];
        metric.rounds = (0..5)
            .map(|round| {
                let (name, variant) = (&metric.key.name, &metric.key.variant);
                crate::record::Summary {
                    p50: slow(name, variant, first.p50 * 100 + round),
                    ..first
                }
            })
            .collect();
    }
    results
}

#[test]
fn a_slower_run_is_not_a_slower_kernel() {
    let old = five(|_, _, p50| p50);
    // Every metric takes half as long again, and one of them twice that.
    let new = five(|name, variant, p50| match (name, variant) {
        ("self_ipi.entry", "tocsin") => p50 * 3,
        _ => p50 * 3 / 2,
    });
    let comparison = compare(&old, &new);
    let row = |name: &str| {
        let found = comparison
            .rows
            .iter()
            .find(|row| row.clock == Clock::Cycles && row.label.starts_with(name));
        found.unwrap()
    };
    let (slow, same) = (row("self_ipi.entry tocsin"), row("self_ipi.back tocsin"));
    assert!(
        slow.is_significant() && (slow.to_floor.unwrap().change - 1.0).abs() < 0.01,
        "{slow:?}"
    );
    assert!((same.raw.change - 0.5).abs() < 0.01, "{same:?}");
    assert!(
        same.to_floor.unwrap().change.abs() < 0.01 && !same.is_significant(),
        "{same:?}"
    );
    assert!(comparison.gone.is_empty() && comparison.added.is_empty());
}

#[test]
fn instructions_are_exact() {
    let old = fixtures::results();
    let mut new = old.clone();
    let metric = new
        .metrics
        .iter_mut()
        .find(|metric| metric.key.clock == Clock::Instructions)
        .unwrap();
    metric.summary.p50 += 1;
    let label = metric.key.describe();
    let comparison = compare(&old, &new);
    let sure: Vec<_> = comparison
        .rows
        .iter()
        .filter(|row| row.is_significant())
        .collect();
    assert_eq!(sure.len(), 1);
    assert_eq!(sure[0].label, label);
    let shown = comparison.show();
    let (cycles, instructions) = shown.split_once("median by instructions").unwrap();
    assert!(cycles.contains("to floor") && !cycles.contains(" * "));
    let (heading, rows) = instructions.split_once('\n').unwrap();
    assert!(!heading.contains("confidence"), "{shown}");
    let marked: Vec<_> = rows
        .lines()
        .filter(|row| row.ends_with(" * worse"))
        .collect();
    assert!(
        marked.len() == 1 && marked[0].starts_with(&label),
        "{shown}"
    );
}

#[test]
fn other_machines_are_not_comparable() {
    let old = fixtures::results();
    let mut new = old.clone();
    new.host.cpu = "qemu64".to_owned();
    new.host.qemu_args = "-smbios type=0".to_owned();
    new.host.profile = "dev".to_owned();
    let shown = compare(&old, &new).show();
    for line in [
        "CPU model: \"max\", now \"qemu64\"",
        "QEMU's arguments: \"\", now \"-smbios type=0\"",
        "profile: \"release\", now \"dev\"",
    ] {
        let line = format!("not comparable: {line}\n");
        assert!(shown.contains(&line), "{shown}");
    }
    let mut older = old.clone();
    (older.host.cpu, older.host.profile) = (String::new(), String::new());
    let shown = compare(&older, &old).show();
    assert!(
        shown.contains("CPU model: not recorded, now \"max\""),
        "{shown}"
    );
}

#[test]
fn differences_of_the_machines_are_shown() {
    let old = fixtures::results();
    let mut new = old.clone();
    new.host.qemu = "QEMU 11".to_owned();
    let gone = new.metrics.remove(0).key.describe();
    let shown = compare(&old, &new).show();
    assert!(shown.contains("not comparable: QEMU"), "{shown}");
    assert!(
        shown.contains(&format!("no longer measured: {gone}")),
        "{shown}"
    );
}

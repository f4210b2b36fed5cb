//! Tests of `plan`.

use super::*;
use crate::fixtures;

fn labels(only: &[&str], smp: Option<&str>, append: &str, clock: Clock) -> Vec<String> {
    let settings = Settings {
        only: only.iter().map(|&name| name.to_owned()).collect(),
        smp: smp.map(|smp| Smp::parse(smp).unwrap()),
        append: append.to_owned(),
        ..Settings::fixed()
    };
    suite(&settings, clock)
        .into_iter()
        .map(|run| run.label)
        .collect()
}

#[test]
fn the_whole_suite_has_a_machine_for_each_question() {
    let labels = labels(&[], None, "", Clock::Cycles);
    assert_eq!(labels[0], "4 CPUs: all");
    assert_eq!(labels[1], "4 CPUs, xAPIC: self_ipi ipi");
    assert_eq!(labels[2], "2 CPUs: broadcast call");
    assert_eq!(labels[5], "32 CPUs: broadcast call");
    assert_eq!(labels[6], "2 CPUs: bringup");
    assert_eq!(labels.last().unwrap(), "255 CPUs: bringup");
}

#[test]
fn crowded_machines_are_measured_once() {
    let runs = suite(&Settings::fixed(), Clock::Cycles);
    let once = |label: &str| {
        runs.iter()
            .find(|run| run.label.starts_with(label))
            .unwrap()
            .once
    };
    assert!(!once("4 CPUs: all") && !once("255 CPUs: bringup"));
    assert_eq!(once("32 CPUs: broadcast"), is_crowded(32));
    assert!(is_crowded(100_000) && !is_crowded(USUAL_CPUS));
}

#[test]
fn a_name_leaves_out_what_it_does_not_ask_for() {
    let only = labels(
        &["self_ipi.entry", "self_ipi.back"],
        None,
        "",
        Clock::Cycles,
    );
    assert_eq!(only, ["4 CPUs: self_ipi", "4 CPUs, xAPIC: self_ipi"]);
    let only = labels(&["broadcast"], Some("8"), "", Clock::Cycles);
    assert_eq!(only, ["8 CPUs: broadcast"]);
    let only = labels(&["tlb.shootdown", "nest"], None, "", Clock::Instructions);
    assert_eq!(only[0], "4 CPUs: call nest");
    assert_eq!(only[1..], [2, 8, 16, 32].map(|n| format!("{n} CPUs: call")));
    let only = labels(&["bringup"], None, "", Clock::Instructions);
    assert!(only.contains(&"255 CPUs: bringup".to_owned()));
}

#[test]
fn no_metric_at_all_is_an_error() {
    let mut boots = [Boot::parse(fixtures::CYCLES).unwrap()];
    narrow(&mut boots, &["self_ipi.entry".to_owned()]).unwrap();
    let names = boots[0].metrics.iter().map(|it| it.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["self_ipi.entry"; 3]);
    let why = narrow(&mut boots, &["msi".to_owned()]).unwrap_err();
    assert!(why.to_string().contains("msi.edu: no edu device"), "{why}");
}

#[test]
fn a_run_covers_the_requested_groups() {
    let key = &fixtures::results().metrics[0].key;
    let all = Settings {
        clocks: vec![key.clock],
        ..Settings::fixed()
    };
    assert!(covers(&all, key));
    let narrowed = |name: &str, smp: u64, clock| Settings {
        only: vec![name.to_owned()],
        smp: Some(Smp::parse(&smp.to_string()).unwrap()),
        clocks: vec![clock],
        ..Settings::fixed()
    };
    let other = match key.clock {
        Clock::Cycles => Clock::Instructions,
        Clock::Instructions => Clock::Cycles,
    };
    assert!(covers(&narrowed(&key.name, key.cpus, key.clock), key));
    assert!(!covers(&narrowed("no.such", key.cpus, key.clock), key));
    assert!(!covers(&narrowed(&key.name, key.cpus + 1, key.clock), key));
    assert!(!covers(&narrowed(&key.name, key.cpus, other), key));
}

#[test]
fn a_chosen_apic_is_measured_alone() {
    assert_eq!(
        labels(&["self_ipi"], Some("2"), "apic=xapic", Clock::Cycles).len(),
        1
    );
}

#[test]
fn other_kernels_get_the_same_machines() {
    let mut settings = Settings::fixed();
    let counts = |settings: &Settings, clock| {
        let machines = bare_counts(settings, clock, true);
        machines
            .into_iter()
            .map(|(cpus, _)| cpus)
            .collect::<Vec<_>>()
    };
    assert_eq!(counts(&settings, Clock::Cycles), [2, 8, 32, 64]);
    assert!(counts(&settings, Clock::Instructions).is_empty());
    let (cpus, machine) = bare(&settings, Clock::Cycles);
    assert_eq!(
        (cpus, machine.describe().as_str()),
        (4, "q35, 4 CPUs, 512 MiB, TCG")
    );
    settings.only = vec!["self_ipi".to_owned()];
    assert!(counts(&settings, Clock::Cycles).is_empty());
}

//! Tests of `record`.

use super::*;
use crate::fixtures::{CYCLES, INSTRUCTIONS};

#[test]
fn a_boot_is_read_whole() {
    let boot = Boot::parse(CYCLES).unwrap();
    assert_eq!((boot.run.apic.as_str(), boot.run.cpus), ("x2apic", 4));
    assert_eq!(boot.run.clock, Clock::Cycles);
    let lines = CYCLES.matches("\"kind\":\"metric\"").count();
    assert_eq!(boot.metrics.len(), lines);
    assert_eq!((boot.causes.len(), boot.skips.len()), (1, 1));
    let depth = boot
        .metrics
        .iter()
        .find(|metric| metric.name == "nest.entry")
        .unwrap();
    assert_eq!(depth.param["depth"], Value::Number(0));
    assert_eq!(depth.samples, 1000);
    assert_eq!(
        Boot::parse(INSTRUCTIONS).unwrap().run.clock,
        Clock::Instructions
    );
}

#[test]
fn lines_for_people_and_of_other_commands_are_passed_over() {
    assert_eq!(in_line("tocsin: ready"), Ok(None));
    assert_eq!(
        in_line("@json {\"kind\":\"nest\",\"x\":1}"),
        Ok(Some(Record::Other))
    );
    assert!(matches!(
        in_line("@json {\"kind\":"),
        Err(BadRecord::Syntax { .. })
    ));
}

/// The recorded lines, with replacements for those that contain `with`.
fn changed(with: &str, change: impl Fn(&str) -> String) -> Result<Boot, BadRecord> {
    let lines = CYCLES.lines().map(|line| {
        if line.contains(with) {
            change(line)
        } else {
            line.to_owned()
        }
    });
    Boot::parse(&lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn records_that_cannot_be_are_refused() {
    let gone = |_: &str| String::new();
    assert_eq!(
        changed("\"kind\":\"run\"", gone),
        Err(BadRecord::Missing("run"))
    );
    assert_eq!(
        changed("\"kind\":\"end\"", gone),
        Err(BadRecord::Missing("end"))
    );
    let lost = changed("self_ipi.back\",\"variant\":\"floor", gone);
    assert!(matches!(lost, Err(BadRecord::Count { .. })), "{lost:?}");
    let twice = changed("self_ipi.back\",\"variant\":\"floor", |line| {
        line.replace("floor", "tocsin")
    });
    assert_eq!(
        twice,
        Err(BadRecord::Twice("self_ipi.back tocsin".to_owned()))
    );
    let one = "self_ipi.back\",\"variant\":\"floor";
    for (from, to) in [
        ("\"samples\":1000", "\"samples\":0"),
        ("\"samples\":1000", "\"samples\":1001"),
        ("\"min\":1", "\"min\":9999999991"),
        ("\"histogram\":[[", "\"histogram\":[[8,7,0],["),
    ] {
        let bad = changed(one, |line| {
            assert!(line.contains(from), "{line}");
            line.replace(from, to)
        });
        assert!(
            matches!(bad, Err(BadRecord::Impossible { .. })),
            "{to}: {bad:?}"
        );
    }
}

/// The complete COM1 output of a boot that ran `bench clock=instructions json`.
#[test]
fn a_recorded_boot_is_read_whole() {
    let recorded = include_str!("../fixtures/recorded.txt");
    let boot = Boot::parse(recorded).unwrap();
    assert_eq!(boot.run.clock, Clock::Instructions);
    assert_eq!(
        boot.metrics.len(),
        recorded.matches("\"kind\":\"metric\"").count()
    );
    let entry = boot
        .metrics
        .iter()
        .find(|metric| metric.name == "self_ipi.entry")
        .unwrap();
    assert_eq!((entry.summary.min, entry.summary.max), (22, 22));
}

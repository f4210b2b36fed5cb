//! NMI sources and LINT pins.

use super::{kinds, read, sound};
use crate::acpi::Gsi;
use crate::acpi::build::Table;
use crate::acpi::madt::{InterruptFlags, NmiTarget};
use crate::apic::{ApicId, Polarity, Trigger};
use crate::topology::{CpuId, Lint, MAX_NMI_SOURCES, NmiSource, Problem, ProblemKind, Topology};
use std::string::ToString;
use std::vec::Vec;

const EDGE: (Polarity, Trigger) = (Polarity::High, Trigger::Edge);
const LOW_LEVEL: (Polarity, Trigger) = (Polarity::Low, Trigger::Level);

/// A machine without 8259s, so that both pins can be for NMIs.
fn base() -> Table {
    cpus(Table::new(*b"APIC", 3).u32(0xfee0_0000).u32(0))
}

fn cpus(table: Table) -> Table {
    table.lapics([(10, 0), (11, 1), (12, 2)]).lapic(13, 3, 0)
}

/// The pins of the CPU with this APIC ID.
fn pins(topology: &Topology, apic_id: u32) -> Vec<(Lint, (Polarity, Trigger))> {
    let cpu = topology.find(ApicId(apic_id)).expect("an enabled CPU");
    topology
        .lint_nmi(cpu.number)
        .map(|(lint, polarity, trigger)| (lint, (polarity, trigger)))
        .collect()
}

#[test]
fn no_entry_no_pin() {
    let topology = sound(base(), 0);
    for id in 0..3 {
        assert_eq!(pins(&topology, id), []);
    }
}

/// In either form, before or after the CPUs.
#[test]
fn one_entry_for_all() {
    for table in [
        base().nmi(0xff, 5, 1),
        base().x2nmi(u32::MAX, 5, 1),
        Table::madt(3)
            .nmi(0xff, 5, 1)
            .lapics([(10, 0), (11, 1), (12, 2)]),
        base().nmi(0xff, 5, 1).x2nmi(u32::MAX, 5, 1),
    ] {
        let topology = sound(table, 1);
        for id in 0..3 {
            assert_eq!(pins(&topology, id), [(Lint::Lint1, EDGE)]);
        }
        assert_eq!(topology.lint_nmi(CpuId(99)).count(), 0);
    }
}

#[test]
fn an_entry_for_each() {
    let table = base()
        .nmi(10, 0, 1)
        .nmi(11, 0x0f, 0)
        .x2nmi(12, 5, 0)
        .x2nmi(12, 0x0f, 1)
        // For an absent CPU: valid.
        .nmi(13, 5, 1);
    let topology = sound(table, 0);
    assert_eq!(pins(&topology, 0), [(Lint::Lint1, EDGE)]);
    assert_eq!(pins(&topology, 1), [(Lint::Lint0, LOW_LEVEL)]);
    assert_eq!(
        pins(&topology, 2),
        [(Lint::Lint0, EDGE), (Lint::Lint1, LOW_LEVEL)]
    );
}

/// A boot CPU that is not in the table has no UID, and has the pins for all CPUs.
#[test]
fn boot_cpu_without_uid() {
    let (topology, _) = read(base().nmi(0xff, 5, 1).nmi(10, 0x0f, 0), 9, None);
    assert_eq!(pins(&topology, 9), [(Lint::Lint1, EDGE)]);
    assert_eq!(pins(&topology, 0).len(), 2);
}

#[test]
fn a_cpu_with_its_own_nmi_entry() {
    for table in [
        base().nmi(0xff, 0, 1).nmi(11, 0x0f, 1),
        base().nmi(11, 0x0f, 1).nmi(0xff, 0, 1),
    ] {
        let (topology, problems) = read(table, 0, None);
        assert_eq!(pins(&topology, 0), [(Lint::Lint1, EDGE)]);
        assert_eq!(pins(&topology, 1), [(Lint::Lint1, LOW_LEVEL)]);
        assert_eq!(
            kinds(&problems),
            [ProblemKind::NmiDiffers {
                uid: 11,
                lint: Lint::Lint1,
                own: InterruptFlags(0x0f),
                all: InterruptFlags(0)
            }]
        );
        assert!(problems[0].is_note());
    }
    let (_, problems) = read(base().nmi(0xff, 0, 1).nmi(11, 0x0f, 1), 0, None);
    assert_eq!(
        problems[0].to_string(),
        "MADT: entry at offset 0x52: NMI of UID 11 at LINT1: active low, level, unlike \
         polarity of the bus, trigger of the bus of all CPUs (its own flags apply)"
    );
    // Equal flags are no contradiction, and neither is another pin.
    let topology = sound(base().nmi(0xff, 5, 1).nmi(11, 5, 1).nmi(11, 0, 0), 0);
    assert_eq!(
        pins(&topology, 1),
        [(Lint::Lint0, EDGE), (Lint::Lint1, EDGE)]
    );
}

#[test]
fn the_first_of_two_counts() {
    let (topology, problems) = read(
        base()
            .nmi(0xff, 0x0f, 1)
            .x2nmi(u32::MAX, 5, 1)
            .nmi(12, 5, 0)
            .nmi(12, 5, 0)
            .nmi(12, 0x0f, 0),
        0,
        None,
    );
    assert_eq!(pins(&topology, 0), [(Lint::Lint1, LOW_LEVEL)]);
    assert_eq!(
        pins(&topology, 2),
        [(Lint::Lint0, EDGE), (Lint::Lint1, LOW_LEVEL)]
    );
    let twice = |target, lint, first, second| ProblemKind::NmiConflict {
        target,
        lint,
        first: InterruptFlags(first),
        second: InterruptFlags(second),
    };
    assert_eq!(
        kinds(&problems),
        [
            twice(NmiTarget::All, Lint::Lint1, 0x0f, 5),
            twice(NmiTarget::Uid(12), Lint::Lint0, 5, 0x0f),
        ]
    );
    assert_eq!(
        problems[0].to_string(),
        "MADT: entry at offset 0x52: NMI of all CPUs at LINT1: active high, edge \
         (an earlier entry applies: active low, level)"
    );
}

#[test]
fn hostile_entries() {
    let (topology, problems) = read(
        base()
            .nmi(0xff, 5, 2)
            .nmi(10, 5, 0xff)
            .nmi(77, 5, 1)
            .x2nmi(0xff, 5, 1)
            .nmi(11, 0x0a, 1),
        0,
        None,
    );
    assert_eq!(pins(&topology, 0), []);
    assert_eq!(pins(&topology, 1), [(Lint::Lint1, EDGE)]);
    let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
    assert_eq!(
        lines,
        [
            "MADT: entry at offset 0x4c: there is no pin LINT2 (ignored)",
            "MADT: entry at offset 0x52: there is no pin LINT255 (ignored)",
            "MADT: entry at offset 0x6a: reserved polarity 2, reserved trigger 2 (the bus \
             default applies)",
            "MADT: entry at offset 0x58: no CPU has UID 77 (ignored)",
            "MADT: entry at offset 0x5e: no CPU has UID 255 (ignored)",
        ]
    );
}

/// On a machine with 8259s LINT0 is their input, and flags with reserved bits are ignored.
#[test]
fn invalid_flags_in_entries() {
    let (topology, problems) = read(
        cpus(Table::madt(3))
            .nmi(10, 0x0fc9, 0)
            .nmi(0xff, 5, 0)
            .nmi(11, 0x0fcf, 1)
            .nmi_source(0xf00f, 20),
        0,
        None,
    );
    assert_eq!(pins(&topology, 0), []);
    assert_eq!(pins(&topology, 1), [(Lint::Lint1, EDGE)]);
    assert_eq!(topology.nmi_sources()[0].polarity, Polarity::High);
    let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
    assert_eq!(
        lines,
        [
            "MADT: entry at offset 0x5e: active low, level, reserved bits 0xf000 (the \
             bus default applies)",
            "MADT: entry at offset 0x4c: NMI of UID 10 at LINT0, which is the 8259s' input (ignored)",
            "MADT: entry at offset 0x52: NMI of all CPUs at LINT0, which is the 8259s' input (ignored)",
            "MADT: entry at offset 0x58: active low, level, reserved bits 0x0fc0 (the \
             bus default applies)",
        ]
    );
}

#[test]
fn two_cpus_with_one_uid() {
    let (topology, problems) = read(
        Table::madt(3).lapics([(7, 0), (7, 1)]).nmi(7, 0x0f, 1),
        0,
        None,
    );
    for id in 0..2 {
        assert_eq!(pins(&topology, id), [(Lint::Lint1, LOW_LEVEL)]);
    }
    assert_eq!(kinds(&problems), [ProblemKind::DuplicateUid { uid: 7 }]);
}

#[test]
fn sources_at_io_apics() {
    let (topology, problems) = read(
        base()
            .io_apic(0, 0xfec0_0000, 0)
            .nmi_source(0x0f, 20)
            .nmi_source(0x02, 21),
        0,
        None,
    );
    let source = |gsi, (polarity, trigger)| NmiSource {
        gsi: Gsi(gsi),
        polarity,
        trigger,
    };
    assert_eq!(
        topology.nmi_sources(),
        [source(20, LOW_LEVEL), source(21, EDGE)]
    );
    let flags = InterruptFlags(2);
    assert_eq!(kinds(&problems), [ProblemKind::ReservedFlags { flags }]);
    let (topology, problems) = read(base().nmi_source(5, 20).nmi_source(0, 20), 0, None);
    assert_eq!(topology.nmi_sources().len(), 1);
    let gsi = Gsi(20);
    assert_eq!(kinds(&problems), [ProblemKind::DuplicateNmiSource { gsi }]);
    let table = (0..=MAX_NMI_SOURCES as u32).fold(base(), |table, gsi| table.nmi_source(5, gsi));
    let (topology, problems) = read(table, 0, None);
    assert_eq!(topology.nmi_sources().len(), MAX_NMI_SOURCES);
    assert_eq!(kinds(&problems), [ProblemKind::TooManyNmiSources]);
    assert_eq!(
        problems[0].to_string(),
        "MADT: entry at offset 0xcc: more than 16 NMI sources (ignored)"
    );
}

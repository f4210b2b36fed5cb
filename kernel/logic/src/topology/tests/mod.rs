//! Topologies, from tables built by hand.

mod cpuid;
mod cpus;
mod interrupts;
mod machines;
mod nmi;
mod possible;

use super::{CpuState, Problem, ProblemKind, Topology};
use crate::acpi::build::Table;
use crate::acpi::{ErrorKind, Madt};
use crate::apic::ApicId;
use std::string::ToString;
use std::vec::Vec;

/// The topology of a table, and the problems reported with it.
fn read(table: Table, bsp: u32, max_cpus: Option<u32>) -> (Topology, Vec<Problem>) {
    let bytes = table.build();
    let madt = Madt::parse(&bytes).expect("a valid table");
    let (topology, problems) = Topology::from_madt(&madt, ApicId(bsp), max_cpus);
    assert_eq!(problems.dropped(), 0);
    (topology, problems.iter().copied().collect())
}

/// The same, for a table without problems.
fn sound(table: Table, bsp: u32) -> Topology {
    let (topology, problems) = read(table, bsp, None);
    assert_eq!(problems, []);
    topology
}

/// The APIC IDs of the CPUs that the kernel uses, by number.
fn enabled_ids(topology: &Topology) -> Vec<u32> {
    let ids: Vec<_> = topology.enabled().iter().map(|cpu| cpu.apic_id.0).collect();
    assert_eq!(topology.count(CpuState::Enabled), ids.len());
    ids
}

/// The kinds of the problems.
fn kinds(problems: &[Problem]) -> Vec<ProblemKind> {
    problems.iter().map(|problem| problem.kind).collect()
}

#[test]
fn machine_without_a_table() {
    let topology = Topology::without_madt(ApicId(4));
    assert_eq!(enabled_ids(&topology), [4]);
    assert_eq!(topology.enabled()[0].uid, None);
    assert_eq!(topology.io_apics(), []);
    assert_eq!(topology.local_apic_address(), 0xfee0_0000);
}

#[test]
fn address_of_the_local_apics() {
    let cpu = || Table::madt(1).lapic(0, 0, 1);
    let topology = sound(cpu(), 0);
    assert_eq!(topology.local_apic_address(), 0xfee0_0000);
    assert!(topology.has_8259());
    // The entry is valid at any position.
    let topology = sound(Table::madt(1).address(0x1_fee0_0000).lapic(0, 0, 1), 0);
    assert_eq!(topology.local_apic_address(), 0x1_fee0_0000);
    for address in [0, 0xfee0_0800, 1 << 52] {
        let (topology, problems) = read(cpu().address(address), 0, None);
        assert_eq!(topology.local_apic_address(), 0xfee0_0000);
        assert_eq!(
            kinds(&problems),
            [ProblemKind::LocalApicAddress { address }]
        );
    }
    // The first of two different entries applies; two equal ones are no problem.
    let (topology, problems) = read(
        cpu().address(0x1000).address(0x1000).address(0x2000),
        0,
        None,
    );
    assert_eq!(topology.local_apic_address(), 0x1000);
    assert_eq!(
        problems[0].to_string(),
        "MADT: entry at offset 0x4c: the local APICs cannot be at 0x2000 (ignored)"
    );
    assert_eq!(problems.len(), 1);
}

#[test]
fn invalid_and_unknown_entries_are_reported_and_skipped() {
    let table = Table::madt(3)
        .raw(&[0, 6, 1, 1, 1, 0])
        .raw(&[0x10, 16])
        .raw(&[0; 14])
        .lapic(0, 0, 1)
        .raw(&[0x33, 2])
        .raw(&[1, 0]);
    let (topology, problems) = read(table, 0, None);
    assert_eq!(enabled_ids(&topology), [0]);
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "MADT: entry at offset 0x2c: type 0 needs 8 bytes, its length field says 6",
            "MADT: entry at offset 0x32: type 0x10, 16 bytes, skipped: multiprocessor wakeup",
            "MADT: entry at offset 0x4a: type 0x33, 2 bytes, skipped",
            "MADT: entry at offset 0x4c: type 1 needs 12 bytes, its length field says 0",
        ]
    );
    assert!(matches!(
        problems[0].kind,
        ProblemKind::Entry(error) if matches!(error.kind, ErrorKind::EntryShort { .. })
    ));
    let notes: Vec<_> = problems.iter().map(Problem::is_note).collect();
    assert_eq!(notes, [false, true, true, false]);
}

/// The list is bounded for each kind, counts the problems that did not fit, and has room for other
/// kinds.
#[test]
fn problems_beyond_the_bound_are_counted() {
    let table = (0..100).fold(Table::madt(1).lapic(0, 0, 1), |table, _| {
        table.raw(&[0x33, 2]).io_apic(0, 0, 0)
    });
    let bytes = table.iso(1, 3, 40, 0).build();
    let madt = Madt::parse(&bytes).expect("a valid table");
    let (_, problems) = Topology::from_madt(&madt, ApicId(0), None);
    assert_eq!(problems.iter().count(), 17);
    assert_eq!((problems.dropped(), problems.dropped_notes()), (92, 92));
    assert!(!problems.is_empty());
    let last = problems.iter().last().map(|problem| problem.kind);
    assert_eq!(last, Some(ProblemKind::OverrideBus { bus: 1 }));
}

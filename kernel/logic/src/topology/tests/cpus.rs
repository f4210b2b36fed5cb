//! The list of CPUs and its order.

use super::{enabled_ids, kinds, read, sound};
use crate::acpi::build::Table;
use crate::apic::{ApicId, Mode};
use crate::topology::{CpuId, CpuState, Listed, MAX_CPUS, Problem, ProblemKind, Problems};
use std::string::ToString;
use std::vec::Vec;

const ONLINE_CAPABLE: u32 = 2;

#[test]
fn the_boot_cpu_is_first_in_any_table_order() {
    let ids = [4_u8, 2, 0, 6, 1];
    for bsp in ids {
        let cpus = ids.into_iter().map(|id| (id + 10, id));
        let topology = sound(Table::madt(1).lapics(cpus), bsp.into());
        let mut expected: Vec<u32> = ids.map(u32::from).to_vec();
        expected.retain(|&id| id != bsp.into());
        expected.insert(0, bsp.into());
        assert_eq!(enabled_ids(&topology), expected);
        for (number, cpu) in (0..).zip(topology.cpus()) {
            assert_eq!(cpu.number, CpuId(number));
            assert_eq!(cpu.uid, Some(cpu.apic_id.0 + 10));
            assert_eq!(cpu.listed, Listed::LocalApic);
            assert_eq!(topology.find(cpu.apic_id), Some(cpu));
        }
        assert_eq!(topology.find(ApicId(9)), None);
        assert_eq!(topology.highest_apic_id(), ApicId(6));
    }
}

/// The CPUs that the kernel uses have consecutive numbers; the others follow.
#[test]
fn absent_cpus_come_last() {
    let table = Table::madt(5)
        .lapic(1, 1, 0)
        .lapic(2, 2, 1)
        .lapic(3, 3, ONLINE_CAPABLE)
        .lapic(4, 4, 1)
        .lapic(5, 5, 0)
        .lapic(6, 6, 1);
    let topology = sound(table, 4);
    let all: Vec<_> = topology
        .cpus()
        .iter()
        .map(|cpu| (cpu.apic_id.0, cpu.state))
        .collect();
    assert_eq!(
        all,
        [
            (4, CpuState::Enabled),
            (2, CpuState::Enabled),
            (6, CpuState::Enabled),
            (3, CpuState::OnlineCapable),
            (1, CpuState::Disabled),
            (5, CpuState::Disabled),
        ]
    );
    assert_eq!(topology.find(ApicId(3)), None);
}

/// The bit is valid since revision 5; an enabled CPU remains enabled with it.
#[test]
fn online_capable_bit() {
    for (revision, state) in [(4, CpuState::Disabled), (5, CpuState::OnlineCapable)] {
        let table = Table::madt(revision)
            .lapic(0, 0, 1)
            .lapic(1, 1, ONLINE_CAPABLE)
            .lapic(2, 2, 1 | ONLINE_CAPABLE);
        let topology = sound(table, 0);
        assert_eq!(enabled_ids(&topology), [0, 2]);
        assert_eq!(topology.cpus()[2].state, state);
    }
}

#[test]
fn one_cpu_in_both_forms() {
    let table = Table::madt(3)
        .lapics([(0, 0), (1, 1)])
        .x2apic(0, 0, 1)
        .x2apic(1, 1, 1)
        .x2apic(2, 2, 1)
        .lapic(2, 2, 1);
    let (topology, problems) = read(table, 0, None);
    assert_eq!(enabled_ids(&topology), [0, 1, 2]);
    assert!(topology.cpus().iter().all(|cpu| cpu.listed == Listed::Both));
    assert_eq!(
        kinds(&problems),
        [0, 1, 2].map(|id| ProblemKind::CpuInBothForms {
            apic_id: ApicId(id)
        })
    );
    assert!(problems.iter().all(Problem::is_note));
    assert_eq!(
        problems[0].to_string(),
        "MADT: entry at offset 0x3c: APIC ID 0x00 is listed as local APIC and as local x2APIC \
         (one CPU)"
    );
    // The same for absent CPUs, in either order.
    let table = Table::madt(5)
        .lapic(0, 0, 1)
        .lapic(1, 1, 0)
        .x2apic(1, 1, ONLINE_CAPABLE)
        .x2apic(2, 2, 0)
        .lapic(2, 2, 0);
    let (topology, problems) = read(table, 0, None);
    assert_eq!(topology.cpus().len(), 3);
    assert_eq!(topology.cpus()[1].state, CpuState::OnlineCapable);
    assert_eq!(problems.len(), 2);
}

#[test]
fn duplicates_are_ignored_and_reported() {
    for second in [
        Table::madt(3).lapics([(0, 0), (1, 1)]).lapic(1, 1, 1),
        Table::madt(3).lapics([(0, 0), (1, 1)]).lapic(7, 1, 1),
        // In the other form, but with another UID.
        Table::madt(3).lapics([(0, 0), (1, 1)]).x2apic(7, 1, 1),
        Table::madt(3).lapics([(0, 0), (1, 1)]).lapic(7, 0, 1),
    ] {
        let (topology, problems) = read(second, 0, None);
        assert_eq!(enabled_ids(&topology), [0, 1]);
        assert_eq!(topology.cpus()[1].uid, Some(1));
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].offset, Some(60));
        assert!(matches!(
            problems[0].kind,
            ProblemKind::DuplicateApicId { .. }
        ));
        assert!(!problems[0].is_note());
    }
    // A third entry, in a form in which the CPU is already listed.
    let table = Table::madt(3).lapic(0, 0, 1).x2apic(0, 0, 1).lapic(0, 0, 1);
    let (_, problems) = read(table, 0, None);
    assert!(matches!(
        problems[1].kind,
        ProblemKind::DuplicateApicId { uid: 0, .. }
    ));
    assert_eq!(
        problems[1].to_string(),
        "MADT: entry at offset 0x44: APIC ID 0x00 is already listed (the entry with UID 0 is ignored)"
    );
}

#[test]
fn one_uid_for_two_cpus() {
    let (topology, problems) = read(Table::madt(3).lapics([(7, 0), (7, 1)]), 1, None);
    assert_eq!(enabled_ids(&topology), [1, 0]);
    assert_eq!(
        problems,
        [Problem {
            offset: Some(52),
            kind: ProblemKind::DuplicateUid { uid: 7 }
        }]
    );
}

/// Firmware pads tables with entries that have another CPU's ID or an invalid one.
#[test]
fn padding_entries_do_not_conflict() {
    let table = Table::madt(5)
        .lapic(9, 0, 0)
        .lapic(10, 0, 0)
        .lapic(11, 0xff, 0)
        .lapic(12, 0xff, 0)
        .lapic(13, 1, ONLINE_CAPABLE)
        .lapic(0, 0, 1)
        .lapic(1, 1, 1)
        .x2apic(300, u32::MAX, 0)
        .x2apic(301, u32::MAX, 0)
        .x2apic(302, 0, 0);
    let topology = sound(table, 0);
    assert_eq!(enabled_ids(&topology), [0, 1]);
    assert_eq!(topology.cpus().len(), 10);
    assert_eq!(topology.count(CpuState::Disabled), 7);
    // The boot CPU with ID 0 is the enabled one, not a placeholder.
    assert_eq!(topology.cpus()[0].uid, Some(0));
    assert_eq!(topology.find(ApicId(0)).map(|cpu| cpu.uid), Some(Some(0)));
}

#[test]
fn enabled_in_one_entry_and_disabled_in_another() {
    for table in [
        Table::madt(3).lapics([(0, 0), (1, 1)]).x2apic(1, 1, 0),
        Table::madt(3).x2apic(1, 1, 0).lapics([(0, 0), (1, 1)]),
    ] {
        let (topology, problems) = read(table, 0, None);
        assert_eq!(enabled_ids(&topology), [0, 1]);
        assert_eq!(topology.cpus().len(), 2);
        assert_eq!(
            kinds(&problems),
            [ProblemKind::PaddingEntries { entries: 1 }]
        );
    }
}

/// Dozens of entries that repeat a CPU or each other are reported in one note, and leave room for
/// other problems.
#[test]
fn padding_entries_are_one_note() {
    let table = (0..200).fold(Table::madt(1).lapics([(0, 0), (1, 1)]), |table, number| {
        // With the ID of the boot CPU, and with an invalid ID.
        let (uid, id) = if number % 2 == 0 { (0, 0) } else { (0, 0xff) };
        table.lapic(uid, id, 0)
    });
    let (topology, problems) = read(table.lapic(7, 1, 1), 0, None);
    assert_eq!(enabled_ids(&topology), [0, 1]);
    assert_eq!(topology.cpus().len(), 3);
    let padding = ProblemKind::PaddingEntries { entries: 199 };
    let twice = ProblemKind::DuplicateApicId {
        apic_id: ApicId(1),
        uid: 7,
    };
    assert_eq!(kinds(&problems), [twice, padding]);
    assert!(problems[1].is_note());
    assert_eq!(
        problems[1].to_string(),
        "MADT: 199 entries that are not enabled repeat an earlier one (ignored)"
    );
}

#[test]
fn ids_that_mean_all_cpus() {
    let table = Table::madt(3)
        .lapic(0, 0, 1)
        .lapic(1, 0xff, 1)
        .x2apic(2, u32::MAX, 1)
        // In this form, 255 is an ordinary ID.
        .x2apic(3, 0xff, 1);
    let (topology, problems) = read(table, 0, None);
    assert_eq!(enabled_ids(&topology), [0, 255]);
    assert_eq!(
        kinds(&problems),
        [0xff, u32::MAX].map(|id| ProblemKind::BroadcastApicId {
            apic_id: ApicId(id)
        })
    );
}

#[test]
fn the_boot_cpu_is_missing() {
    for table in [
        Table::madt(3).lapics([(0, 0), (1, 1)]),
        // Not enabled counts as missing: the matching entry cannot be determined.
        Table::madt(3).lapics([(0, 0), (1, 1)]).lapic(7, 9, 0),
    ] {
        let (topology, problems) = read(table, 9, None);
        assert_eq!(enabled_ids(&topology), [9, 0, 1]);
        assert_eq!(topology.cpus()[0].uid, None);
        assert_eq!(topology.cpus()[0].listed, Listed::NotListed);
        assert_eq!(
            problems,
            [Problem {
                offset: None,
                kind: ProblemKind::BspMissing { apic_id: ApicId(9) }
            }]
        );
        assert_eq!(
            problems[0].to_string(),
            "MADT: the boot CPU, APIC ID 0x09, is not listed as enabled (added)"
        );
    }
    let (topology, problems) = read(Table::madt(3), 0, None);
    assert_eq!(enabled_ids(&topology), [0]);
    assert_eq!(problems.len(), 1);
}

#[test]
fn limit_of_cpus() {
    let cpus = || {
        Table::madt(3)
            .lapics([(0, 3), (1, 2), (2, 1), (3, 0)])
            .lapic(4, 4, 0)
    };
    for (limit, enabled) in [(0, 1), (1, 1), (2, 2), (4, 4), (5, 4), (u32::MAX, 4)] {
        let (topology, problems) = read(cpus(), 1, Some(limit));
        assert_eq!(problems, []);
        assert_eq!(enabled_ids(&topology), [1, 3, 2, 0][..enabled]);
        assert_eq!(topology.count(CpuState::Limited), 4 - enabled);
        assert_eq!(topology.count(CpuState::Disabled), 1);
        // The excluded CPUs keep their order.
        let ids: Vec<_> = topology.cpus().iter().map(|cpu| cpu.apic_id.0).collect();
        assert_eq!(ids, [1, 3, 2, 0, 4]);
        assert!(topology.find(ApicId(0)).is_some());
    }
}

#[test]
fn xapic_mode_excludes_large_ids() {
    let table = Table::madt(3)
        .lapic(0, 0, 1)
        .x2apic(255, 255, 1)
        .x2apic(256, 256, 1)
        .lapic(1, 1, 1)
        .lapic(2, 2, 1)
        .lapic(3, 254, 1)
        .lapic(4, 4, 0);
    let (mut topology, _) = read(table, 0, Some(4));
    assert_eq!(enabled_ids(&topology), [0, 255, 256, 1]);
    let mut problems = Problems::default();
    topology.restrict_to(Mode::X2Apic, &mut problems);
    assert!(problems.is_empty());
    assert_eq!(enabled_ids(&topology), [0, 255, 256, 1]);
    // Other CPUs replace those that were excluded.
    topology.restrict_to(Mode::XApic, &mut problems);
    assert_eq!(enabled_ids(&topology), [0, 1, 2, 254]);
    assert_eq!(topology.count(CpuState::Unreachable), 2);
    let numbers: Vec<_> = topology.cpus().iter().map(|cpu| cpu.number.0).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        ["MADT: 2 CPUs with APIC IDs above 254 are left out (xapic mode cannot address them)"]
    );
    // The boot CPU stays, whatever its ID.
    let (mut topology, _) = read(Table::madt(3).x2apic(0, 300, 1).lapic(1, 1, 1), 300, None);
    topology.restrict_to(Mode::XApic, &mut problems);
    assert_eq!(enabled_ids(&topology), [300, 1]);
    assert_eq!(problems.iter().count(), 1);
}

/// Within a state, the table's order is preserved for any number of CPUs.
#[test]
fn the_order_of_many() {
    let state = |n: u32| match n % 3 {
        0 => 1,
        1 => 0,
        _ => ONLINE_CAPABLE,
    };
    let table = (0..300).fold(Table::madt(5), |table, n| {
        table.x2apic(n, (n * 7) % 307, state(n))
    });
    let (mut topology, _) = read(table, 0, Some(60));
    topology.restrict_to(Mode::XApic, &mut Problems::default());
    for pair in topology.cpus().windows(2) {
        let later = pair[0].uid < pair[1].uid;
        assert!(pair[0].state < pair[1].state || pair[0].state == pair[1].state && later);
    }
    assert_eq!(topology.enabled().len(), 60);
    assert_eq!(topology.count(CpuState::Unreachable), 15);
    assert_eq!(topology.cpus().len(), 300);
}

#[test]
fn restricting_twice() {
    let table = Table::madt(3).lapic(0, 0, 1).x2apic(255, 255, 1);
    let (mut topology, _) = read(table, 0, None);
    let mut problems = Problems::default();
    topology.restrict_to(Mode::XApic, &mut problems);
    topology.restrict_to(Mode::XApic, &mut problems);
    assert_eq!(problems.iter().count(), 1);
}

#[test]
fn more_cpus_than_fit() {
    let many = MAX_CPUS as u32 + 76;
    // The table begins with 500 absent CPUs, which must not take the room of the others.
    let table = (0..500).fold(Table::madt(5), |table, n| {
        table.x2apic(10_000 + n, 10_000 + n, 0)
    });
    let table = (0..many).fold(table, |table, n| table.x2apic(n, n, 1));
    let (topology, problems) = read(table, many - 1, None);
    assert_eq!(topology.enabled().len(), MAX_CPUS);
    assert_eq!(topology.cpus().len(), MAX_CPUS);
    // The last CPU of the table is the boot CPU, and has a slot.
    assert_eq!(topology.cpus()[0].apic_id, ApicId(many - 1));
    assert_eq!(topology.cpus()[0].listed, Listed::LocalX2Apic);
    assert_eq!(
        kinds(&problems),
        [ProblemKind::TooManyCpus {
            enabled: 76,
            others: 500
        }]
    );
    assert_eq!(
        problems[0].to_string(),
        "MADT: more than 1024 CPUs: 76 enabled and 500 others are left out"
    );
}

//! The number of CPUs that can be present without being enabled.

use super::read;
use crate::acpi::build::Table;
use crate::apic::{ApicId, Mode};
use crate::topology::{MAX_CPUS, Problems, Topology};

const ONLINE_CAPABLE: u32 = 2;

/// The result of `possible_cpus` for these entries, the first of which is the boot CPU.
fn possible_cpus(table: Table, max_cpus: Option<u32>) -> [usize; 3] {
    let (topology, _) = read(table, 0, max_cpus);
    let cpus = topology.possible_cpus(2);
    assert!(!cpus.is_incomplete);
    [cpus.failed, cpus.left_out, cpus.addable]
}

#[test]
fn cpus_that_can_be_present_are_counted() {
    let both = || Table::madt(3).lapics([(0, 0), (1, 1)]);
    assert_eq!(possible_cpus(both(), None), [2, 0, 0]);
    assert_eq!(possible_cpus(both(), Some(1)), [2, 1, 0]);
    // Without the online-capable bit, a disabled entry may be a CPU that is added later.
    let table = both().lapic(2, 2, 0).lapic(3, 3, 0).x2apic(4, 300, 0);
    assert_eq!(possible_cpus(table, None), [2, 0, 3]);
    // Padding does not count: invalid IDs, and IDs of other CPUs.
    let table = both()
        .lapic(0, 0xff, 0)
        .lapic(7, 0, 0)
        .x2apic(8, u32::MAX, 0);
    assert_eq!(possible_cpus(table, Some(1)), [2, 1, 0]);
    // With the bit, the table says which CPUs may be added.
    let table = Table::madt(5)
        .lapics([(0, 0), (1, 1)])
        .lapic(2, 2, 0)
        .lapic(3, 3, ONLINE_CAPABLE);
    assert_eq!(possible_cpus(table, None), [2, 0, 1]);
}

#[test]
fn cpus_beyond_the_lists_size_are_counted() {
    let cpus = (0..MAX_CPUS as u32 + 3).fold(Table::madt(5), |table, id| table.x2apic(id, id, 1));
    assert_eq!(possible_cpus(cpus, None), [2, 3, 0]);
}

#[test]
fn cpus_that_xapic_mode_cannot_address_are_counted() {
    let table = Table::madt(3).lapic(0, 0, 1).x2apic(1, 256, 1);
    let (mut topology, _) = read(table, 0, None);
    topology.restrict_to(Mode::XApic, &mut Problems::default());
    assert_eq!(topology.possible_cpus(0).left_out, 1);
}

#[test]
fn a_list_without_the_boot_cpu_is_incomplete() {
    let (topology, _) = read(Table::madt(3).lapic(1, 1, 1), 0, None);
    assert!(topology.possible_cpus(0).is_incomplete);
    assert!(
        Topology::without_madt(ApicId(0))
            .possible_cpus(0)
            .is_incomplete
    );
}

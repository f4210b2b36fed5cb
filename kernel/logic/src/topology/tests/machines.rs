//! Tables with the shapes of real machines, built by hand.

use super::{enabled_ids, kinds, read, sound};
use crate::acpi::Gsi;
use crate::acpi::build::Table;
use crate::acpi::madt::InterruptFlags;
use crate::apic::{ApicId, Polarity, Trigger};
use crate::topology::{CpuId, CpuState, Input, Lint, ProblemKind, Problems, Topology};
use std::vec::Vec;

/// Sets all pins, and checks that no problem with the GSIs is reported.
fn set_pins(topology: &mut Topology, pins: &[u8]) {
    assert_eq!(topology.io_apics().len(), pins.len());
    let mut pins = pins.iter().copied();
    let mut problems = Problems::default();
    topology.set_pins(|_| pins.next(), &mut problems);
    assert!(problems.is_empty());
}

fn nmi_pins(topology: &Topology, cpu: CpuId) -> Vec<(Lint, Polarity, Trigger)> {
    topology.lint_nmi(cpu).collect()
}

const LINT1: [(Lint, Polarity, Trigger); 1] = [(Lint::Lint1, Polarity::High, Trigger::Edge)];

/// Four sockets with ten cores of two threads: first threads, then siblings, each round-robin over
/// the sockets; then disabled entries; five I/O APICs at the end of the table, whose IDs are also
/// CPUs'.
#[test]
fn four_sockets_round_robin() {
    let cores = [0, 2, 4, 6, 8, 0x10, 0x12, 0x14, 0x16, 0x18];
    let order: Vec<u8> = [0, 1]
        .into_iter()
        .flat_map(|thread| cores.map(|core| core + thread))
        .flat_map(|core| [0, 0x20, 0x40, 0x60].map(|socket| socket + core))
        .collect();
    assert_eq!(order.len(), 80);
    let table = Table::madt(1).lapics((1..).zip(order.iter().copied()));
    let table = (0..16).fold(table, |table, n| table.lapic(81 + n, 0xd0 + n, 0));
    let table = table.nmi(0xff, 5, 1).iso(0, 0, 2, 0).iso(0, 9, 9, 0x0d);
    let table = (0..5_u8).fold(table, |table, n| {
        let number = u32::from(n);
        table.io_apic(n, 0xfec0_0000 + number * 0x4_0000, number * 32)
    });
    let mut topology = sound(table, 0);
    assert_eq!(
        enabled_ids(&topology),
        order.iter().map(|&id| id.into()).collect::<Vec<u32>>()
    );
    assert_eq!(topology.cpus().len(), 96);
    assert_eq!(topology.count(CpuState::Disabled), 16);
    assert_eq!(topology.cpus()[79].uid, Some(80));
    assert_eq!(topology.highest_apic_id(), ApicId(0x79));
    set_pins(&mut topology, &[24, 24, 24, 24, 24]);
    assert_eq!(topology.input(Gsi(130)), Some(Input { io_apic: 4, pin: 2 }));
    assert_eq!(topology.input(Gsi(30)), None);
    for cpu in topology.enabled() {
        assert_eq!(nmi_pins(&topology, cpu.number), LINT1);
    }
}

/// 32 threads, even then odd, then 96 entries that all have the boot CPU's ID; I/O APICs far from
/// the usual address; IRQ 9 active low and level-triggered.
#[test]
fn padding_entries_with_the_boot_cpus_id() {
    let ids = (0..32).step_by(2).chain((1..32).step_by(2));
    let table = Table::madt(3).lapics(ids.clone().map(|id| (id, id)));
    let table = (32..128).fold(table, |table, uid| table.lapic(uid, 0, 0));
    let table = table
        .nmi(0xff, 5, 1)
        .io_apic(0x80, 0xfec0_0000, 0)
        .io_apic(0x81, 0xefc0_0000, 24)
        .io_apic(0x82, 0xb7a0_0000, 56)
        .iso(0, 0, 2, 0)
        .iso(0, 9, 9, 0x0f);
    let mut topology = sound(table, 0);
    let expected: Vec<u32> = ids.map(u32::from).collect();
    assert_eq!(enabled_ids(&topology), expected);
    assert_eq!(topology.count(CpuState::Disabled), 96);
    assert_eq!(topology.enabled()[0].uid, Some(0));
    set_pins(&mut topology, &[24, 32, 32]);
    assert_eq!(
        topology.input(Gsi(87)),
        Some(Input {
            io_apic: 2,
            pin: 31
        })
    );
    let sci = topology.isa_irq(9).expect("an ISA interrupt");
    assert_eq!((sci.polarity, sci.trigger), (Polarity::Low, Trigger::Level));
}

/// UIDs that equal APIC IDs, in another order; IRQ 0 overridden with explicit flags; an NMI entry
/// with the flags of the bus.
#[test]
fn explicit_flags_on_irq_0() {
    let ids = [0, 4, 2, 6, 1, 5, 3, 7];
    let table = Table::madt(1)
        .lapics(ids.map(|id| (id, id)))
        .io_apic(8, 0xfec0_0000, 0)
        .io_apic(9, 0xfec8_0000, 24)
        .iso(0, 0, 2, 5)
        .iso(0, 9, 9, 0x0d)
        .nmi(0xff, 0, 1);
    let topology = sound(table, 0);
    assert_eq!(enabled_ids(&topology), ids.map(u32::from));
    let timer = topology.isa_irq(0).expect("an ISA interrupt");
    assert_eq!(timer.gsi, Gsi(2));
    assert_eq!(
        (timer.polarity, timer.trigger),
        (Polarity::High, Trigger::Edge)
    );
    assert_eq!(nmi_pins(&topology, CpuId(7)), LINT1);
}

/// Four sockets whose IDs begin at 20h; two contradictory NMI entries.
#[test]
fn no_cpu_has_id_0() {
    let ids: Vec<u8> = [0x20, 0x40, 0x60, 0x80]
        .into_iter()
        .flat_map(|socket| socket..socket + 16)
        .collect();
    let table = Table::madt(1)
        .lapics((1..).zip(ids.iter().copied()))
        .io_apic(0, 0xfec0_0000, 0)
        .io_apic(1, 0xfec2_0000, 24)
        .io_apic(2, 0xda00_0000, 56)
        .iso(0, 0, 2, 0)
        .iso(0, 9, 9, 0x0f)
        .nmi(0xff, 0, 1)
        .nmi(1, 5, 1);
    let (mut topology, problems) = read(table, 0x20, None);
    assert_eq!(
        enabled_ids(&topology),
        ids.iter().map(|&id| id.into()).collect::<Vec<u32>>()
    );
    assert_eq!(
        kinds(&problems),
        [ProblemKind::NmiDiffers {
            uid: 1,
            lint: Lint::Lint1,
            own: InterruptFlags(5),
            all: InterruptFlags(0)
        }]
    );
    // Both have the same meaning on this bus.
    assert_eq!(nmi_pins(&topology, CpuId(0)), LINT1);
    assert_eq!(nmi_pins(&topology, CpuId(63)), LINT1);
    set_pins(&mut topology, &[24, 32, 32]);
}

/// An NMI entry for each CPU, UIDs from 0, an I/O APIC with a CPU's ID.
#[test]
fn an_nmi_entry_for_each_cpu() {
    let table = Table::madt(1)
        .lapics([(0, 0), (1, 1)])
        .io_apic(1, 0xfec0_0000, 0)
        .iso(0, 0, 2, 0)
        .iso(0, 9, 9, 0x0d)
        .nmi(0, 5, 1)
        .nmi(1, 5, 1);
    let topology = sound(table, 0);
    assert_eq!(nmi_pins(&topology, CpuId(0)), LINT1);
    assert_eq!(nmi_pins(&topology, CpuId(1)), LINT1);
}

/// An NMI entry after each CPU, so that half of the entries are at odd words, also for absent CPUs;
/// those have the ID 255.
#[test]
fn nmi_entries_between_the_cpus() {
    let table = (0..32_u8).fold(Table::madt(3), |table, n| {
        let (id, flags) = if n < 16 { (n, 1) } else { (0xff, 0) };
        table.lapic(n, id, flags).nmi(n, 5, 1)
    });
    let topology = sound(table.io_apic(0, 0xfec0_0000, 0), 5);
    assert_eq!(topology.enabled().len(), 16);
    assert_eq!(topology.count(CpuState::Disabled), 16);
    for cpu in topology.cpus() {
        assert_eq!(nmi_pins(&topology, cpu.number), LINT1);
    }
}

/// A machine with IDs beyond 8 bits: type 0 up to 254, type 9 above, and the NMI entry only in its
/// 32-bit form.
#[test]
fn more_than_254_cpus() {
    let table = (0..255_u8).fold(Table::madt(5), |table, id| table.lapic(id, id, 1));
    let table = (255..288).fold(table, |table, id| table.x2apic(id, id, 1));
    let (topology, problems) = read(table.x2nmi(u32::MAX, 0, 1), 0, None);
    assert_eq!(problems, []);
    assert_eq!(enabled_ids(&topology), (0..288).collect::<Vec<_>>());
    assert_eq!(nmi_pins(&topology, CpuId(287)), LINT1);
}

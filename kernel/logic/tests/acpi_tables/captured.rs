//! What the captured tables must say: QEMU's machines are known.

use std::fs;

use tocsin_logic::acpi::rsdp::{self, Root};
use tocsin_logic::acpi::{AddressSpace, Gsi, Madt, Text, fadt, hpet, mcfg, root, sdt};
use tocsin_logic::apic::{ApicId, Polarity, Trigger};
use tocsin_logic::topology::{CpuState, Input, Lint, Listed, Problems, Topology};

use crate::{captures, first_enabled, table_files};

fn read(machine: &str, table: &str) -> Vec<u8> {
    let file = captures().join(format!("{machine}.{table}.bin"));
    fs::read(&file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()))
}

/// The topology of a machine, in which nothing is wrong.
fn topology(machine: &str, pins: &[u8]) -> Topology {
    let bytes = read(machine, "APIC");
    let madt = Madt::parse(&bytes).expect("a sound MADT");
    let bsp = first_enabled(&madt);
    assert_eq!(bsp, ApicId(0));
    let (mut topology, problems) = Topology::from_madt(&madt, bsp, None);
    assert!(problems.is_empty(), "{machine}: {problems:?}");
    assert_eq!(topology.local_apic_address(), 0xfee0_0000);
    assert_eq!(topology.io_apics().len(), pins.len());
    let mut pins = pins.iter().copied();
    let mut problems = Problems::default();
    topology.set_pins(|_| pins.next(), &mut problems);
    assert!(problems.is_empty(), "{machine}: {problems:?}");
    for cpu in topology.enabled() {
        // QEMU gives the flags of the bus.
        let pins: Vec<_> = topology.lint_nmi(cpu.number).collect();
        assert_eq!(pins, [(Lint::Lint1, Polarity::High, Trigger::Edge)]);
    }
    topology
}

fn ids(topology: &Topology, state: CpuState) -> Vec<u32> {
    let cpus = topology.cpus().iter().filter(|cpu| cpu.state == state);
    cpus.map(|cpu| cpu.apic_id.get()).collect()
}

#[test]
fn cpus() {
    for (machine, pins, enabled, disabled) in [
        ("q35-1", &[24][..], vec![0], vec![]),
        ("q35-4", &[24], vec![0, 1, 2, 3], vec![]),
        // Two bits of core for three of them: a gap between the sockets.
        (
            "q35-6-sockets2-cores3",
            &[24],
            vec![0, 1, 2, 4, 5, 6],
            vec![],
        ),
        ("q35-2-maxcpus8", &[24], vec![0, 1], vec![2, 3, 4, 5, 6, 7]),
        ("q35-255", &[24], (0..255).collect(), vec![]),
        ("q35-288-iommu", &[24], (0..288).collect(), vec![]),
        ("pc-1", &[24], vec![0], vec![]),
        ("pc-4", &[24], vec![0, 1, 2, 3], vec![]),
        ("pc-2-maxcpus8", &[24], vec![0, 1], vec![2, 3, 4, 5, 6, 7]),
        ("microvm-1", &[24, 24], vec![0], vec![]),
        ("microvm-4", &[24, 24], vec![0, 1, 2, 3], vec![]),
        ("ovmf-4", &[24], vec![0, 1, 2, 3], vec![]),
        (
            "ovmf-6-sockets2-cores3",
            &[24],
            vec![0, 1, 2, 4, 5, 6],
            vec![],
        ),
    ] {
        let topology = topology(machine, pins);
        assert_eq!(ids(&topology, CpuState::Enabled), enabled, "{machine}");
        assert_eq!(ids(&topology, CpuState::Disabled), disabled, "{machine}");
    }
}

/// No capture is left out above.
#[test]
fn every_captured_madt_is_known() {
    let files = table_files(&captures()).expect("the folder of captures");
    let madts = files.iter().filter(|file| {
        let name = file.file_name().unwrap_or_default();
        name.to_string_lossy().ends_with(".APIC.bin")
    });
    assert_eq!(madts.count(), 13);
}

/// Type 0 up to ID 254, type 9 above.
#[test]
fn forms_of_288_cpus() {
    let topology = topology("q35-288-iommu", &[24]);
    for cpu in topology.enabled() {
        let form = if cpu.apic_id <= ApicId::XAPIC_MAX {
            Listed::LocalApic
        } else {
            Listed::LocalX2Apic
        };
        assert_eq!(cpu.listed, form);
        assert_eq!(cpu.uid, Some(cpu.apic_id.get()));
        assert_eq!(cpu.number.get(), cpu.apic_id.get());
    }
}

/// The overrides of q35 and pc: the PIT at GSI 2, PCI's interrupts level-triggered.
#[test]
fn interrupts_of_a_pc() {
    for machine in ["q35-4", "pc-4", "ovmf-4", "q35-288-iommu"] {
        let topology = topology(machine, &[24]);
        assert!(topology.has_8259());
        let io_apic = topology.io_apics()[0];
        assert_eq!((io_apic.id, io_apic.address), (0, 0xfec0_0000));
        for irq in 0..16 {
            let route = topology.isa_irq(irq).expect("an ISA interrupt");
            let gsi = if irq == 0 { 2 } else { irq.into() };
            assert_eq!(route.gsi, Gsi(gsi));
            let level = [5, 9, 10, 11].contains(&irq);
            assert_eq!(route.trigger == Trigger::Level, level);
            assert_eq!(route.polarity, Polarity::High);
            assert_eq!(route.overridden, level || irq == 0);
        }
    }
}

/// Two I/O APICs, and no override.
#[test]
fn interrupts_of_a_microvm() {
    let topology = topology("microvm-4", &[24, 24]);
    let io_apics: Vec<_> = topology
        .io_apics()
        .iter()
        .map(|io_apic| (io_apic.id, io_apic.address, io_apic.gsi_base.get()))
        .collect();
    assert_eq!(io_apics, [(0, 0xfec0_0000, 0), (1, 0xfec1_0000, 24)]);
    assert_eq!(topology.overrides().count(), 0);
    assert_eq!(
        topology.input(Gsi(47)),
        Some(Input {
            io_apic: 1,
            pin: 23
        })
    );
    assert_eq!(topology.input(Gsi(48)), None);
}

/// From the root pointer to the tables: the root table has as many as were saved,
/// and more.
#[test]
fn root_pointers_and_tables() {
    for (machine, revision, table) in [
        ("q35-4", 0, "RSDT"),
        ("pc-4", 0, "RSDT"),
        ("microvm-4", 2, "XSDT"),
        ("ovmf-4", 2, "XSDT"),
    ] {
        let pointer = rsdp::parse(&read(machine, "RSDP")).expect("a sound pointer");
        assert_eq!(pointer.revision, revision);
        assert_eq!(pointer.oem_id, Text(*b"BOCHS "));
        let first = pointer.roots().next();
        assert_eq!(matches!(first, Some(Root::Rsdt(_))), table == "RSDT");
        assert_eq!(pointer.problem, None);
        let bytes = read(machine, table);
        let header = sdt::check(&bytes).expect("a sound table");
        assert_eq!(header.oem_table_id, Text(*b"BXPC    "));
        let entries = root::entries(&bytes).expect("a root table");
        let addresses: Vec<_> = entries.addresses().collect();
        let size = if table == "RSDT" { 4 } else { 8 };
        assert_eq!(addresses.len(), (bytes.len() - 36) / size);
        // All in the machine's 256 MiB.
        assert!(addresses.iter().all(|&a| a > 0xe0000 && a < 256 << 20));
        assert_eq!((entries.null_entries(), entries.trailing()), (0, None));
    }
}

/// A microvm's are packed, at the very end of its memory.
#[test]
fn the_tables_of_a_microvm_are_not_aligned() {
    let bytes = read("microvm-4", "RSDP");
    let pointer = rsdp::parse(&bytes).expect("a sound pointer");
    assert!(pointer.roots().all(|root| root.address() % 8 != 0));
}

#[test]
fn hpets() {
    for machine in ["q35-4", "pc-4", "ovmf-4"] {
        let hpet = hpet::parse(&read(machine, "HPET")).expect("a sound table");
        assert_eq!((hpet.address, hpet.number), (0xfed0_0000, 0));
        assert_eq!((hpet.vendor(), hpet.revision()), (0x8086, 1));
        assert_eq!(hpet.comparators(), 3);
        assert!(hpet.is_64_bit() && hpet.legacy_replacement());
    }
}

#[test]
fn configuration_memory() {
    for machine in ["q35-4", "ovmf-4"] {
        let bytes = read(machine, "MCFG");
        let segments: Vec<_> = mcfg::parse(&bytes)
            .expect("a sound table")
            .segments()
            .map(|item| item.expect("a good range").value)
            .collect();
        assert_eq!(segments.len(), 1);
        assert_eq!(segments[0].memory(), (0xb000_0000, 256 << 20));
        assert_eq!(segments[0].group, 0);
    }
}

#[test]
fn fixed_hardware() {
    for (machine, revision, length, port) in [
        ("q35-4", 3, 244, 0x608),
        ("ovmf-4", 3, 244, 0x608),
        ("pc-4", 1, 116, 0x608),
    ] {
        let bytes = read(machine, "FACP");
        let (fadt, problem) = fadt::parse(&bytes).expect("a sound table");
        assert_eq!(problem, None);
        assert_eq!((fadt.header.revision, bytes.len()), (revision, length));
        let timer = fadt.pm_timer.expect("a PM timer");
        assert_eq!(timer.register.space, AddressSpace::Io);
        assert_eq!(timer.register.address, port);
        assert!(!timer.wide);
        assert_eq!(fadt.sci_interrupt, 9);
        assert_eq!(fadt.century, 0x32);
        // The chipset's reset register, which pc's table has no room for.
        let reset = fadt
            .reset
            .map(|reset| (reset.register.address, reset.value));
        assert_eq!(reset, (revision >= 2).then_some((0xcf9, 0x0f)));
    }
    let (fadt, problem) = fadt::parse(&read("microvm-4", "FACP")).expect("a sound table");
    assert!(fadt.flags.has(fadt::Flags::HARDWARE_REDUCED));
    assert_eq!((fadt.pm_timer, problem), (None, None));
    let reset = fadt.reset.expect("a reset register");
    assert_eq!(reset.register.space, AddressSpace::Memory);
}

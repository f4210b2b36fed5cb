//! Tests that no input makes a parser panic or loop forever.

use crate::acpi::build::{Table, seal, set_checksum};
use crate::acpi::{Dmar, Madt, fadt, hpet, mcfg, root, rsdp, sdt};
use crate::apic::ApicId;
use crate::topology::{Input, Topology};
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

/// Walks all structures and scopes of a table of this length.
fn walk_dmar(table: &Dmar<'_>, length: usize) {
    let (mut steps, mut scopes) = (0, 0);
    for item in table.structures() {
        steps += 1;
        match item {
            Ok(found) => {
                let _ = found.value.to_string();
                for scope in found.value.scopes() {
                    scopes += 1;
                    match scope {
                        Ok(scope) => {
                            let _ = scope.value.to_string();
                            let _ = scope.value.resolve(|bus, _, _| bus.checked_add(1));
                        }
                        Err(error) => drop(error.to_string()),
                    }
                }
            }
            Err(error) => drop(error.to_string()),
        }
    }
    assert!(steps * 4 + scopes * 2 <= length + 4);
}

/// Runs every parser on the bytes, walks all entries, and formats all results. The number of items
/// is limited by the number of bytes.
fn devour(bytes: &[u8]) {
    let _ = rsdp::parse(bytes).map(|pointer| {
        assert!((1..=2).contains(&pointer.roots().count()));
        assert!(bytes.len() >= rsdp::size(bytes));
    });
    let _ = rsdp::parse(bytes).map_err(|error| error.to_string());
    rsdp::simplify(&mut bytes.to_vec());
    if let Ok(table) = Dmar::parse(bytes) {
        let _ = table.opts_out_of_x2apic();
        walk_dmar(&table, bytes.len());
    }
    let _ = sdt::check(bytes).map_err(|error| error.to_string());
    let _ = fadt::parse(bytes).map_err(|error| error.to_string());
    let _ = hpet::parse(bytes).map_err(|error| error.to_string());
    if let Ok(table) = root::entries(bytes) {
        let entries = table.addresses().count() + table.null_entries();
        assert!(entries * 4 <= bytes.len());
        let _ = table.trailing().map(|error| error.to_string());
    }
    if let Ok(table) = mcfg::parse(bytes) {
        let mut steps = 0;
        for item in table.segments() {
            steps += 1;
            match item {
                Ok(found) => {
                    let (start, length) = found.value.memory();
                    assert!(start + length <= 1 << 52);
                    let _ = found.value.to_string();
                }
                Err(error) => drop(error.to_string()),
            }
        }
        assert!(steps * 16 <= bytes.len());
    }
    if let Ok(madt) = Madt::parse(bytes) {
        let mut steps = 0;
        let mut last = 0;
        for item in madt.entries() {
            steps += 1;
            let offset = match item {
                Ok(found) => {
                    let _ = found.value.to_string();
                    found.offset
                }
                Err(error) => {
                    let _ = error.to_string();
                    error.offset
                }
            };
            assert!(offset > last && offset < bytes.len());
            last = offset;
        }
        assert!(steps * 2 <= bytes.len());
        digest(&madt);
    }
}

/// Builds a topology from the table and checks its invariants.
fn digest(madt: &Madt<'_>) {
    let bsp = ApicId(3);
    let (mut topology, mut problems) = Topology::from_madt(madt, bsp, Some(4));
    assert_eq!(topology.cpus()[0].apic_id, bsp);
    assert!((1..=4).contains(&topology.enabled().len()));
    for (number, cpu) in (0..).zip(topology.cpus()) {
        assert_eq!(cpu.number.get(), number);
        assert!(topology.lint_nmi(cpu.number).count() <= 2);
    }
    // Some I/O APICs are absent, and the others differ in their number of pins.
    topology.set_pins(
        |io_apic| (io_apic.address % 3 > 0).then_some(io_apic.address as u8 % 120 + 1),
        &mut problems,
    );
    for (index, io_apic) in topology.io_apics().iter().enumerate() {
        for pin in 0..io_apic.pins.unwrap_or_default() {
            let input = Input {
                io_apic: index,
                pin,
            };
            let gsi = topology.gsi(input);
            assert_eq!(gsi.and_then(|gsi| topology.input(gsi)), gsi.map(|_| input));
        }
    }
    for irq in 0..=255 {
        let route = topology.isa_irq(irq);
        assert_eq!(route.is_some(), irq < 16);
        if let Some(input) = route.and_then(|route| topology.input(route.gsi)) {
            assert_eq!(topology.gsi(input), route.map(|route| route.gsi));
        }
    }
    for problem in &problems {
        assert!(!problem.to_string().is_empty());
    }
}

fn sample_madt() -> Vec<u8> {
    Table::madt(5)
        .lapics([(0, 0), (1, 2), (2, 3)])
        .lapic(3, 0xff, 0)
        .x2apic(2, 3, 1)
        .x2apic(300, 300, 2)
        .io_apic(0, 0xfec0_0000, 0)
        .io_apic(1, 0xfec0_1000, 24)
        .iso(0, 0, 2, 0)
        .iso(0, 9, 9, 0x0d)
        .nmi_source(5, 40)
        .nmi(0xff, 5, 1)
        .x2nmi(300, 0, 0)
        .address(0xfee0_0000)
        .raw(&[0x7f, 4, 0, 0])
        .build()
}

/// One table of each kind, and two with wrong sizes.
fn samples() -> Vec<Vec<u8>> {
    let mut pointer = Vec::from(*b"RSD PTR \0TOCSIN\x02");
    pointer.extend(0x1000_u32.to_le_bytes());
    set_checksum(&mut pointer, 8);
    pointer.extend(36_u32.to_le_bytes());
    pointer.extend(0x2000_u64.to_le_bytes());
    pointer.extend([0; 4]);
    set_checksum(&mut pointer, 32);
    std::vec![
        pointer,
        Table::new(*b"RSDT", 1).u32(0x1000).u32(0).u16(1).build(),
        Table::new(*b"XSDT", 1).u64(0x1000).u64(0).u32(1).build(),
        sample_madt(),
        Table::new(*b"HPET", 1)
            .u32(0x8086_a201)
            .gas(0, 0xfed0_0000)
            .raw(&[0; 4])
            .build(),
        Table::new(*b"MCFG", 1)
            .u64(0)
            .u64(0xe000_0000)
            .raw(&[0, 0, 0, 127, 0, 0, 0, 0])
            .u64(0xe000_0000)
            .raw(&[0, 0, 128, 255, 0, 0, 0, 0])
            .build(),
        Table::new(*b"FACP", 3).raw(&[4; 208]).build(),
        Table::new(*b"DMAR", 1)
            .raw(&[38, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            .raw(&[0, 0, 32, 0, 1, 0, 0, 0])
            .u64(0xfed9_0000)
            .raw(&[3, 8, 0, 0, 0, 0xff, 0, 0, 2, 8, 0, 0, 0, 0, 0x1c, 4])
            .raw(&[1, 0, 32, 0, 0, 0, 0, 0])
            .u64(0x1000)
            .u64(0x1fff)
            .raw(&[1, 8, 0, 0, 0, 0, 2, 0])
            .raw(&[4, 0, 11, 0, 0, 0, 0, 1, b'A', b'B', 0])
            .build(),
    ]
}

/// Every value of every byte, with the checksum corrected so that the parser sees the change.
#[test]
fn every_single_byte_change() {
    for sample in samples() {
        for at in 0..sample.len() {
            for value in 0..=255 {
                let mut bytes = sample.clone();
                bytes[at] = value;
                if bytes.starts_with(b"RSD ") {
                    set_checksum(&mut bytes[..20], 8);
                    set_checksum(&mut bytes, 32);
                } else if at != 9 {
                    seal(&mut bytes);
                }
                devour(&bytes);
            }
        }
    }
}

#[test]
fn every_truncation() {
    for sample in samples() {
        for size in 0..sample.len() {
            devour(&sample[..size]);
            // The same, with a length field that matches.
            if size >= 36 && !sample.starts_with(b"RSD ") {
                let mut bytes = sample[..size].to_vec();
                bytes[4..8].copy_from_slice(&(size as u32).to_le_bytes());
                seal(&mut bytes);
                devour(&bytes);
            }
        }
    }
}

#[test]
fn the_largest_table_ends() {
    // 16 MiB of two-byte entries, then of CPUs: the maximum number of steps.
    let most = (16 << 20) - 44;
    for (pattern, items) in [
        ([0x7f, 2].as_slice(), most / 2),
        (&[0, 8, 1, 1, 0, 0, 0, 0], most / 8 + 1),
    ] {
        let body: Vec<u8> = pattern.iter().copied().cycle().take(most).collect();
        let bytes = Table::madt(5).raw(&body).build();
        let madt = Madt::parse(&bytes).expect("sound as a whole");
        assert_eq!(madt.entries().count(), items);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        devour(&bytes);
    }

    /// Valid headers before arbitrary bodies, so that the walks run.
    #[test]
    fn arbitrary_bodies(
        signature in proptest::sample::select(std::vec![
            *b"APIC", *b"RSDT", *b"XSDT", *b"HPET", *b"MCFG", *b"FACP", *b"DMAR",
        ]),
        revision in any::<u8>(),
        body in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        devour(&Table::new(signature, revision).raw(&body).build());
    }

    /// Entries of the known types with arbitrary contents, some with a wrong length.
    #[test]
    fn arbitrary_entries(
        entries in proptest::collection::vec(
            (0_u8..=0x11, proptest::collection::vec(any::<u8>(), 14), 0_u8..40),
            0..60,
        ),
        revision in 1_u8..7,
    ) {
        let table = entries.iter().fold(Table::madt(revision), |table, (kind, body, odd)| {
            let size = match kind {
                0 | 3 => 8,
                1 | 5 | 0x0a => 12,
                2 => 10,
                4 => 6,
                _ => 16_u8,
            };
            // One in ten entries has a wrong length.
            let length = if *odd < 4 { *odd * 5 } else { size };
            table.raw(&[*kind, length]).raw(&body[..usize::from(size) - 2])
        });
        devour(&table.build());
    }

    #[test]
    fn several_changes(
        which in 0_usize..7,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..12),
        mend in any::<bool>(),
    ) {
        let mut bytes = samples().swap_remove(which);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if mend && which > 0 {
            seal(&mut bytes);
        }
        devour(&bytes);
    }
}

//! The walkers on tables that firmware made.
//!
//! `captured` reads the tables that QEMU gave its machines, which lie in
//! `tests/tables`, and knows what each must say. `folder` reads whatever lies in
//! the folder that the environment names, and prints the topology it yields:
//!
//! ```sh
//! ACPI_TABLES=dir cargo test -p tocsin-logic --test acpi_tables -- --nocapture
//! ```

mod captured;
mod folder;
mod reference;
mod show;

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use tocsin_logic::acpi::dmar::Structure;
use tocsin_logic::acpi::madt::{Entry, LocalApic, Madt};
use tocsin_logic::acpi::{Dmar, fadt, hpet, mcfg, root, rsdp, sdt};
use tocsin_logic::apic::ApicId;
use tocsin_logic::topology::Topology;

/// The tables of QEMU's machines.
fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables")
}

/// The table files of a folder, in the order of their names.
fn table_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for item in fs::read_dir(folder)? {
        let path = item?.path();
        if path
            .extension()
            .is_some_and(|ext| ext == "bin" || ext == "dat")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A MADT does not say which CPU the machine starts with. On every known machine it
/// is the first enabled one.
fn first_enabled(madt: &Madt<'_>) -> ApicId {
    madt.entries()
        .flatten()
        .find_map(|found| match found.value {
            Entry::LocalApic(cpu) | Entry::LocalX2Apic(cpu) => enabled(cpu),
            _ => None,
        })
        .unwrap_or(ApicId(0))
}

fn enabled(cpu: LocalApic) -> Option<ApicId> {
    cpu.flags.enabled().then_some(cpu.apic_id)
}

/// Every byte of a table set to 0, to 255 and to its complement, with the checksum
/// mended: whatever comes, it must come to an end.
fn spoil(table: &[u8]) {
    for at in 0..table.len() {
        for value in [0, 0xff, !table[at]] {
            let mut bytes = table.to_vec();
            bytes[at] = value;
            if at != 9 && bytes.len() > 9 {
                bytes[9] = 0;
                let sum = bytes.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
                bytes[9] = sum.wrapping_neg();
            }
            let _ = rsdp::parse(&bytes);
            let _ = sdt::check(&bytes);
            let _ = hpet::parse(&bytes);
            let _ = fadt::parse(&bytes);
            let _ = root::entries(&bytes).map(|table| table.addresses().count());
            let _ = mcfg::parse(&bytes).map(|table| table.segments().count());
            if let Ok(dmar) = Dmar::parse(&bytes) {
                let scopes = |it: &Structure<'_>| it.scopes().count();
                let all = dmar.structures().flatten();
                let scopes: usize = all.map(|it| scopes(&it.value)).sum();
                assert!(scopes <= bytes.len() / 2);
            }
            if let Ok(madt) = Madt::parse(&bytes) {
                let limit = bytes.len() / 2;
                assert!(madt.entries().count() <= limit);
                let (topology, _) = Topology::from_madt(&madt, ApicId(0), None);
                assert_eq!(topology.cpus()[0].apic_id, ApicId(0));
            }
        }
    }
}

//! Test firmware: ACPI tables, valid or invalid, that replace a machine's own.
//!
//! QEMU passes its tables to the BIOS in three files of its firmware configuration device: the
//! tables, the RSDP, and a script for their placement and linking (QEMU's
//! `hw/acpi/bios-linker-loader.c`). With `acpi=off` it omits them, and files from the command line
//! can use their names. `-acpitable` is unsuitable: it corrects each table's length and checksum.

mod tables;
#[cfg(test)]
mod tests;

use std::io;

use tempfile::TempDir;
use tocsin_tools::Machine;

pub use tables::{claiming, corrupted, dmar, fadt, fadt_with_boot_flags, hpet, madt, mcfg, table};

/// Size of a table header, in bytes.
const HEADER: usize = 36;

/// Sizes of an RSDP of revision 0, and of one with the extended part of revision 2, in bytes.
const RSDP_SIZE: usize = 20;
const EXTENDED_SIZE: usize = 36;

/// Number of bytes before an RSDP that follows a false one.
const FALSE_SIZE: usize = 48;

/// Size of a command of the script, and of a file name in it, in bytes.
const COMMAND: usize = 128;
const NAME: usize = 56;

/// The files' names.
const TABLES: &str = "etc/acpi/tables";
const RSDP: &str = "etc/acpi/rsdp";
const SCRIPT: &str = "etc/table-loader";

/// Commands of the script, and the memory zone for a file.
const ALLOCATE: u32 = 1;
const ADD_POINTER: u32 = 2;
const ADD_CHECKSUM: u32 = 3;
const HIGH: u8 = 1;
const F_SEGMENT: u8 = 2;

/// ACPI tables for a machine.
#[derive(Debug, Clone, Default)]
pub struct Firmware {
    tables: Vec<Vec<u8>>,
    /// Entries of the root tables that are not addresses of the tables here.
    dangling: Vec<u64>,
    root: Root,
    xsdt: Option<Xsdt>,
    pointer: Pointer,
}

/// The RSDP (ACPI 6.5, 5.2.5.3).
#[derive(Debug, Clone, Copy, Default)]
pub struct Pointer {
    /// The revision; from 2 on the RSDP has the extended part.
    pub revision: u8,
    /// The length field of the extended part; `None` for 36. If the length is 36 to 4096, the
    /// checksum is right for that length.
    pub length: Option<u32>,
    /// The signature of a false RSDP precedes it.
    pub after_false_one: bool,
}

/// The state of the XSDT, beside a valid RSDT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Xsdt {
    /// It lists all tables, and there is no RSDT.
    Alone,
    /// Its checksum is wrong.
    Corrupted,
    /// It lists no tables.
    Empty,
}

/// The error in the root table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Root {
    /// No error.
    #[default]
    Sound,
    /// Wrong checksum.
    Corrupted,
    /// The RSDP lacks its address.
    Missing,
}

/// The files that a machine reads; dropping this removes them.
#[derive(Debug)]
pub struct Files(TempDir);

impl Firmware {
    /// No tables except an empty root table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a table unchanged: checksum and length may be wrong.
    #[must_use]
    pub fn table(mut self, bytes: Vec<u8>) -> Self {
        self.tables.push(bytes);
        self
    }

    /// Adds the entry `address` to the root tables; an RSDT has its low 32 bits.
    #[must_use]
    pub fn dangling(mut self, address: u64) -> Self {
        self.dangling.push(address);
        self
    }

    /// Adds an XSDT.
    #[must_use]
    pub fn xsdt(mut self, xsdt: Xsdt) -> Self {
        self.xsdt = Some(xsdt);
        self.pointer.revision = 2;
        self
    }

    /// Sets the kind of RSDP.
    #[must_use]
    pub fn pointer(mut self, pointer: Pointer) -> Self {
        self.pointer = pointer;
        self
    }

    /// Sets the error in the root table.
    #[must_use]
    pub fn root(mut self, root: Root) -> Self {
        self.root = root;
        self
    }

    /// Passes these tables to `machine`, whose board is `board`.
    ///
    /// # Errors
    ///
    /// The files cannot be written.
    pub fn install(&self, machine: Machine, board: &str) -> io::Result<(Files, Machine)> {
        let directory = tempfile::tempdir()?;
        let mut machine = machine.board(format!("{board},acpi=off"));
        let mut script = Script(Vec::new());
        script.allocate(RSDP, 16, F_SEGMENT);
        script.allocate(TABLES, 64, HIGH);
        let tables = self.blob(&mut script);
        let pointer = self.rsdp(&mut script, tables.xsdt);
        let files = [(TABLES, tables.bytes), (RSDP, pointer), (SCRIPT, script.0)];
        for (name, bytes) in files {
            let path = directory.path().join(name.replace('/', "-"));
            std::fs::write(&path, bytes)?;
            let option = format!("name={name},file={}", path.display());
            machine = machine.args(["-fw_cfg", &option]);
        }
        Ok((Files(directory), machine))
    }

    /// The root tables, and after the RSDT all others. The loader script adds the address of the
    /// tables, and then sets the checksums.
    fn blob(&self, script: &mut Script) -> Blob {
        let entries = self.tables.len() + self.dangling.len();
        let mut bytes = table(*b"RSDT", 1, &vec![0; 4 * entries]);
        let mut offsets = Vec::new();
        for table in &self.tables {
            bytes.resize(bytes.len().next_multiple_of(16), 0);
            offsets.push(bytes.len() as u64);
            bytes.extend(table);
        }
        let values: Vec<_> = offsets.iter().chain(&self.dangling).copied().collect();
        for (index, value) in values.iter().enumerate() {
            let at = HEADER + 4 * index;
            bytes[at..at + 4].copy_from_slice(&(*value as u32).to_le_bytes());
            if index < offsets.len() {
                script.add_pointer(TABLES, at, 4);
            }
        }
        bytes[9] = 0;
        if self.root != Root::Corrupted {
            script.add_checksum(TABLES, 9, 0, HEADER + 4 * entries);
        }
        let xsdt = self.xsdt.map(|xsdt| {
            bytes.resize(bytes.len().next_multiple_of(16), 0);
            let start = bytes.len();
            let values = if xsdt == Xsdt::Empty {
                &[][..]
            } else {
                &values
            };
            let body: Vec<u8> = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            bytes.extend(table(*b"XSDT", 1, &body));
            for index in 0..values.len().min(offsets.len()) {
                script.add_pointer(TABLES, start + HEADER + 8 * index, 8);
            }
            bytes[start + 9] = 0;
            if xsdt != Xsdt::Corrupted {
                script.add_checksum(TABLES, start + 9, start, bytes.len() - start);
            }
            start
        });
        Blob { bytes, xsdt }
    }

    /// The RSDP.
    fn rsdp(&self, script: &mut Script, xsdt: Option<usize>) -> Vec<u8> {
        let pointer = &self.pointer;
        let mut bytes = Vec::new();
        if pointer.after_false_one {
            // Revision 2, and the length is 4 GiB.
            bytes.extend(b"RSD PTR NOT ONE\x02");
            bytes.resize(FALSE_SIZE, 0xff);
        }
        let start = bytes.len();
        bytes.extend(b"RSD PTR \0TOCSIN");
        bytes.push(pointer.revision);
        bytes.resize(start + RSDP_SIZE, 0);
        if self.root != Root::Missing && self.xsdt != Some(Xsdt::Alone) {
            script.add_pointer(RSDP, start + 16, 4);
        }
        script.add_checksum(RSDP, start + 8, start, RSDP_SIZE);
        if pointer.revision >= 2 {
            let length = pointer.length.unwrap_or(EXTENDED_SIZE as u32);
            bytes.extend(length.to_le_bytes());
            bytes.extend(xsdt.unwrap_or_default().to_le_bytes());
            let size = (length as usize).clamp(EXTENDED_SIZE, 4096);
            bytes.resize(start + size, 0);
            if xsdt.is_some() {
                script.add_pointer(RSDP, start + 24, 8);
            }
            script.add_checksum(RSDP, start + 32, start, size);
        }
        bytes
    }
}

/// The tables, and the offset of the XSDT in them.
struct Blob {
    bytes: Vec<u8>,
    xsdt: Option<usize>,
}

impl Files {
    /// Their memory zone.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

struct Script(Vec<u8>);

impl Script {
    fn command(&mut self, code: u32, parts: &[&[u8]]) {
        let start = self.0.len();
        self.0.extend(code.to_le_bytes());
        self.0.extend(parts.concat());
        self.0.resize(start + COMMAND, 0);
    }

    fn allocate(&mut self, file: &str, alignment: u32, zone: u8) {
        self.command(ALLOCATE, &[&name(file), &alignment.to_le_bytes(), &[zone]]);
    }

    /// Adds the address of the tables to the word of `size` bytes at `offset`.
    fn add_pointer(&mut self, file: &str, offset: usize, size: u8) {
        let offset = (offset as u32).to_le_bytes();
        self.command(ADD_POINTER, &[&name(file), &name(TABLES), &offset, &[size]]);
    }

    /// Sets the byte at `offset` so that the sum of the `length` bytes from `start` is 0.
    fn add_checksum(&mut self, file: &str, offset: usize, start: usize, length: usize) {
        let numbers = [offset, start, length].map(|number| (number as u32).to_le_bytes());
        self.command(ADD_CHECKSUM, &[&name(file), numbers.as_flattened()]);
    }
}

fn name(file: &str) -> [u8; NAME] {
    let mut name = [0; NAME];
    name[..file.len()].copy_from_slice(file.as_bytes());
    name
}

/// Entries of a MADT (ACPI 6.5, 5.2.12).
pub mod entry {
    /// Type 0, enabled.
    #[must_use]
    pub fn local_apic(uid: u8, id: u8) -> Vec<u8> {
        vec![0, 8, uid, id, 1, 0, 0, 0]
    }

    /// Type 0, not enabled.
    #[must_use]
    pub fn disabled(uid: u8, id: u8) -> Vec<u8> {
        vec![0, 8, uid, id, 0, 0, 0, 0]
    }

    /// Type 9, enabled.
    #[must_use]
    pub fn local_x2apic(uid: u32, id: u32) -> Vec<u8> {
        let parts = [id, 1, uid].map(u32::to_le_bytes);
        [&[9, 16, 0, 0], parts.as_flattened()].concat()
    }

    /// Type 1.
    #[must_use]
    pub fn io_apic(id: u8, address: u32, gsi_base: u32) -> Vec<u8> {
        let parts = [address, gsi_base].map(u32::to_le_bytes);
        [&[1, 12, id, 0], parts.as_flattened()].concat()
    }

    /// Type 2, for the ISA bus.
    #[must_use]
    pub fn interrupt_override(irq: u8, gsi: u32, flags: u16) -> Vec<u8> {
        let flags = flags.to_le_bytes();
        [&[2, 10, 0, irq], &gsi.to_le_bytes()[..], &flags].concat()
    }

    /// Type 5.
    #[must_use]
    pub fn local_apic_address(address: u64) -> Vec<u8> {
        [&[5, 12, 0, 0], &address.to_le_bytes()[..]].concat()
    }

    /// Type 4, with flags of the bus; UID 255 means all CPUs.
    #[must_use]
    pub fn nmi(uid: u8, lint: u8) -> Vec<u8> {
        vec![4, 6, uid, 0, 0, lint]
    }

    /// Type 3.
    #[must_use]
    pub fn nmi_source(gsi: u32, flags: u16) -> Vec<u8> {
        let flags = flags.to_le_bytes();
        [&[3, 8], &flags[..], &gsi.to_le_bytes()].concat()
    }

    /// Any type with any length field, and bytes after it.
    #[must_use]
    pub fn raw(kind: u8, length: u8, rest: &[u8]) -> Vec<u8> {
        [&[kind, length], rest].concat()
    }
}

//! Builds tables for the tests, byte by byte as the specification lays them out, without any code
//! of the parsers.

use std::vec::Vec;

/// A table under construction: a header, followed by the fields that are appended.
#[derive(Clone)]
pub(crate) struct Table(Vec<u8>);

impl Table {
    pub(crate) fn new(signature: [u8; 4], revision: u8) -> Self {
        let mut bytes = Vec::from(signature);
        bytes.extend([0; 4]);
        bytes.extend([revision, 0]);
        bytes.extend(b"TOCSIN");
        bytes.extend(b"TESTDATA");
        bytes.extend(7_u32.to_le_bytes());
        bytes.extend(b"HAND");
        bytes.extend(9_u32.to_le_bytes());
        Self(bytes)
    }

    /// A MADT with the usual address and flags, without entries.
    pub(crate) fn madt(revision: u8) -> Self {
        Self::new(*b"APIC", revision).u32(0xfee0_0000).u32(1)
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn u16(self, value: u16) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        self.raw(&value.to_le_bytes())
    }

    /// A generic address structure of 32 bits.
    pub(crate) fn gas(self, space: u8, address: u64) -> Self {
        self.raw(&[space, 32, 0, 3]).u64(address)
    }

    /// Type 0.
    pub(crate) fn lapic(self, uid: u8, id: u8, flags: u32) -> Self {
        self.raw(&[0, 8, uid, id]).u32(flags)
    }

    /// Type 0, enabled, for each (UID, APIC ID).
    pub(crate) fn lapics(self, cpus: impl IntoIterator<Item = (u8, u8)>) -> Self {
        cpus.into_iter()
            .fold(self, |table, (uid, id)| table.lapic(uid, id, 1))
    }

    /// Type 1.
    pub(crate) fn io_apic(self, id: u8, address: u32, gsi: u32) -> Self {
        self.raw(&[1, 12, id, 0]).u32(address).u32(gsi)
    }

    /// Type 2.
    pub(crate) fn iso(self, bus: u8, source: u8, gsi: u32, flags: u16) -> Self {
        self.raw(&[2, 10, bus, source]).u32(gsi).u16(flags)
    }

    /// Type 3.
    pub(crate) fn nmi_source(self, flags: u16, gsi: u32) -> Self {
        self.raw(&[3, 8]).u16(flags).u32(gsi)
    }

    /// Type 4.
    pub(crate) fn nmi(self, uid: u8, flags: u16, lint: u8) -> Self {
        self.raw(&[4, 6, uid]).u16(flags).raw(&[lint])
    }

    /// Type 5.
    pub(crate) fn address(self, address: u64) -> Self {
        self.raw(&[5, 12, 0, 0]).u64(address)
    }

    /// Type 9.
    pub(crate) fn x2apic(self, uid: u32, id: u32, flags: u32) -> Self {
        self.raw(&[9, 16, 0, 0]).u32(id).u32(flags).u32(uid)
    }

    /// Type 0Ah.
    pub(crate) fn x2nmi(self, uid: u32, flags: u16, lint: u8) -> Self {
        self.raw(&[0x0a, 12])
            .u16(flags)
            .u32(uid)
            .raw(&[lint, 0, 0, 0])
    }

    /// The finished table, with its length and checksum.
    pub(crate) fn build(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).expect("a small table");
        self.0[4..8].copy_from_slice(&length.to_le_bytes());
        seal(&mut self.0);
        self.0
    }
}

/// Sets the checksum of a table, byte 9.
pub(crate) fn seal(table: &mut [u8]) {
    set_checksum(table, 9);
}

/// Sets the byte at index `at` so that the sum of all bytes is 0.
pub(crate) fn set_checksum(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
    bytes[at] = (sum % 256).wrapping_neg() as u8;
}

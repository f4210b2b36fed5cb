//! Tables, valid or deliberately invalid.

use super::HEADER;

/// A table with valid length and checksum (ACPI 6.5, 5.2.6).
#[must_use]
pub fn table(signature: [u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut table = signature.to_vec();
    table.extend(((HEADER + body.len()) as u32).to_le_bytes());
    table.extend([revision, 0]);
    table.extend(b"TOCSINTEST    ");
    table.extend(1_u32.to_le_bytes());
    table.extend(b"TEST");
    table.extend(1_u32.to_le_bytes());
    table.extend(body);
    mended(table)
}

/// `table` with a different length in its header, and a valid checksum of its bytes.
#[must_use]
pub fn claiming(mut table: Vec<u8>, length: u32) -> Vec<u8> {
    table[4..8].copy_from_slice(&length.to_le_bytes());
    mended(table)
}

/// `table` with a wrong checksum.
#[must_use]
pub fn corrupted(mut table: Vec<u8>) -> Vec<u8> {
    table[9] = table[9].wrapping_add(1);
    table
}

fn mended(mut table: Vec<u8>) -> Vec<u8> {
    table[9] = 0;
    let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    table[9] = sum.wrapping_neg();
    table
}

/// A MADT with two 8259s and these entries.
#[must_use]
pub fn madt(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut body = 0xfee0_0000_u32.to_le_bytes().to_vec();
    body.extend(1_u32.to_le_bytes());
    body.extend(entries.concat());
    table(*b"APIC", 3, &body)
}

/// The description of an HPET at this physical address (HPET specification 1.0a, 3.2.4).
#[must_use]
pub fn hpet(address: u64) -> Vec<u8> {
    // Intel's, revision 1, three 64-bit comparators; in system memory.
    let mut body = 0x8086_a201_u32.to_le_bytes().to_vec();
    body.extend([0, 64, 0, 0]);
    body.extend(address.to_le_bytes());
    body.extend([0; 4]);
    table(*b"HPET", 1, &body)
}

/// A FADT of ACPI 1.0 whose PM timer is at this port, 24 bits wide.
#[must_use]
pub fn fadt(pm_timer: u16) -> Vec<u8> {
    let mut body = vec![0; 116 - HEADER];
    body[76 - HEADER..][..2].copy_from_slice(&pm_timer.to_le_bytes());
    body[91 - HEADER] = 4;
    table(*b"FACP", 1, &body)
}

/// A FADT of ACPI 2.0 and later with these boot architecture flags (ACPI 6.5, table 5.11).
#[must_use]
pub fn fadt_with_boot_flags(pm_timer: u16, flags: u16) -> Vec<u8> {
    let mut body = fadt(pm_timer)[HEADER..].to_vec();
    body[109 - HEADER..][..2].copy_from_slice(&flags.to_le_bytes());
    body.resize(244 - HEADER, 0);
    table(*b"FACP", 3, &body)
}

/// A DMAR table with these flags (VT-d specification 4.1, 8.1).
#[must_use]
pub fn dmar(flags: u8) -> Vec<u8> {
    let mut body = vec![38, flags];
    body.resize(12, 0);
    table(*b"DMAR", 1, &body)
}

/// An MCFG with these ranges of segment 0: base, first and last bus (PCI Firmware Specification
/// 3.3, 4.1.2).
#[must_use]
pub fn mcfg(ranges: &[(u64, u8, u8)]) -> Vec<u8> {
    let mut body = vec![0; 8];
    for (base, first, last) in ranges {
        body.extend(base.to_le_bytes());
        body.extend([0, 0, *first, *last, 0, 0, 0, 0]);
    }
    table(*b"MCFG", 1, &body)
}

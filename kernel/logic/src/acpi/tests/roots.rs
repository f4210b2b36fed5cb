//! Tests of the root pointer, the header and the root tables.

use crate::acpi::build::{Table, seal, set_checksum};
use crate::acpi::rsdp::{self, Root, Rsdp};
use crate::acpi::{ErrorKind, Fault, Signature, Text, root, sdt};
use std::string::ToString;
use std::vec::Vec;

/// A root pointer of 36 bytes; with revision 0, the last 16 are not part of it.
fn pointer(revision: u8, rsdt: u32, length: u32, xsdt: u64) -> Vec<u8> {
    // Byte 8 is the checksum, followed by the 6-byte OEM ID.
    let mut bytes = Vec::from(*b"RSD PTR \0OEM \0\0");
    bytes.push(revision);
    bytes.extend(rsdt.to_le_bytes());
    set_checksum(&mut bytes, 8);
    bytes.extend(length.to_le_bytes());
    bytes.extend(xsdt.to_le_bytes());
    bytes.extend([0; 4]);
    if length as usize >= bytes.len() {
        bytes.resize(length as usize, 0xab);
    }
    set_checksum(&mut bytes, 32);
    bytes
}

fn roots(pointer: &Rsdp) -> Vec<Root> {
    pointer.roots().collect()
}

fn kind(bytes: &[u8]) -> ErrorKind {
    rsdp::parse(bytes).expect_err("a bad root pointer").kind
}

#[test]
fn first_revision_is_20_bytes() {
    let bytes = pointer(0, 0x7fe_1234, 0, 0);
    let parsed = rsdp::parse(&bytes[..20]).expect("a valid pointer");
    assert_eq!((parsed.revision, parsed.problem), (0, None));
    assert_eq!(roots(&parsed), [Root::Rsdt(0x7fe_1234)]);
    assert_eq!(parsed.oem_id.to_string(), "OEM");
    // The bytes after the first part are ignored, even if they are invalid.
    assert_eq!(rsdp::parse(&bytes), Ok(parsed));
}

#[test]
fn second_revision_prefers_the_xsdt() {
    let bytes = pointer(2, 0x1000, 36, 0x1_2345_6789);
    let parsed = rsdp::parse(&bytes).expect("a valid pointer");
    assert_eq!(
        roots(&parsed),
        [Root::Xsdt(0x1_2345_6789), Root::Rsdt(0x1000)]
    );
    assert_eq!(roots(&parsed)[0].address(), 0x1_2345_6789);
    assert_eq!(parsed.problem, None);
    assert_eq!(parsed.revision, 2);
}

#[test]
fn null_xsdt_falls_back_to_the_rsdt() {
    let parsed = rsdp::parse(&pointer(2, 0x1000, 36, 0)).expect("a valid pointer");
    assert_eq!(roots(&parsed), [Root::Rsdt(0x1000)]);
    assert_eq!(roots(&parsed)[0].address(), 0x1000);
    let error = rsdp::parse(&pointer(2, 0, 36, 0)).expect_err("no address");
    assert_eq!((error.kind, error.offset), (ErrorKind::NoAddress, 16));
    assert_eq!(kind(&pointer(0, 0, 36, 0x1000)), ErrorKind::NoAddress);
}

#[test]
fn checksum_covers_longer_pointers() {
    for length in [37, 40, 64, 4096] {
        let mut bytes = pointer(3, 0, length, 0x1000);
        let length = length as usize;
        assert_eq!((bytes.len(), rsdp::size(&bytes)), (length, length));
        assert_eq!(
            (rsdp::size(&bytes[..15]), rsdp::size(&bytes[..20])),
            (20, 36)
        );
        let parsed = rsdp::parse(&bytes).expect("a valid pointer");
        assert_eq!(
            (roots(&parsed), parsed.problem),
            ([Root::Xsdt(0x1000)].into(), None)
        );
        bytes[36] ^= 1;
        let parsed = rsdp::parse(&bytes).expect("its first part is valid");
        assert_eq!(roots(&parsed), [Root::Xsdt(0x1000)]);
        assert!(matches!(
            parsed.problem.map(|error| error.kind),
            Some(ErrorKind::Checksum { length: all, .. }) if all == length
        ));
    }
    let bytes = pointer(3, 0, 64, 0x1000);
    assert_eq!(
        kind(&bytes[..63]),
        ErrorKind::NotMapped {
            needed: 64,
            available: 63
        }
    );
}

#[test]
fn errors_of_invalid_rsdps() {
    let good = pointer(2, 0x1000, 36, 0x2000);
    for size in 0..36 {
        let error = rsdp::parse(&good[..size]).expect_err("too short");
        let needed = if size < 20 { 20 } else { 36 };
        assert_eq!(
            error.kind,
            ErrorKind::NotMapped {
                needed,
                available: size
            }
        );
        assert_eq!(error.fault(), Fault::Caller);
    }
    let mut other = good.clone();
    other[7] = b'_';
    assert_eq!(kind(&other), ErrorKind::Signature(Signature(*b"RSD ")));
    // Each checksum covers its own bytes: the first 20, the second 36.
    let mut first = good.clone();
    first[12] ^= 0x10;
    assert!(matches!(
        kind(&first),
        ErrorKind::Checksum { length: 20, .. }
    ));
    assert_eq!(kind(&pointer(1, 0, 36, 0x2000)), ErrorKind::Revision(1));
    let mut nowhere = pointer(2, 0, 36, 0x2000);
    nowhere[20] = 20;
    assert!(matches!(
        kind(&nowhere),
        ErrorKind::Length { length: 20, .. }
    ));
}

/// A valid first part is sufficient.
#[test]
fn invalid_extended_part() {
    let mut bytes = pointer(2, 0x1000, 36, 0x2000);
    bytes[25] ^= 0x10;
    let parsed = rsdp::parse(&bytes).expect("its first part is valid");
    assert_eq!(roots(&parsed), [Root::Rsdt(0x1000), Root::Xsdt(0x3000)]);
    let problem = parsed.problem.expect("a bad checksum");
    assert!(matches!(
        problem.kind,
        ErrorKind::Checksum { length: 36, .. }
    ));
    assert_eq!(problem.fault(), Fault::Firmware);
    for length in [0, 20, 35, 4097, u32::MAX] {
        let mut bytes = pointer(2, 0x1000, 36, 0x2000);
        bytes[20..24].copy_from_slice(&length.to_le_bytes());
        assert_eq!(rsdp::size(&bytes), 36);
        let parsed = rsdp::parse(&bytes).expect("its first part is valid");
        assert_eq!(roots(&parsed), [Root::Rsdt(0x1000)]);
        let said = parsed.problem.map(|error| error.kind);
        assert!(
            matches!(said, Some(ErrorKind::Length { length: l, min: 36, max: 4096 }) if l == length),
            "{length}: {said:?}"
        );
    }
    let bytes = pointer(1, 0x1000, 36, 0x2000);
    assert_eq!(rsdp::size(&bytes), 20);
    let parsed = rsdp::parse(&bytes[..20]).expect("its first part is valid");
    assert_eq!(roots(&parsed), [Root::Rsdt(0x1000)]);
    let problem = parsed.problem.map(|error| error.kind);
    assert_eq!(problem, Some(ErrorKind::Revision(1)));
}

/// A search that trusts all length fields must find only valid pointers, of 20 bytes.
#[test]
fn memory_to_search_is_simplified() {
    let mut sound = pointer(2, 0x1000, 36, 0x2000);
    sound[20..24].fill(0xff);
    let mut area = std::vec![0x55; 256];
    area[16..52].copy_from_slice(&sound[..36]);
    // Not with a wrong checksum, nor truncated by the end of the area.
    area[64..80].copy_from_slice(&sound[..16]);
    area[240..256].copy_from_slice(&sound[..16]);
    // Not at a multiple of 16 bytes.
    area[100..136].copy_from_slice(&sound[..36]);
    let mut expected = area.clone();
    (expected[64], expected[240]) = (0, 0);
    rsdp::simplify(&mut area);
    let pointer = rsdp::parse(&area[16..]).expect("a valid pointer");
    assert_eq!((pointer.revision, pointer.oem_id), (0, Text([0; 6])));
    assert_eq!(roots(&pointer), [Root::Rsdt(0x1000)]);
    area[24..32].copy_from_slice(&expected[24..32]);
    assert_eq!(area, expected);
    for length in 0..40 {
        rsdp::simplify(&mut sound[..length.min(36)].to_vec());
    }
}

#[test]
fn header_fields() {
    let bytes = Table::new(*b"TEST", 3).raw(b"body").build();
    let header = sdt::check(&bytes).expect("a valid table");
    assert_eq!(header.signature, Signature(*b"TEST"));
    assert_eq!(header.length, 40);
    assert_eq!(header.revision, 3);
    assert_eq!(header.checksum, bytes[9]);
    assert_eq!(header.oem_id.to_string(), "TOCSIN");
    assert_eq!(header.oem_table_id.to_string(), "TESTDATA");
    assert_eq!(header.oem_revision, 7);
    assert_eq!(header.creator_id.to_string(), "HAND");
    assert_eq!(header.creator_revision, 9);
    // The length can be read from the header alone.
    assert_eq!(sdt::Header::parse(&bytes[..36]), Ok(header));
    // The mapping may be longer than the table.
    let mut page = bytes.clone();
    page.resize(4096, 0xff);
    assert_eq!(sdt::check(&page), Ok(header));
}

#[test]
fn errors_of_invalid_tables() {
    let good = Table::new(*b"TEST", 3).raw(b"body").build();
    for size in 0..good.len() {
        let error = sdt::check(&good[..size]).expect_err("too short");
        let needed = if size < 36 { 36 } else { 40 };
        assert_eq!(
            error.kind,
            ErrorKind::NotMapped {
                needed,
                available: size
            }
        );
        assert_eq!(error.fault(), Fault::Caller);
    }
    for length in [0_u32, 1, 35, (16 << 20) + 1, u32::MAX] {
        let mut bytes = good.clone();
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        seal(&mut bytes);
        let error = sdt::check(&bytes).expect_err("a bad length");
        assert_eq!(
            error.kind,
            ErrorKind::Length {
                length,
                min: 36,
                max: 16 << 20
            }
        );
        assert_eq!((error.offset, error.fault()), (4, Fault::Firmware));
    }
    // Every single-byte change alters the sum.
    for at in 8..good.len() {
        let mut bytes = good.clone();
        bytes[at] = bytes[at].wrapping_add(1);
        let error = sdt::check(&bytes).expect_err("a bad checksum");
        assert_eq!(error.kind, ErrorKind::Checksum { sum: 1, length: 40 });
    }
}

#[test]
fn rsdt_has_entries_of_4_bytes() {
    let bytes = Table::new(*b"RSDT", 1)
        .u32(0x1000)
        .u32(0)
        .u32(0xffff_ffff)
        .u32(0)
        .build();
    let table = root::entries(&bytes).expect("a valid table");
    let addresses: Vec<_> = table.addresses().collect();
    assert_eq!(addresses, [0x1000, 0xffff_ffff]);
    assert_eq!(table.null_entries(), 2);
    assert_eq!(table.trailing(), None);
}

#[test]
fn xsdt_has_entries_of_8_bytes() {
    let bytes = Table::new(*b"XSDT", 1)
        .u64(0x1_0000_0000)
        .u64(0)
        .u64(u64::MAX)
        .build();
    // The entries start 36 bytes into the table, and the table may start at any address.
    for shift in 0..8 {
        let mut moved = std::vec![0; shift];
        moved.extend(&bytes);
        let table = root::entries(&moved[shift..]).expect("a valid table");
        let addresses: Vec<_> = table.addresses().collect();
        assert_eq!(addresses, [0x1_0000_0000, u64::MAX]);
        assert_eq!(table.null_entries(), 1);
    }
}

#[test]
fn trailing_bytes_are_reported() {
    for (signature, size) in [(*b"RSDT", 4), (*b"XSDT", 8)] {
        for odd in 1..size {
            let bytes = Table::new(signature, 1)
                .raw(&std::vec![0x11; size])
                .raw(&std::vec![0x22; odd])
                .build();
            let table = root::entries(&bytes).expect("a valid table");
            assert_eq!(table.addresses().count(), 1);
            let error = table.trailing().expect("an error");
            assert_eq!(error.offset, 36 + size);
            assert_eq!(
                error.kind,
                ErrorKind::Trailing {
                    bytes: odd,
                    entry: size
                }
            );
        }
    }
}

#[test]
fn only_root_tables_are_root_tables() {
    let bytes = Table::new(*b"FACP", 1).build();
    let error = root::entries(&bytes).expect_err("not a root table");
    assert_eq!(error.kind, ErrorKind::Signature(Signature::FADT));
    let empty = Table::new(*b"XSDT", 1).build();
    let table = root::entries(&empty).expect("empty, but sound");
    assert_eq!(table.addresses().count(), 0);
    assert_eq!(table.null_entries(), 0);
}

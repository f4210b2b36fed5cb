//! Tests of names, text fields and messages.

use crate::acpi::build::Table;
use crate::acpi::madt::{Madt, entry_name};
use crate::acpi::{AddressSpace, Error, ErrorKind, GenericAddress, Signature, Text, sdt};
use std::string::{String, ToString};
use std::vec::Vec;

#[test]
fn messages_name_table_offset_and_reason() {
    let bytes = Table::madt(3)
        .lapics((0..6).map(|n| (n, n)))
        .raw(&[0, 0])
        .build();
    let madt = Madt::parse(&bytes).expect("a valid table");
    let error = madt
        .entries()
        .last()
        .expect("an item")
        .expect_err("no length");
    assert_eq!(
        error.to_string(),
        "MADT: entry at offset 0x5c: type 0 needs 8 bytes, its length field says 0"
    );
    for (bytes, message) in [
        (
            Table::madt(3).raw(&[1, 12, 0, 0]).build(),
            "MADT: entry at offset 0x2c: type 1 of 12 bytes, but the table ends after 4",
        ),
        (
            Table::madt(3).raw(&[1]).build(),
            "MADT: offset 0x2c: 1 bytes are left, an entry has 2",
        ),
    ] {
        let madt = Madt::parse(&bytes).expect("a valid table");
        let error = madt.entries().last().expect("an item").expect_err("bad");
        assert_eq!(error.to_string(), message);
    }
    let mut bytes = Table::new(*b"FACP", 1).build();
    bytes[8] = 2;
    let message = |bytes: &[u8]| sdt::check(bytes).expect_err("bad").to_string();
    assert_eq!(
        message(&bytes),
        "FADT: bad checksum: its 36 bytes add up to 0x01, not 0"
    );
    assert_eq!(
        message(&bytes[..30]),
        "FADT: 30 bytes are mapped, 36 are needed"
    );
    bytes[4] = 35;
    assert_eq!(
        message(&bytes),
        "FADT: offset 0x4: the length field says 35 bytes; \
         at least 36 and at most 16777216 are possible"
    );
    assert_eq!(message(b""), "????: 0 bytes are mapped, 36 are needed");
}

#[test]
fn every_kind_has_a_sentence() {
    let kinds = [
        (
            ErrorKind::Signature(Signature(*b"A\0\x1bZ")),
            "offset 0x8: the signature is \"A\\x00\\x1bZ\"",
        ),
        (ErrorKind::NoAddress, "offset 0x8: the address is 0"),
        (
            ErrorKind::Revision(1),
            "offset 0x8: revision 1 does not exist",
        ),
        (
            ErrorKind::Space(3),
            "offset 0x8: a register in address space 3 cannot be used",
        ),
        (
            ErrorKind::Address(0x1234),
            "offset 0x8: the address 0x1234 is not possible",
        ),
        (
            ErrorKind::BusRange { first: 9, last: 3 },
            "entry at offset 0x8: first bus 9 is above the last, 3",
        ),
        (
            ErrorKind::BusOverlap {
                segment: 1,
                first: 0,
                last: 255,
            },
            "entry at offset 0x8: segment 1 buses 0 to 255: an earlier entry has some of them",
        ),
        (
            ErrorKind::TooMany { max: 128 },
            "offset 0x8: more than 128 entries",
        ),
        (
            ErrorKind::TimerLength(3),
            "offset 0x8: the PM timer has 3 bytes; 4 or none are possible",
        ),
    ];
    for (kind, sentence) in kinds {
        let error = Error {
            table: Signature::MCFG,
            offset: 8,
            kind,
        };
        let mut expected = String::from("MCFG: ");
        expected.push_str(sentence);
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn texts_are_printable() {
    assert_eq!(Text(*b"BOCHS ").to_string(), "BOCHS");
    assert_eq!(Text([0; 6]).to_string(), "");
    assert_eq!(Text(*b"A\0B C\0").to_string(), "A\\x00B C");
    assert_eq!(Text(*b"\x1b[2J\"\\").to_string(), "\\x1b[2J\\x22\\x5c");
    assert_eq!(Text(*b" \xff\0").to_string(), " \\xff");
    for byte in 0..=255 {
        let text = Text([b'x', byte, b'x']).to_string();
        assert!(text.chars().all(|c| (' '..='~').contains(&c)), "{byte:#x}");
        assert!(text.starts_with('x') && text.ends_with('x'));
    }
}

#[test]
fn signatures_have_descriptions() {
    for letters in [
        b"APIC", b"FACP", b"HPET", b"MCFG", b"DMAR", b"SRAT", b"SLIT", b"SSDT", b"DSDT", b"WAET",
        b"BGRT", b"RSDT", b"XSDT", b"TPM2", b"IVRS",
    ] {
        assert!(Signature(*letters).describe().is_some());
    }
    assert_eq!(
        Signature::MADT.describe(),
        Some("interrupt controllers and CPUs (MADT)")
    );
    assert_eq!(Signature(*b"OEMX").describe(), Some("the maker's own"));
    assert_eq!(Signature(*b"ZZZZ").describe(), None);
    assert_eq!(Signature(*b"\0\0\0\0").describe(), None);
    assert_eq!(Signature::MADT.to_string(), "APIC");
    assert_eq!(Signature::MADT.short_name().to_string(), "MADT");
    assert_eq!(Signature::FADT.short_name().to_string(), "FADT");
    assert_eq!(Signature::HPET.short_name().to_string(), "HPET");
}

/// The binary search requires it.
#[test]
fn the_list_of_signatures_is_sorted() {
    let letters: Vec<_> = crate::acpi::signature::KNOWN
        .iter()
        .map(|(letters, _)| letters)
        .collect();
    assert!(letters.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn addresses_texts() {
    let at = |space, address| GenericAddress {
        space,
        bit_width: 8,
        bit_offset: 0,
        access_size: 1,
        address,
    };
    for (address, words) in [
        (at(AddressSpace::Io, 0xcf9), "port 0xcf9"),
        (at(AddressSpace::Memory, 0xfed0_0000), "memory 0xfed00000"),
        // Device, function and offset, 16 bits each.
        (
            at(AddressSpace::PciConfiguration, 0x001f_0003_0040),
            "PCI 0:1f.3 configuration 0x40",
        ),
        (at(AddressSpace::Other(10), 1), "space 10 0x1"),
    ] {
        assert_eq!(address.to_string(), words);
    }
    for number in 0..=255 {
        let bytes = [number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let read = GenericAddress::read(&bytes, 0).expect("12 bytes");
        assert_eq!(read.space.number(), number);
        assert_eq!(GenericAddress::read(&bytes, 1), None);
    }
}

#[test]
fn entries_texts() {
    let bytes = Table::madt(5)
        .lapic(1, 0, 1)
        .x2apic(300, 0x12c, 2)
        .io_apic(2, 0xfec0_0000, 0)
        .iso(0, 0, 2, 0)
        .nmi_source(0x0d, 5)
        .nmi(0xff, 5, 1)
        .x2nmi(7, 0, 0)
        .address(0x1_fee0_0000)
        .raw(&[0x10, 4, 0, 0])
        .raw(&[0x55, 2])
        .build();
    let madt = Madt::parse(&bytes).expect("a valid table");
    let lines: Vec<_> = madt
        .entries()
        .map(|entry| entry.expect("good").value.to_string())
        .collect();
    assert_eq!(
        lines,
        [
            "local APIC: UID 1, APIC ID 0x00, enabled",
            "local x2APIC: UID 300, APIC ID 0x12c, not enabled, online-capable",
            "I/O APIC: ID 0x02, address 0xfec00000, GSIs from 0",
            "override: bus 0 IRQ 0 is GSI 2, polarity of the bus, trigger of the bus",
            "NMI source: GSI 5, active high, level",
            "local APIC NMI: all CPUs, LINT1, active high, edge",
            "local x2APIC NMI: UID 7, LINT0, polarity of the bus, trigger of the bus",
            "local APIC address: 0x1fee00000",
            "skipped: type 0x10, 4 bytes (multiprocessor wakeup)",
            "skipped: type 0x55, 2 bytes",
        ]
    );
    assert_eq!(entry_name(0x0d), Some("GIC MSI frame"));
    assert_eq!(entry_name(0x18), None);
    assert_eq!(entry_name(0x80), Some("the maker's own"));
}

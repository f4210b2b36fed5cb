//! Tests of the fixed tables: HPET, MCFG, FADT.

use crate::acpi::build::{Table, seal};
use crate::acpi::mcfg::{self, MAX_SEGMENTS, Segment};
use crate::acpi::{AddressSpace, Error, ErrorKind, GenericAddress, Signature, fadt, hpet};
use std::string::ToString;
use std::vec::Vec;

/// An HPET table like QEMU's: vendor 8086h, three comparators, 64 bits, legacy replacement.
fn hpet_table(id: u32, space: u8, address: u64) -> Vec<u8> {
    Table::new(*b"HPET", 1)
        .u32(id)
        .raw(&[space, 64, 0, 0])
        .u64(address)
        .raw(&[2, 0x80, 0x00, 0x05])
        .build()
}

#[test]
fn hpet_fields() {
    let bytes = hpet_table(0x8086_a201, 0, 0xfed0_0000);
    let hpet = hpet::parse(&bytes).expect("a valid table");
    assert_eq!(hpet.address, 0xfed0_0000);
    assert_eq!(hpet.number, 2);
    assert_eq!(hpet.minimum_tick, 0x80);
    assert_eq!(hpet.attributes, 5);
    assert_eq!(hpet.revision(), 1);
    assert_eq!(hpet.comparators(), 3);
    assert!(hpet.is_64_bit() && hpet.legacy_replacement());
    assert_eq!(hpet.vendor(), 0x8086);
    let bytes = hpet_table(0x1022_1f10, 0, 0xfed0_0000);
    let hpet = hpet::parse(&bytes).expect("a valid table");
    assert_eq!(hpet.comparators(), 32);
    assert!(!hpet.is_64_bit() && !hpet.legacy_replacement());
}

#[test]
fn hpet_addresses() {
    for (space, address, offset, kind) in [
        (1, 0xfed0_0000, 40, ErrorKind::Space(1)),
        (0, 0, 44, ErrorKind::NoAddress),
        (0, 0xfed0_0004, 44, ErrorKind::Address(0xfed0_0004)),
        (0, 1 << 52, 44, ErrorKind::Address(1 << 52)),
    ] {
        let error = hpet::parse(&hpet_table(0x8086_a201, space, address)).expect_err("unusable");
        assert_eq!((error.offset, error.kind), (offset, kind));
    }
    let short = Table::new(*b"HPET", 1).raw(&[0; 19]).build();
    let error = hpet::parse(&short).expect_err("too short");
    assert!(matches!(
        error.kind,
        ErrorKind::Length {
            length: 55,
            min: 56,
            ..
        }
    ));
}

fn mcfg_table(entries: impl IntoIterator<Item = (u64, u16, u8, u8)>) -> Vec<u8> {
    entries
        .into_iter()
        .fold(
            Table::new(*b"MCFG", 1).u64(0),
            |table, (base, group, first, last)| {
                table.u64(base).u16(group).raw(&[first, last]).u32(0)
            },
        )
        .build()
}

fn segments(bytes: &[u8]) -> Vec<Result<Segment, Error>> {
    mcfg::parse(bytes)
        .expect("a valid table")
        .segments()
        .map(|item| item.map(|found| found.value))
        .collect()
}

#[test]
fn mcfg_segments() {
    let bytes = mcfg_table([(0xe000_0000, 0, 0, 127), (0x10_0000_0000, 1, 16, 31)]);
    let found = segments(&bytes);
    let first = found[0].expect("good");
    assert_eq!(first.memory(), (0xe000_0000, 128 << 20));
    assert_eq!(first.function(0, 0, 0), Some(0xe000_0000));
    assert_eq!(first.function(1, 2, 3), Some(0xe011_3000));
    assert_eq!(first.function(127, 31, 7), Some(0xe7ff_f000));
    for (bus, device, function) in [(128, 0, 0), (0, 32, 0), (0, 0, 8)] {
        assert_eq!(first.function(bus, device, function), None);
    }
    let second = found[1].expect("good");
    // The base is the address of bus 0, even if the range starts at a higher bus.
    assert_eq!(second.memory(), (0x10_0100_0000, 16 << 20));
    assert_eq!(second.function(15, 0, 0), None);
    assert_eq!(second.function(16, 0, 0), Some(0x10_0100_0000));
    assert_eq!(
        second.to_string(),
        "segment 1 buses 16 to 31 at 0x1001000000"
    );
    assert_eq!(found.len(), 2);
}

#[test]
fn invalid_mcfg_entries_are_reported() {
    let bytes = mcfg_table([
        (0xe000_0000, 0, 9, 3),
        (0, 0, 0, 255),
        (0xe000_1000, 0, 0, 255),
        (1 << 52, 0, 0, 255),
        ((1 << 52) - (1 << 20), 0, 0, 255),
        (u64::MAX, 0, 0, 255),
        (0xe000_0000, 0, 0, 15),
        (0xf000_0000, 0, 15, 20),
        (0xf000_0000, 0, 16, 20),
        (0xf000_0000, 1, 8, 255),
        // This range ends at the first bus of an earlier one.
        (0xf000_0000, 1, 0, 8),
        (0xf000_0000, 1, 0, 7),
    ]);
    let kinds: Vec<_> = mcfg::parse(&bytes)
        .expect("a valid table")
        .segments()
        .map(|item| item.map(|_| ()).map_err(|error| (error.offset, error.kind)))
        .collect();
    assert_eq!(
        kinds,
        [
            Err((44, ErrorKind::BusRange { first: 9, last: 3 })),
            Err((60, ErrorKind::NoAddress)),
            Err((76, ErrorKind::Address(0xe000_1000))),
            Err((92, ErrorKind::Address(1 << 52))),
            Err((108, ErrorKind::Address((1 << 52) - (1 << 20)))),
            Err((124, ErrorKind::Address(u64::MAX))),
            Ok(()),
            Err((
                156,
                ErrorKind::BusOverlap {
                    segment: 0,
                    first: 15,
                    last: 20
                }
            )),
            Ok(()),
            Ok(()),
            Err((
                204,
                ErrorKind::BusOverlap {
                    segment: 1,
                    first: 0,
                    last: 8
                }
            )),
            Ok(()),
        ]
    );
}

#[test]
fn mcfg_ends() {
    let mut table = mcfg_table([(0xe000_0000, 0, 0, 255)]);
    assert_eq!(segments(&table).len(), 1);
    table.extend([0; 15]);
    table[4] += 15;
    seal(&mut table);
    let found = segments(&table);
    assert_eq!(found.len(), 2);
    let error = found[1].expect_err("too few bytes");
    assert_eq!(error.offset, 60);
    let kind = ErrorKind::Trailing {
        bytes: 15,
        entry: 16,
    };
    assert_eq!(error.kind, kind);
    // With more ranges than the walk can check, it ends with an error instead of silently.
    let many = mcfg_table((0..200).map(|group| (0xe000_0000, group, 0, 255)));
    let found = segments(&many);
    assert_eq!(found.len(), MAX_SEGMENTS + 1);
    assert!(found[..MAX_SEGMENTS].iter().all(Result::is_ok));
    let error = found[MAX_SEGMENTS].expect_err("too many");
    assert_eq!(error.kind, ErrorKind::TooMany { max: MAX_SEGMENTS });
    assert_eq!(segments(&mcfg_table([])), []);
}

/// An offset, and the bytes at it.
type Field<'a> = (usize, &'a [u8]);

/// A FADT of this length with the given bytes at the given offsets.
fn fadt_table(revision: u8, length: usize, fields: &[Field<'_>]) -> Vec<u8> {
    let mut bytes = Table::new(*b"FACP", revision)
        .raw(&std::vec![0; length - 36])
        .build();
    for (offset, field) in fields {
        bytes[*offset..offset + field.len()].copy_from_slice(field);
    }
    seal(&mut bytes);
    bytes
}

const RESET_SUPPORTED: [u8; 4] = [0, 0x04, 0, 0];

#[test]
fn fadt_of_acpi_1() {
    let bytes = fadt_table(
        1,
        116,
        &[
            (46, &[9, 0]),
            (76, &[0x08, 0xb0, 0, 0]),
            (91, &[4]),
            (108, &[0x32]),
            (109, &[0xff, 0xff]),
            // The bit is set, but the table ends before the register.
            (112, &RESET_SUPPORTED),
        ],
    );
    let (fadt, problem) = fadt::parse(&bytes).expect("a valid table");
    assert_eq!(problem, None);
    assert_eq!(fadt.sci_interrupt, 9);
    let timer = fadt.pm_timer.expect("a timer");
    assert_eq!(timer.register.space, AddressSpace::Io);
    assert_eq!(timer.register.address, 0xb008);
    assert!(!timer.wide);
    assert_eq!(timer.to_string(), "port 0xb008, 24 bits");
    assert_eq!(fadt.century, 0x32);
    assert_eq!(fadt.boot_architecture, None);
    assert_eq!(fadt.reset, None);
}

#[test]
fn fadt_of_acpi_2_and_later() {
    let gas = [1, 32, 0, 3, 0x08, 0x06, 0, 0, 0, 0, 0, 0];
    let reset = [1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0];
    let fields: [Field<'_>; 7] = [
        (76, &[0x08, 0xb0, 0, 0]),
        (91, &[4]),
        (109, &[0x3b, 0]),
        (112, &[0, 0x05, 0, 0]),
        (116, &reset),
        (128, &[0x0f]),
        (208, &gas),
    ];
    for length in [244, 268, 276, 300] {
        let (fadt, problem) = fadt::parse(&fadt_table(6, length, &fields)).expect("valid");
        assert_eq!(problem, None);
        // The extended address takes precedence.
        let timer = fadt.pm_timer.expect("a timer");
        assert_eq!(timer.register.address, 0x608);
        assert!(timer.wide);
        let reset = fadt.reset.expect("a reset register");
        assert_eq!(reset.register.address, 0xcf9);
        assert_eq!(reset.value, 0x0f);
        let boot = fadt.boot_architecture.expect("the flags");
        assert!(boot.has_legacy_devices() && boot.may_probe_vga());
        assert!(!boot.msi_supported() && !boot.has_cmos_rtc());
        assert!(fadt.flags.has(fadt::Flags::TIMER_32_BIT));
        assert!(!fadt.flags.has(fadt::Flags::HARDWARE_REDUCED));
    }
    // If the table ends within the extended address, the port is used.
    for length in [132, 208, 219] {
        let fields = &fields[..6];
        let (fadt, _) = fadt::parse(&fadt_table(3, length, fields)).expect("valid");
        assert_eq!(fadt.pm_timer.expect("a timer").register.address, 0xb008);
        assert!(fadt.reset.is_some());
    }
    // A table that ends before the reset value has no reset register.
    let (fadt, _) = fadt::parse(&fadt_table(3, 128, &fields[..5])).expect("valid");
    assert_eq!(fadt.reset, None);
}

#[test]
fn pm_timer_problems_cost_only_the_timer() {
    let port: Field<'_> = (76, &[0x08, 0xb0, 0, 0]);
    let other_space = [2, 32, 0, 3, 8, 0, 0, 0, 0, 0, 0, 0];
    let high_port = [1, 32, 0, 3, 0xfd, 0xff, 0, 0, 0, 0, 0, 0];
    let cases: [(&[Field<'_>], usize, ErrorKind); 6] = [
        (&[port, (91, &[3])], 91, ErrorKind::TimerLength(3)),
        (&[(91, &[4])], 76, ErrorKind::NoAddress),
        (
            &[(76, &[0, 0, 1, 0]), (91, &[4])],
            76,
            ErrorKind::Address(0x1_0000),
        ),
        (
            &[port, (91, &[4]), (208, &other_space)],
            208,
            ErrorKind::Space(2),
        ),
        (
            &[port, (91, &[4]), (208, &high_port)],
            212,
            ErrorKind::Address(0xfffd),
        ),
        (&[port, (91, &[255])], 91, ErrorKind::TimerLength(255)),
    ];
    for (fields, offset, kind) in cases {
        let (fadt, problem) = fadt::parse(&fadt_table(4, 244, fields)).expect("valid");
        assert_eq!(fadt.pm_timer, None);
        let problem = problem.expect("a problem");
        assert_eq!((problem.offset, problem.kind), (offset, kind));
    }
    // A missing timer is not an error; nor are any timer fields with hardware-reduced ACPI.
    for fields in [
        &[port] as &[Field<'_>],
        &[port, (91, &[4]), (112, &[0, 0, 0x10, 0])],
    ] {
        let (fadt, problem) = fadt::parse(&fadt_table(5, 268, fields)).expect("valid");
        assert_eq!((fadt.pm_timer, problem), (None, None));
    }
}

#[test]
fn reset_registers() {
    let register = |space, address: u32| {
        let mut gas = [space, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        gas[4..8].copy_from_slice(&address.to_le_bytes());
        gas
    };
    for (gas, flags, usable) in [
        (register(1, 0xcf9), RESET_SUPPORTED, true),
        (register(1, 0xcf9), [0; 4], false),
        (register(1, 0), RESET_SUPPORTED, false),
        (register(0, 0), RESET_SUPPORTED, false),
        (register(0, 0xfed0_0000), RESET_SUPPORTED, true),
        (register(2, 0), RESET_SUPPORTED, true),
        (register(0x7f, 1), RESET_SUPPORTED, false),
    ] {
        let bytes = fadt_table(3, 244, &[(112, &flags), (116, &gas), (128, &[6])]);
        let (fadt, _) = fadt::parse(&bytes).expect("valid");
        assert_eq!(fadt.reset.is_some(), usable, "{gas:?}");
        if let Some(reset) = fadt.reset {
            assert_eq!(reset.value, 6);
            assert_eq!(GenericAddress::read(&gas, 0), Some(reset.register));
        }
    }
}

#[test]
fn fadt_bounds() {
    let short = Table::new(*b"FACP", 1).raw(&[0; 79]).build();
    let error = fadt::parse(&short).expect_err("too short");
    assert_eq!(error.table, Signature::FADT);
    assert!(matches!(
        error.kind,
        ErrorKind::Length {
            length: 115,
            min: 116,
            ..
        }
    ));
}

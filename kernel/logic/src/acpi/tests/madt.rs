//! Tests of the MADT and its entries.

use crate::acpi::build::{Table, seal};
use crate::acpi::madt::{
    CpuFlags, Entry, InterruptFlags, IoApic, LocalApic, LocalNmi, Madt, NmiSource, NmiTarget,
    Override, Setting,
};
use crate::acpi::{Error, ErrorKind, Gsi, Located, Signature};
use crate::apic::{ApicId, Polarity, Trigger};
use std::string::ToString;
use std::vec::Vec;

/// All items of the walk.
fn walk(bytes: &[u8]) -> Vec<Result<Located<Entry>, Error>> {
    Madt::parse(bytes)
        .expect("sound as a whole")
        .entries()
        .collect()
}

/// The only entry of a table.
fn only(table: Table) -> Entry {
    let bytes = table.build();
    let mut entries = Madt::parse(&bytes).expect("sound as a whole").entries();
    let found = entries.next().expect("an entry").expect("a good entry");
    assert_eq!(found.offset, 44);
    assert_eq!(entries.next(), None);
    found.value
}

#[test]
fn fixed_part() {
    let bytes = Table::new(*b"APIC", 4).u32(0xfee0_1000).u32(0).build();
    let madt = Madt::parse(&bytes).expect("a MADT without entries");
    assert_eq!(madt.local_apic_address, 0xfee0_1000);
    assert!(!madt.has_8259());
    assert_eq!(madt.header.revision, 4);
    assert!(!madt.has_online_capable());
    assert_eq!(madt.entries().count(), 0);
    let bytes = Table::madt(5).build();
    let madt = Madt::parse(&bytes).expect("a MADT without entries");
    assert!(madt.has_8259() && madt.has_online_capable());
    // Only bit 0 is relevant.
    let bytes = Table::new(*b"APIC", 4).u32(0).u32(0xffff_fffe).build();
    assert!(!Madt::parse(&bytes).expect("a MADT").has_8259());
}

#[test]
fn not_a_madt() {
    let error = |bytes: &[u8]| Madt::parse(bytes).expect_err("not a MADT").kind;
    assert_eq!(
        error(&Table::new(*b"FACP", 1).build()),
        ErrorKind::Signature(Signature::FADT)
    );
    assert_eq!(
        error(&Table::new(*b"APIC", 1).u32(0).raw(&[0; 3]).build()),
        ErrorKind::Length {
            length: 43,
            min: 44,
            max: 16 << 20
        }
    );
    let mut bytes = Table::madt(1).lapic(0, 0, 1).build();
    bytes[50] ^= 0xff;
    assert!(matches!(error(&bytes), ErrorKind::Checksum { .. }));
    assert_eq!(
        error(&bytes[..44]),
        ErrorKind::NotMapped {
            needed: 52,
            available: 44
        }
    );
}

#[test]
fn each_type() {
    assert_eq!(
        only(Table::madt(1).lapic(3, 0x21, 1)),
        Entry::LocalApic(LocalApic {
            uid: 3,
            apic_id: ApicId(0x21),
            flags: CpuFlags(1),
        })
    );
    assert_eq!(
        only(Table::madt(1).io_apic(0x82, 0xfec0_1000, 56)),
        Entry::IoApic(IoApic {
            id: 0x82,
            address: 0xfec0_1000,
            gsi_base: Gsi(56),
        })
    );
    assert_eq!(
        only(Table::madt(1).iso(1, 9, 0x0102_0304, 0x000d)),
        Entry::Override(Override {
            bus: 1,
            source: 9,
            gsi: Gsi(0x0102_0304),
            flags: InterruptFlags(0x000d),
        })
    );
    assert_eq!(
        only(Table::madt(1).nmi_source(0x000f, 77)),
        Entry::NmiSource(NmiSource {
            flags: InterruptFlags(0x000f),
            gsi: Gsi(77),
        })
    );
    for (uid, target) in [(0xff, NmiTarget::All), (0xfe, NmiTarget::Uid(0xfe))] {
        assert_eq!(
            only(Table::madt(1).nmi(uid, 0x0105, 1)),
            Entry::LocalApicNmi(LocalNmi {
                target,
                flags: InterruptFlags(0x0105),
                lint: 1,
            })
        );
    }
    assert_eq!(
        only(Table::madt(1).address(0x1_fee0_0000)),
        Entry::LocalApicAddress(0x1_fee0_0000)
    );
    assert_eq!(
        only(Table::madt(1).x2apic(0x1000_0001, 0x2000_0002, 3)),
        Entry::LocalX2Apic(LocalApic {
            uid: 0x1000_0001,
            apic_id: ApicId(0x2000_0002),
            flags: CpuFlags(3),
        })
    );
    for (uid, target) in [(u32::MAX, NmiTarget::All), (0xff, NmiTarget::Uid(0xff))] {
        assert_eq!(
            only(Table::madt(1).x2nmi(uid, 5, 0)),
            Entry::LocalX2ApicNmi(LocalNmi {
                target,
                flags: InterruptFlags(5),
                lint: 0,
            })
        );
    }
}

/// The walk skips every other type by its length.
#[test]
fn unknown_types_are_skipped() {
    const KNOWN: [u8; 8] = [0, 1, 2, 3, 4, 5, 9, 0x0a];
    for kind in (0..=255_u8).filter(|kind| !KNOWN.contains(kind)) {
        for length in [2, 3, 16, 255] {
            let mut entry = std::vec![0xee; usize::from(length)];
            entry[..2].copy_from_slice(&[kind, length]);
            let found = walk(&Table::madt(1).raw(&entry).lapic(1, 1, 1).build());
            assert_eq!(found.len(), 2);
            assert_eq!(
                found[0].map(|entry| entry.value),
                Ok(Entry::Unknown { kind, length })
            );
            let behind = found[1].expect("the CPU behind it");
            assert_eq!(behind.offset, 44 + usize::from(length));
        }
    }
}

/// The sizes of ACPI 6.5, which are also the minimum.
const SIZES: [(u8, u8); 8] = [
    (0, 8),
    (1, 12),
    (2, 10),
    (3, 8),
    (4, 6),
    (5, 12),
    (9, 16),
    (0x0a, 12),
];

#[test]
fn short_entries_are_skipped() {
    for (kind, needed) in SIZES {
        for length in 2..=255 {
            let mut entry = std::vec![0; usize::from(length)];
            entry[..2].copy_from_slice(&[kind, length]);
            let found = walk(&Table::madt(1).raw(&entry).io_apic(7, 16, 0).build());
            assert_eq!(found.len(), 2, "type {kind} of {length} bytes");
            assert_eq!(found[0].is_ok(), length >= needed);
            if let Err(error) = found[0] {
                assert_eq!(error.offset, 44);
                assert_eq!(
                    error.kind,
                    ErrorKind::EntryShort {
                        kind: kind.into(),
                        needed: needed.into(),
                        length: length.into(),
                    }
                );
            }
            // The walk continues after the invalid entry.
            assert!(matches!(
                found[1],
                Ok(Located {
                    value: Entry::IoApic(IoApic { id: 7, .. }),
                    ..
                })
            ));
        }
    }
}

#[test]
fn entries_without_a_length_end_the_walk() {
    for kind in 0..=255 {
        for length in [0, 1] {
            let bytes = Table::madt(1)
                .lapic(0, 0, 1)
                .raw(&[kind, length])
                .lapic(1, 1, 1)
                .build();
            let found = walk(&bytes);
            assert_eq!(found.len(), 2);
            assert!(found[0].is_ok());
            let error = found[1].expect_err("no length");
            assert_eq!(error.offset, 52);
            assert!(matches!(
                error.kind,
                ErrorKind::EntryShort { length: l, .. } if l == length.into()
            ));
        }
    }
}

#[test]
fn entries_beyond_the_table_end_the_walk() {
    for kind in 0..=255 {
        for left in 2..20_u8 {
            let mut entry = std::vec![0; usize::from(left)];
            entry[..2].copy_from_slice(&[kind, left + 1]);
            // The bytes after the table are mapped, but must not be read.
            let mut bytes = Table::madt(1).raw(&entry).build();
            bytes.extend([0xcc; 300]);
            let found = walk(&bytes);
            assert_eq!(found.len(), 1);
            assert_eq!(
                found[0].expect_err("too long").kind,
                ErrorKind::EntryOverrun {
                    kind: kind.into(),
                    length: u16::from(left) + 1,
                    left: left.into()
                }
            );
        }
    }
}

#[test]
fn one_byte_behind_the_last_entry() {
    let found = walk(&Table::madt(1).lapic(0, 0, 1).raw(&[0]).build());
    assert_eq!(found.len(), 2);
    let error = found[1].expect_err("one byte is no entry");
    assert_eq!(error.offset, 52);
    assert_eq!(error.kind, ErrorKind::Trailing { bytes: 1, entry: 2 });
}

#[test]
fn entries_need_no_alignment() {
    let mut bytes = Table::madt(1)
        .nmi(0, 5, 1)
        .raw(&[0x7f, 3, 0])
        .x2apic(1, 0x100, 1)
        .raw(&[0x7f, 3, 0])
        .address(0x1_0000_0000)
        .build();
    bytes.insert(0, 0);
    let bytes = &mut bytes[1..];
    seal(bytes);
    let found: Vec<_> = walk(bytes)
        .into_iter()
        .map(|entry| entry.expect("good"))
        .collect();
    assert_eq!(found[2].offset, 53);
    assert!(matches!(found[2].value, Entry::LocalX2Apic(cpu) if cpu.apic_id == ApicId(0x100)));
    assert_eq!(found[4].value, Entry::LocalApicAddress(0x1_0000_0000));
}

/// All 16 values of both fields; the bits above them do not affect the result.
#[test]
fn interrupt_flags() {
    let fields = [
        (Setting::Conforming, Setting::Conforming),
        (
            Setting::Explicit(Polarity::High),
            Setting::Explicit(Trigger::Edge),
        ),
        (Setting::Reserved, Setting::Reserved),
        (
            Setting::Explicit(Polarity::Low),
            Setting::Explicit(Trigger::Level),
        ),
    ];
    for upper in [0_u16, 0xfff0] {
        for (p, (polarity, _)) in (0..).zip(fields) {
            for (t, (_, trigger)) in (0..).zip(fields) {
                let flags = InterruptFlags(upper | t << 2 | p);
                assert_eq!(flags.polarity(), polarity);
                assert_eq!(flags.trigger(), trigger);
                assert_eq!(flags.has_reserved(), upper != 0 || p == 2 || t == 2);
                assert_eq!(flags.reserved_bits(), upper);
                let level = if t == 3 {
                    Trigger::Level
                } else {
                    Trigger::Edge
                };
                let low = if p == 3 {
                    Polarity::Low
                } else {
                    Polarity::High
                };
                assert_eq!(flags.on_isa(), (low, level));
            }
        }
    }
    assert_eq!(InterruptFlags(0x0d).to_string(), "active high, level");
    assert_eq!(InterruptFlags(0x07).to_string(), "active low, edge");
    assert_eq!(
        InterruptFlags(0).to_string(),
        "polarity of the bus, trigger of the bus"
    );
    assert_eq!(
        InterruptFlags(0x0a).to_string(),
        "reserved polarity 2, reserved trigger 2"
    );
}

#[test]
fn cpu_flags() {
    for (bits, enabled, online_capable) in [
        (0, false, false),
        (1, true, false),
        (2, false, true),
        (3, true, true),
        (0xffff_fffc, false, false),
    ] {
        assert_eq!(CpuFlags(bits).enabled(), enabled);
        assert_eq!(CpuFlags(bits).online_capable(), online_capable);
    }
}

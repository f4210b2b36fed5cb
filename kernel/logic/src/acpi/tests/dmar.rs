//! The DMAR, whose structures and scopes are built here byte by byte.

use crate::acpi::build::Table;
use crate::acpi::dmar::{Scope, ScopeKind, Scopes, Structure, Structures};
use crate::acpi::{Dmar, ErrorKind};
use std::string::{String, ToString};
use std::vec::Vec;

/// A DMAR with this host address width and these flags, without structures.
fn table(width: u8, flags: u8) -> Table {
    Table::new(*b"DMAR", 1)
        .raw(&[width - 1, flags])
        .raw(&[0; 10])
}

/// A structure with this type, the fields after the length, and scopes.
fn structure(kind: u16, fields: &[u8], scopes: &[&[u8]]) -> Vec<u8> {
    let body = [fields, &scopes.concat()].concat();
    let length = u16::try_from(4 + body.len()).expect("a small structure");
    [&kind.to_le_bytes()[..], &length.to_le_bytes(), &body].concat()
}

fn drhd(flags: u8, size: u8, segment: u16, base: u64, scopes: &[&[u8]]) -> Vec<u8> {
    let segment = segment.to_le_bytes();
    let fields = [&[flags, size][..], &segment, &base.to_le_bytes()].concat();
    structure(0, &fields, scopes)
}

fn rmrr(segment: u16, base: u64, limit: u64, scopes: &[&[u8]]) -> Vec<u8> {
    let segment = segment.to_le_bytes();
    let fields = [
        &[0, 0][..],
        &segment,
        &base.to_le_bytes(),
        &limit.to_le_bytes(),
    ]
    .concat();
    structure(1, &fields, scopes)
}

/// The structures and errors, formatted.
fn walk(bytes: &[u8]) -> Vec<String> {
    let dmar = Dmar::parse(bytes).expect("a valid table");
    let text = |found: <Structures<'_> as Iterator>::Item| match found {
        Ok(found) => found.value.to_string(),
        Err(error) => error.to_string(),
    };
    dmar.structures().map(text).collect()
}

/// The scopes of the first structure, formatted.
fn scopes(bytes: &[u8]) -> Vec<String> {
    let dmar = Dmar::parse(bytes).expect("a valid table");
    let first = dmar
        .structures()
        .next()
        .expect("a structure")
        .expect("a valid one");
    let each = |it: <Scopes<'_> as Iterator>::Item| match it {
        Ok(found) => found.value.to_string(),
        Err(error) => error.to_string(),
    };
    first.value.scopes().map(each).collect()
}

#[test]
fn the_fixed_part() {
    let bytes = table(46, 3).build();
    let dmar = Dmar::parse(&bytes).expect("a valid table");
    assert_eq!(dmar.host_address_width, 46);
    assert!(dmar.remaps_interrupts() && dmar.opts_out_of_x2apic());
    assert_eq!(dmar.structures().count(), 0);
    // Without interrupt remapping, the opt-out has no meaning.
    let bytes = table(39, 2).build();
    assert!(
        !Dmar::parse(&bytes)
            .expect("a valid table")
            .opts_out_of_x2apic()
    );
    let short = Table::new(*b"DMAR", 1).raw(&[0; 11]).build();
    assert!(matches!(
        Dmar::parse(&short).expect_err("one byte is missing").kind,
        ErrorKind::Length {
            length: 47,
            min: 48,
            ..
        }
    ));
}

#[test]
fn each_structure() {
    let andd = [&[0, 0, 0, 9][..], b"\\_SB.DEV0\0\0\0"].concat();
    let rhsa = [
        &[0; 4][..],
        &0xfed9_0000_u64.to_le_bytes(),
        &2_u32.to_le_bytes(),
    ]
    .concat();
    let bytes = table(39, 1)
        .raw(&drhd(0, 0, 1, 0xfed9_1000, &[&[1, 8, 0, 0, 0, 2, 0x1f, 7]]))
        .raw(&drhd(1, 2, 0, 0xfed9_0000, &[]))
        .raw(&rmrr(0, 0x7b80_0000, 0x7fff_ffff, &[]))
        .raw(&structure(2, &[1, 0, 3, 0], &[]))
        .raw(&structure(3, &rhsa, &[]))
        .raw(&structure(4, &andd, &[]))
        .raw(&structure(5, &[1, 0, 0, 0], &[]))
        .raw(&structure(6, &[0, 0, 4, 0], &[]))
        .raw(&structure(7, &[1, 2, 3], &[]))
        .build();
    assert_eq!(
        walk(&bytes),
        [
            "DRHD: segment 1, registers at 0xfed91000, 4 KiB",
            "DRHD: segment 0, registers at 0xfed90000, 16 KiB, all other devices",
            "RMRR: segment 0, memory 0x7b800000 to 0x7fffffff",
            "ATSR: segment 3, all root ports",
            "RHSA: registers at 0xfed90000, proximity domain 2",
            "ANDD: device 9, \\\\_SB.DEV0",
            "SATC: segment 0, cache required",
            "SIDP: segment 4",
            "skipped: type 7, 7 bytes",
        ]
    );
    assert_eq!(scopes(&bytes), ["function at 02:1f.7"]);
}

/// The values of which a structure consists are checked.
#[test]
fn values_out_of_range() {
    let bytes = table(39, 1)
        .raw(&drhd(0, 0, 0, 0, &[]))
        .raw(&drhd(0, 0, 0, 0xfed9_0800, &[]))
        .raw(&drhd(0, 1, 0, 0xfed9_1000, &[]))
        .raw(&rmrr(0, 0x1000, 0x0fff, &[]))
        .raw(&rmrr(0, 0x1000, 0x2000, &[]))
        .raw(&rmrr(0, 0x1001, 0x1fff, &[]))
        .build();
    assert_eq!(
        walk(&bytes),
        [
            "DMAR: offset 0x30: the address is 0",
            "DMAR: offset 0x40: the address 0xfed90800 is not possible",
            "DMAR: offset 0x50: the address 0xfed91000 is not possible",
            "DMAR: entry at offset 0x60: memory 0x1000 to 0xfff is no range of pages",
            "DMAR: entry at offset 0x78: memory 0x1000 to 0x2000 is no range of pages",
            "DMAR: entry at offset 0x90: memory 0x1001 to 0x1fff is no range of pages",
        ]
    );
}

#[test]
fn short_structures_are_skipped() {
    for (kind, needed) in [
        (0, 16),
        (1, 24),
        (2, 8),
        (3, 20),
        (4, 9),
        (5, 8),
        (6, 8),
        (9, 4),
    ] {
        for length in 4..needed {
            let fields = std::vec![0; usize::from(length) - 4];
            let bytes = table(39, 1)
                .raw(&structure(kind, &fields, &[]))
                .raw(&structure(7, &[], &[]))
                .build();
            let dmar = Dmar::parse(&bytes).expect("a valid table");
            let found: Vec<_> = dmar.structures().collect();
            assert_eq!(found.len(), 2);
            let error = found[0].clone().expect_err("a short structure");
            let expected = ErrorKind::EntryShort {
                kind,
                needed,
                length,
            };
            assert_eq!((error.offset, error.kind), (48, expected));
            assert!(found[1].is_ok());
        }
    }
}

#[test]
fn the_walk_ends_at_an_invalid_length() {
    let cases: [(&[u8], &str); 4] = [
        (
            &[7, 0, 3, 0],
            "type 7 needs 4 bytes, its length field says 3",
        ),
        (
            &[0, 0, 0, 0],
            "type 0 needs 16 bytes, its length field says 0",
        ),
        (
            &[7, 0, 9, 0],
            "type 7 of 9 bytes, but the table ends after 4",
        ),
        (&[7, 0, 9], "3 bytes are left, an entry has 4"),
    ];
    for (tail, expected) in cases {
        let found = walk(&table(39, 1).raw(&structure(7, &[], &[])).raw(tail).build());
        assert_eq!(found.len(), 2, "{tail:?}");
        assert!(found[1].ends_with(expected), "{}", found[1]);
    }
}

#[test]
fn each_scope() {
    let all: [&[u8]; 6] = [
        &[1, 8, 0, 0, 0, 0, 2, 0],
        &[2, 10, 0, 0, 0, 0, 0x1c, 4, 3, 1],
        &[3, 8, 0, 0, 8, 0xf0, 0x1f, 0],
        &[4, 8, 0, 0, 1, 0xf0, 0xf, 0],
        &[5, 8, 0, 0, 9, 0, 0x15, 0],
        &[6, 8, 0, 0, 0, 0, 1, 0],
    ];
    let bytes = table(39, 1).raw(&drhd(1, 0, 0, 0xfed9_0000, &all)).build();
    assert_eq!(
        scopes(&bytes),
        [
            "function at 00:02.0",
            "bridge at 00:1c.4/03.1",
            "I/O APIC 8 at f0:1f.0",
            "HPET 1 at f0:0f.0",
            "ACPI device 9 at 00:15.0",
            "type 6 at 00:01.0",
        ]
    );
}

/// A scope without a path, or with half an element, is skipped; the walk of the scopes ends at a
/// length that is none, and the walk of the structures continues.
#[test]
fn invalid_scopes() {
    let good: &[u8] = &[1, 8, 0, 0, 0, 0, 2, 0];
    let no_path: &[u8] = &[1, 6, 0, 0, 0, 0];
    let half: &[u8] = &[1, 9, 0, 0, 0, 0, 2, 0, 3];
    for (bad, follows) in [
        (no_path, true),
        (half, true),
        (&[1, 2], true),
        (&[1, 1], false),
        (&[1, 0], false),
        (&[1, 99, 0, 0, 0, 0, 2, 0], false),
        (&[1], false),
    ] {
        let scopes = [good, bad, if follows { good } else { &[] }];
        let bytes = table(39, 1)
            .raw(&drhd(0, 0, 0, 0xfed9_0000, &scopes))
            .raw(&structure(7, &[], &[]))
            .build();
        let found = self::scopes(&bytes);
        assert_eq!(
            found.len(),
            if follows { 3 } else { 2 },
            "{bad:?}: {found:?}"
        );
        assert!(found[1].contains("offset 0x48: the length field of a device scope of type 1"));
        assert_eq!(walk(&bytes).len(), 2);
    }
}

#[test]
fn paths_lead_through_bridges() {
    let secondary = |bus: u8, device: u8, function: u8| match (bus, device, function) {
        (0, 0x1c, 4) => Some(5),
        (5, 3, 1) => Some(6),
        _ => None,
    };
    let resolved = |path: &[u8]| {
        let length = u8::try_from(6 + path.len()).expect("a short path");
        let scope = [&[1, length, 0, 0, 0, 0][..], path].concat();
        let bytes = table(39, 1)
            .raw(&drhd(0, 0, 0, 0xfed9_0000, &[&scope]))
            .build();
        let dmar = Dmar::parse(&bytes).expect("a valid table");
        let first = dmar
            .structures()
            .next()
            .expect("a structure")
            .expect("a valid one");
        let scope: Scope<'_> = first
            .value
            .scopes()
            .next()
            .expect("one")
            .expect("a valid one")
            .value;
        assert_eq!(scope.kind, ScopeKind::Endpoint);
        scope.resolve(secondary)
    };
    assert_eq!(resolved(&[2, 0]), Some((0, 2, 0)));
    assert_eq!(resolved(&[0x1c, 4, 3, 1, 7, 2]), Some((6, 7, 2)));
    assert_eq!(resolved(&[0x1c, 3, 3, 1]), None, "no bridge");
    assert_eq!(resolved(&[32, 0]), None, "no device");
    assert_eq!(resolved(&[0, 8]), None, "no function");
}

/// The structures say which registers and memory they name.
#[test]
fn fields() {
    let bytes = table(39, 1)
        .raw(&drhd(1, 1, 2, 0xfed9_0000, &[]))
        .raw(&rmrr(3, 0x1000, 0x1fff, &[]))
        .build();
    let dmar = Dmar::parse(&bytes).expect("a valid table");
    let mut found = dmar.structures().map(|it| it.expect("a valid one").value);
    let Some(Structure::Drhd(unit)) = found.next() else {
        panic!("no unit");
    };
    assert_eq!(
        (unit.segment, unit.base, unit.size, unit.includes_all),
        (2, 0xfed9_0000, 8192, true)
    );
    let Some(Structure::Rmrr(memory)) = found.next() else {
        panic!("no reserved memory");
    };
    assert_eq!(
        (memory.segment, memory.base, memory.limit),
        (3, 0x1000, 0x1fff)
    );
}

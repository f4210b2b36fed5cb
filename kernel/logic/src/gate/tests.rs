//! Tests of the layouts against constants derived by hand from the SDM's figures.

use super::{Gate16, Gate32, Gate64, GateError, GateKind, ProtectedGate, RealModeVector, TaskGate};
use proptest::prelude::*;
use std::string::ToString;

const KINDS: [GateKind; 2] = [GateKind::Interrupt, GateKind::Trap];

#[test]
fn real_mode_vectors_are_ip_then_cs() {
    // The video BIOS's usual INT 10h vector, C000:0014, at 0000:0040.
    let vector = RealModeVector {
        ip: 0x0014,
        cs: 0xc000,
    };
    assert_eq!(RealModeVector::address(0x10), 0x40);
    assert_eq!(vector.encode().to_le_bytes(), [0x14, 0x00, 0x00, 0xc0]);
    assert_eq!(RealModeVector::decode(0xc000_0014), vector);
    assert_eq!(vector.linear(), 0xc_0014);
    assert_eq!(vector.to_string(), "c000:0014");
    assert_eq!(
        RealModeVector {
            ip: 0xffff,
            cs: 0xffff
        }
        .linear(),
        0x10_ffef
    );
    assert_eq!(RealModeVector::address(255), 1020);
}

/// Bytes 0-1 offset, 2-3 selector, 4 zero, 5 access byte, 6-7 unused or high offset.
#[test]
fn protected_mode_layouts() {
    let gate = Gate32 {
        offset: 0x1234_5678,
        selector: 0x0008,
        dpl: 0,
        kind: GateKind::Interrupt,
        present: true,
    };
    assert_eq!(
        gate.encode().to_le_bytes(),
        [0x78, 0x56, 0x08, 0x00, 0x00, 0x8e, 0x34, 0x12]
    );
    let gate = Gate32 {
        dpl: 3,
        kind: GateKind::Trap,
        ..gate
    };
    assert_eq!(
        gate.encode().to_le_bytes(),
        [0x78, 0x56, 0x08, 0x00, 0x00, 0xef, 0x34, 0x12]
    );
    let gate = Gate16 {
        offset: 0xabcd,
        selector: 0x0010,
        dpl: 1,
        kind: GateKind::Interrupt,
        present: true,
    };
    assert_eq!(
        gate.encode().to_le_bytes(),
        [0xcd, 0xab, 0x10, 0x00, 0x00, 0xa6, 0x00, 0x00]
    );
    let gate = Gate16 {
        kind: GateKind::Trap,
        present: false,
        ..gate
    };
    assert_eq!(
        gate.encode().to_le_bytes(),
        [0xcd, 0xab, 0x10, 0x00, 0x00, 0x27, 0x00, 0x00]
    );
    let gate = TaskGate {
        selector: 0x0048,
        dpl: 0,
        present: true,
    };
    assert_eq!(
        gate.encode().to_le_bytes(),
        [0x00, 0x00, 0x48, 0x00, 0x00, 0x85, 0x00, 0x00]
    );
}

/// Bytes 0-1 offset, 2-3 selector, 4 IST, 5 access byte, 6-11 offset, 12-15 zero.
#[test]
fn long_mode_layout() {
    let gate = Gate64::interrupt(0xffff_8123_4567_89ab, 0x0008);
    assert_eq!(
        gate.encode().to_le_bytes(),
        [
            0xab, 0x89, 0x08, 0x00, 0x00, 0x8e, 0x67, 0x45, //
            0x23, 0x81, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
        ]
    );
    let gate = Gate64::trap(0x1000, 0x0033)
        .with_ist(7)
        .and_then(|g| g.with_dpl(3))
        .unwrap();
    let gate = Gate64 {
        present: false,
        ..gate
    };
    assert_eq!(
        gate.encode().to_le_bytes(),
        [
            0x00, 0x10, 0x33, 0x00, 0x07, 0x6f, 0x00, 0x00, //
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        ]
    );
    assert_eq!(gate.to_words(), [0x0000_6f07_0033_1000, 0]);
}

#[test]
fn every_combination_of_the_small_fields_round_trips() {
    for kind in KINDS {
        for (dpl, present) in (0..=3).flat_map(|dpl| [(dpl, false), (dpl, true)]) {
            for ist in 0..=7 {
                let gate = Gate64 {
                    offset: 0x1000,
                    selector: 8,
                    ist,
                    dpl,
                    kind,
                    present,
                };
                assert_eq!(Gate64::decode(gate.encode()), Ok(gate));
            }
            let gate = Gate32 {
                offset: u32::MAX,
                selector: 8,
                dpl,
                kind,
                present,
            };
            assert_eq!(Gate32::decode(gate.encode()), Ok(gate));
            let gate = Gate16 {
                offset: u16::MAX,
                selector: 8,
                dpl,
                kind,
                present,
            };
            assert_eq!(Gate16::decode(gate.encode()), Ok(gate));
            let gate = TaskGate {
                selector: 0x28,
                dpl,
                present,
            };
            assert_eq!(TaskGate::decode(gate.encode()), Ok(gate));
        }
    }
}

#[test]
fn constructors_check_their_arguments() {
    let gate = Gate64::interrupt(0x1000, 8);
    for value in 0..=255 {
        assert_eq!(
            gate.with_ist(value).map(|g| g.ist).ok(),
            (value <= 7).then_some(value)
        );
        assert_eq!(
            gate.with_dpl(value).map(|g| g.dpl).ok(),
            (value <= 3).then_some(value)
        );
    }
    assert_eq!(gate.with_ist(8), Err(GateError::Ist(8)));
    assert_eq!(gate.with_dpl(4), Err(GateError::Dpl(4)));
    for kind in KINDS {
        for edge in [0, 0x0000_7fff_ffff_ffff, 0xffff_8000_0000_0000, u64::MAX] {
            assert_eq!(Gate64::new(kind, edge, 8).map(|g| g.offset), Ok(edge));
        }
        for edge in [0x0000_8000_0000_0000, 0xffff_7fff_ffff_ffff] {
            assert_eq!(
                Gate64::new(kind, edge, 8),
                Err(GateError::NonCanonical(edge))
            );
        }
    }
}

#[test]
#[should_panic(expected = "non-canonical")]
fn a_handler_at_no_address_is_refused() {
    let _ = Gate64::interrupt(1 << 47, 8);
}

/// All 32 values of bits 44:40 in each mode.
#[test]
fn only_the_types_of_the_mode_are_gates() {
    for bits in 0..32_u8 {
        let entry = u64::from(bits) << 40;
        let long = Gate64::decode(u128::from(entry));
        let kind_of = |interrupt, trap| match bits {
            _ if bits == interrupt => Some(GateKind::Interrupt),
            _ if bits == trap => Some(GateKind::Trap),
            _ => None,
        };
        assert_eq!(long.map(|g| g.kind).ok(), kind_of(0xe, 0xf));
        assert_eq!(
            Gate32::decode(entry).map(|g| g.kind).ok(),
            kind_of(0xe, 0xf)
        );
        assert_eq!(
            Gate16::decode(entry).map(|g| g.kind).ok(),
            kind_of(0x6, 0x7)
        );
        assert_eq!(TaskGate::decode(entry).is_ok(), bits == 5);
        let known = [5, 6, 7, 14, 15].contains(&bits);
        assert_eq!(ProtectedGate::decode(entry).is_ok(), known);
        if !known {
            assert_eq!(ProtectedGate::decode(entry), Err(GateError::Type(bits)));
            assert_eq!(long, Err(GateError::Type(bits)));
        }
    }
}

/// Each bit of each form is either part of a field or reported as reserved.
#[test]
fn every_bit_is_accounted_for() {
    let base = Gate64::interrupt(0, 8).encode();
    for bit in 0..128 {
        let reserved = (35..=39).contains(&bit) || bit >= 96;
        let decoded = Gate64::decode(base ^ 1 << bit);
        assert_eq!(
            decoded == Err(GateError::Reserved(1 << bit)),
            reserved,
            "bit {bit}"
        );
        if let Ok(gate) = decoded {
            assert_eq!(gate.encode(), base ^ 1 << bit);
        }
    }
    for (form, base, reserved) in [
        ("task", 0x0000_8500_0028_0000, 0xffff_00ff_0000_ffff),
        ("16-bit", 0x0000_8600_0008_0000, 0xffff_00ff_0000_0000),
        ("32-bit", 0x0000_8e00_0008_0000, 0x0000_00ff_0000_0000_u64),
    ] {
        for bit in (0..64).filter(|bit| !(40..=44).contains(bit)) {
            let (changed, flag) = (base ^ 1_u64 << bit, 1_u64 << bit);
            match ProtectedGate::decode(changed) {
                Ok(gate) => assert_eq!(gate.encode(), changed),
                Err(error) => assert_eq!(error, GateError::Reserved(u128::from(flag))),
            }
            let refused = ProtectedGate::decode(changed).is_err();
            assert_eq!(refused, reserved & flag != 0, "{form} gate, bit {bit}");
        }
    }
}

#[test]
fn an_empty_entry_is_of_the_wrong_type() {
    assert_eq!(Gate64::decode(0), Err(GateError::Type(0)));
    assert_eq!(ProtectedGate::decode(0), Err(GateError::Type(0)));
}

#[test]
fn a_non_canonical_offset_is_refused_on_decoding() {
    let gate = Gate64 {
        offset: 1 << 47,
        ..Gate64::interrupt(0, 8)
    };
    assert_eq!(
        Gate64::decode(gate.encode()),
        Err(GateError::NonCanonical(1 << 47))
    );
}

#[test]
fn gates_in_words() {
    let gate = Gate64::interrupt(0xffff_ffff_8020_1000, 8)
        .with_ist(2)
        .unwrap();
    assert_eq!(
        gate.to_string(),
        "interrupt gate 0008:ffffffff80201000 DPL 0 IST 2"
    );
    let gate = Gate64 {
        present: false,
        ..Gate64::trap(0x1000, 8)
    };
    assert_eq!(
        gate.to_string(),
        "trap gate 0008:0000000000001000 DPL 0 not present"
    );
    for (bits, text) in [
        (
            0x1234_ee00_0008_5678,
            "32-bit interrupt gate 0008:12345678 DPL 3",
        ),
        (
            0x0000_0700_0008_5678,
            "16-bit trap gate 0008:5678 DPL 0 not present",
        ),
        (0x0000_a500_0028_0000, "task gate 0028 DPL 1"),
    ] {
        assert_eq!(ProtectedGate::decode(bits).unwrap().to_string(), text);
    }
}

#[test]
fn errors_in_words() {
    for (error, text) in [
        (
            GateError::Type(0x0c),
            "type 0x0c (bits 44:40) is not a gate of this mode",
        ),
        (
            GateError::Reserved(1 << 35 | 1 << 127),
            "reserved bits are set: 35 127",
        ),
        (
            GateError::NonCanonical(1 << 47),
            "offset 0x800000000000 is not canonical: bits 63:47 differ",
        ),
        (GateError::Ist(9), "IST index 9 is above 7"),
        (GateError::Dpl(4), "DPL 4 is above 3"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

proptest! {
    #[test]
    fn long_mode_gates_round_trip(
        offset: u64, selector: u16, ist in 0_u8..8, dpl in 0_u8..4, trap: bool, present: bool,
    ) {
        // Sign-extend the low 48 bits to get a canonical address.
        let offset = (offset.cast_signed() << 16 >> 16).cast_unsigned();
        let kind = KINDS[usize::from(trap)];
        let gate = Gate64 { offset, selector, ist, dpl, kind, present };
        prop_assert_eq!(Gate64::decode(gate.encode()), Ok(gate));
        let [low, high] = gate.to_words();
        prop_assert_eq!(gate.encode(), u128::from(high) << 64 | u128::from(low));
    }

    #[test]
    fn protected_mode_gates_round_trip(
        offset: u32, selector: u16, dpl in 0_u8..4, trap: bool, present: bool,
    ) {
        let kind = KINDS[usize::from(trap)];
        for gate in [
            ProtectedGate::Gate16(Gate16 { offset: offset as u16, selector, dpl, kind, present }),
            ProtectedGate::Gate32(Gate32 { offset, selector, dpl, kind, present }),
            ProtectedGate::Task(TaskGate { selector, dpl, present }),
        ] {
            prop_assert_eq!(ProtectedGate::decode(gate.encode()), Ok(gate));
        }
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_bits(low: u64, high: u64, type_bits in 4_u64..16) {
        // In half of the cases the reserved bits are clear; otherwise almost none would decode.
        for mask in [u64::MAX, !(0x1f << 35)] {
            let low = low & mask & !(0x1f << 40) | type_bits << 40;
            let entry = u128::from(high >> 32) << 64 | u128::from(low);
            if let Ok(gate) = Gate64::decode(entry) {
                prop_assert_eq!(gate.encode(), entry);
            }
            if let Ok(gate) = ProtectedGate::decode(low) {
                prop_assert_eq!(gate.encode(), low);
            }
        }
        prop_assert_eq!(RealModeVector::decode(low as u32).encode(), low as u32);
    }
}

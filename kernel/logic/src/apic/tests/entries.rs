//! Tests of LVT and redirection entries.

use crate::apic::rte::{Half, write_order};
use crate::apic::{
    ApicId, Delivery, EncodingError, Lvt, Polarity, RemappableRte, Rte, TimerMode, Trigger,
};
use proptest::prelude::*;
use std::string::ToString;

/// SDM vol. 3A, figure 12-8.
#[test]
fn lvt_layout() {
    for (lvt, bits, words) in [
        (Lvt::MASKED, 0x0001_0000, "vector 0x00, masked"),
        (Lvt::fixed(0xfe), 0x0000_00fe, "vector 0xfe"),
        (
            Lvt::timer(0x20, TimerMode::OneShot),
            0x0000_0020,
            "vector 0x20",
        ),
        (
            Lvt::timer(0x20, TimerMode::Periodic),
            0x0002_0020,
            "vector 0x20, periodic",
        ),
        (
            Lvt::timer(0xec, TimerMode::TscDeadline),
            0x0004_00ec,
            "vector 0xec, TSC-deadline",
        ),
        (Lvt::nmi(Polarity::High), 0x0000_0400, "NMI"),
        (Lvt::nmi(Polarity::Low), 0x0000_2400, "NMI, active low"),
        (Lvt::ext_int(), 0x0000_0700, "ExtINT"),
        (
            Lvt {
                trigger: Trigger::Level,
                polarity: Polarity::Low,
                ..Lvt::fixed(0x31).with_mask(true)
            },
            0x0001_a031,
            "vector 0x31, active low, level, masked",
        ),
        (
            Lvt {
                delivery: Delivery::Smi,
                ..Lvt::fixed(0)
            },
            0x0000_0200,
            "SMI",
        ),
        (
            Lvt {
                delivery: Delivery::Init,
                ..Lvt::fixed(0)
            },
            0x0000_0500,
            "INIT",
        ),
    ] {
        assert_eq!(lvt.encode(), bits, "{lvt}");
        assert_eq!(Lvt::decode(bits), Ok(lvt));
        assert_eq!(lvt.to_string(), words);
    }
    // The read-only bits are decoded, but never encoded.
    let lvt = Lvt::decode(0x0000_d031).expect("a valid entry");
    assert!(lvt.pending && lvt.remote_irr);
    assert_eq!(lvt.encode(), 0x0000_8031);
    assert_eq!(lvt.to_string(), "vector 0x31, level, remote IRR, pending");
}

/// Every combination of the bits above the vector.
#[test]
fn lvt_decode_is_total() {
    for upper in 0..1_u32 << 13 {
        let value = upper << 8 | 0x40;
        let expected = match (value >> 8 & 7, value >> 17 & 3) {
            (mode @ (1 | 3 | 6), _) => Err(EncodingError::Delivery(mode as u8)),
            (_, 3) => Err(EncodingError::Reserved(3 << 17)),
            _ if value & 0x18_0800 != 0 => {
                Err(EncodingError::Reserved(u64::from(value & 0x18_0800)))
            }
            _ => Ok(value & !0x5000),
        };
        assert_eq!(Lvt::decode(value).map(Lvt::encode), expected, "{value:#x}");
    }
}

/// 82093AA data sheet, 3.2.4.
#[test]
fn rte_layout() {
    let edge = Rte::fixed(0x24, ApicId(0), Polarity::High, Trigger::Edge, false);
    let level = Rte::fixed(0x29, ApicId(0xfe), Polarity::Low, Trigger::Level, false);
    let nmi = Rte {
        delivery: Delivery::Nmi,
        masked: false,
        ..Rte::MASKED
    };
    let logical = Rte {
        vector: 0x51,
        delivery: Delivery::LowestPriority,
        logical: true,
        masked: false,
        destination: 0x0f,
        ..Rte::MASKED
    };
    for (rte, bits, words) in [
        (
            Rte::MASKED,
            0x0000_0000_0001_0000,
            "vector 0x00 to APIC ID 0x00, active high, edge, masked",
        ),
        (
            edge.expect("fits"),
            0x0000_0000_0000_0024,
            "vector 0x24 to APIC ID 0x00, active high, edge",
        ),
        (
            level.expect("fits"),
            0xfe00_0000_0000_a029,
            "vector 0x29 to APIC ID 0xfe, active low, level",
        ),
        (
            level.expect("fits").with_mask(true),
            0xfe00_0000_0001_a029,
            "vector 0x29 to APIC ID 0xfe, active low, level, masked",
        ),
        (
            nmi,
            0x0000_0000_0000_0400,
            "NMI to APIC ID 0x00, active high, edge",
        ),
        (
            logical,
            0x0f00_0000_0000_0951,
            "vector 0x51, lowest priority to logical 0x0f, active high, edge",
        ),
    ] {
        assert_eq!(rte.encode(), Ok(bits), "{rte}");
        assert_eq!(Rte::decode(bits), Ok(rte));
        assert_eq!(rte.to_string(), words);
    }
    let busy = Rte::decode(0x0000_0000_0000_d031).expect("a valid entry");
    assert!(busy.pending && busy.remote_irr);
    assert_eq!(busy.encode(), Ok(0x8031));
}

#[test]
fn rte_destinations() {
    let to = |id, extended| {
        Rte::fixed(0x30, ApicId(id), Polarity::High, Trigger::Edge, extended).and_then(Rte::encode)
    };
    assert_eq!(to(254, false), Ok(0xfe00_0000_0000_0030));
    assert_eq!(
        to(255, false),
        Err(EncodingError::Destination { id: 255, max: 254 })
    );
    // Destination bits 7:0 are in 63:56, bits 14:8 in 55:49; bit 48 remains 0.
    assert_eq!(to(0x0100, true), Ok(0x0002_0000_0000_0030));
    assert_eq!(to(0x7fff, true), Ok(0xfffe_0000_0000_0030));
    assert_eq!(to(0x1234, true), Ok(0x3424_0000_0000_0030));
    assert_eq!(
        to(0x8000, true),
        Err(EncodingError::Destination {
            id: 0x8000,
            max: 0x7fff
        })
    );
    let vector = |vector| {
        Rte::fixed(vector, ApicId(0), Polarity::High, Trigger::Edge, false).map(|rte| rte.vector)
    };
    assert_eq!(vector(15), Err(EncodingError::Vector(15)));
    assert_eq!(vector(16), Ok(16));
    let start_up = Rte {
        delivery: Delivery::StartUp,
        ..Rte::MASKED
    };
    assert_eq!(start_up.encode(), Err(EncodingError::Delivery(6)));
    let wide = Rte {
        destination: 0x8000,
        ..Rte::MASKED
    };
    assert!(matches!(
        wide.encode(),
        Err(EncodingError::Destination { id: 0x8000, .. })
    ));
}

/// VT-d specification, 5.1.5.1.
#[test]
fn remappable_rte_layout() {
    let rte = RemappableRte {
        vector: 0x29,
        index: 0x1234,
        pending: false,
        polarity: Polarity::Low,
        remote_irr: false,
        trigger: Trigger::Level,
        masked: false,
    };
    // Index bits 14:0 are in 63:49, so 1234h is 2468h in 63:48, with bit 48 for the format.
    assert_eq!(rte.encode(), 0x2469_0000_0000_a029);
    assert_eq!(
        rte.to_string(),
        "vector 0x29 by remapping entry 4660, active low, level"
    );
    // Index bit 15 is in bit 11.
    let high = RemappableRte {
        index: 0x8000,
        masked: true,
        ..rte
    };
    assert_eq!(high.encode(), 0x0001_0000_0001_a829);
    for index in 0..=0xffff {
        let entry = RemappableRte { index, ..rte };
        assert_eq!(RemappableRte::decode(entry.encode()), Ok(entry));
        assert_eq!(Rte::decode(entry.encode()), Err(EncodingError::Format));
    }
    assert_eq!(
        RemappableRte::decode(0x0000_0000_0000_a029),
        Err(EncodingError::Format)
    );
    assert_eq!(
        RemappableRte::decode(0x0001_0000_0002_0129),
        Err(EncodingError::Reserved(0x0002_0100))
    );
}

/// The pin is masked while its entry is partly old and partly new.
#[test]
fn write_order_never_exposes_a_mixture() {
    let entries = [
        0xfe00_0000_0000_a029,
        0xfe00_0000_0001_a029,
        0x0100_0000_0000_0024,
        0x2469_0000_0000_a029_u64,
    ];
    for old in entries {
        for new in entries {
            let mut register = old;
            for (half, value) in write_order(new) {
                let value = u64::from(value);
                register = match half {
                    Half::Low => register & !0xffff_ffff | value,
                    Half::High => register & 0xffff_ffff | value << 32,
                };
                let masked = register & 1 << 16 != 0;
                assert!(masked || register == new, "{old:#x} to {new:#x}");
            }
            assert_eq!(register, new);
        }
    }
}

proptest! {
    #[test]
    fn rte_round_trip(bits in any::<u64>()) {
        // Only entries with valid modes and without reserved bits decode.
        match Rte::decode(bits) {
            Ok(rte) => prop_assert_eq!(rte.encode(), Ok(bits & !0x5000)),
            Err(EncodingError::Format) => prop_assert!(bits & 1 << 48 != 0),
            Err(EncodingError::Delivery(mode)) => prop_assert!(mode == 3 || mode == 6),
            Err(EncodingError::Reserved(mask)) => {
                prop_assert_eq!(mask, bits & 0x0000_ffff_fffe_0000);
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
        let sound = bits & !0x0001_ffff_fffe_0700;
        prop_assert_eq!(Rte::decode(sound).and_then(Rte::encode), Ok(sound & !0x5000));
        let remappable = bits & !0x0000_ffff_fffe_0700 | 1 << 48;
        prop_assert_eq!(
            RemappableRte::decode(remappable).map(RemappableRte::encode),
            Ok(remappable & !0x5000)
        );
    }
}

#[test]
fn smi_entries_are_known_whatever_else_they_hold() {
    for value in 0..=0x7ffff_u32 {
        assert_eq!(Lvt::is_smi(value), value & 0x700 == 0x200, "{value:#x}");
    }
}

//! Fault records and reasons (7.1.3, 7.2.3, 11.4.14).

use crate::vtd::SourceId;
use crate::vtd::fault::{Access, Blocked, IN_USE, Reason, Record};
use std::string::ToString;

/// The words of a record in use, with these bits in the high one.
fn record(low: u64, source: u16, reason: u8, more: u64) -> [u64; 2] {
    [
        low,
        IN_USE | u64::from(source) | u64::from(reason) << 32 | more,
    ]
}

#[test]
fn dma() {
    // T1 is bit 126, T2 bit 92, EXE bit 94, PRIV bit 93, PP bit 95, PV bits 123:104.
    let (t1, t2, exe, privilege, pp) = (1 << 62, 1 << 28, 1 << 30, 1 << 29, 1 << 31);
    let cases = [
        (0, Access::Write, None, false),
        (t2, Access::PageRequest, None, false),
        (t1, Access::Read, None, false),
        (t1 | exe | privilege, Access::Execute, None, true),
        (t1 | t2, Access::Atomic, None, false),
        (t1 | pp | 0xabcde << 40, Access::Read, Some(0xabcde), false),
    ];
    for (bits, access, pasid, privileged) in cases {
        let words = record(0x1234_5678_9000, 0x0020, 6, bits);
        let expected = Record {
            source: SourceId::new(0, 4, 0),
            blocked: Blocked::Dma {
                access,
                address: 0x1234_5678_9000,
                pasid,
                privileged,
            },
            reason: Reason(6),
        };
        assert_eq!(Record::decode(words), Some(expected));
        assert_eq!(Record::decode([words[0], words[1] & !IN_USE]), None);
    }
}

#[test]
fn interrupts() {
    let index = |reason| match Record::decode(record(0xbeef << 48, 0xff00, reason, 0)) {
        Some(Record {
            blocked: Blocked::Interrupt { index },
            ..
        }) => Some(index),
        _ => None,
    };
    assert_eq!(index(0x22), Some(Some(0xbeef)));
    assert_eq!(index(0x26), Some(Some(0xbeef)));
    // The record of a compatibility-format message has no index.
    assert_eq!(index(0x25), Some(None));
    assert_eq!(index(0x06), None);
}

#[test]
fn reasons() {
    assert_eq!(Reason(5).to_string(), "0x05, no write permission");
    assert_eq!(Reason(0xfe).to_string(), "0xfe, unknown");
    let known = (0..=255).map(Reason).filter(|it| it.describe().is_some());
    // 14 of legacy mode, 9 of interrupts, 46 of scalable mode.
    assert_eq!(known.clone().filter(|it| it.0 < 0x20).count(), 14);
    assert_eq!(known.clone().filter(|it| it.is_interrupt()).count(), 9);
    let mut texts: std::vec::Vec<_> = known.map(Reason::describe).collect();
    let all = texts.len();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), all, "two reasons with the same text");
}

//! The layouts of entries and registers, bit by bit.

use crate::apic::{ApicId, EncodingError, Trigger};
use crate::vector::Vector;
use crate::vtd::irte::{Accepts, Irte};
use crate::vtd::register::{event_message, fault_status, global, interrupt_table, queue_address};
use crate::vtd::table::{Context, Invalid, context_table, root_entry};
use crate::vtd::{Capability, DomainId, Extended, Levels, SourceId};
use proptest::prelude::*;

#[test]
fn source_ids() {
    let source = SourceId::new(0xf0, 0x1f, 7);
    assert_eq!(
        (source.0, source.bus(), source.devfn()),
        (0xf0ff, 0xf0, 0xff)
    );
    assert_eq!(std::format!("{source}"), "f0:1f.7");
}

/// The capabilities of units of QEMU 10.0.2, and others with single bits.
#[test]
fn capabilities() {
    let capability = Capability(0x00d2_008c_222f_0606);
    assert_eq!(capability.levels(), Some(Levels::Four));
    assert!(capability.supports(Levels::Three) && !capability.supports(Levels::Five));
    assert_eq!(capability.address_bits(), 48);
    assert_eq!(capability.domains(), 65536);
    assert_eq!(capability.fault_records(), (0x220, 1));
    assert!(!capability.caching_mode() && !capability.needs_write_flush());
    assert_eq!(capability.page_mask(), Some(18));
    assert!(capability.maps_2m() && capability.maps_1g());
    // With aw-bits=39, and with caching-mode=on.
    let narrow = Capability(0x00d2_008c_2226_0206);
    assert_eq!(
        (narrow.levels(), narrow.address_bits()),
        (Some(Levels::Three), 39)
    );
    assert!(Capability(0x00d2_008c_222f_0686).caching_mode());
    let domains = |field: u64| Capability(field).domains();
    assert_eq!([0, 1, 6, 7].map(domains), [16, 64, 65536, 65536]);
    assert!(Capability(1 << 62).interrupt_pointer_invalidates());
    assert_eq!(Capability(9 << 48).page_mask(), None);
    let extended = Extended(0x00f0_0f5a);
    assert!(extended.queues() && extended.remaps_interrupts() && extended.extended_interrupts());
    assert!(extended.pass_through() && !extended.coherent());
    assert_eq!(extended.interrupt_mask(), 15);
}

#[test]
fn registers() {
    // The bits that act once are not repeated; a command changes one bit.
    let status = global::TRANSLATION | global::ROOT_TABLE | global::INTERRUPT_TABLE;
    let expected = global::TRANSLATION | global::QUEUE;
    assert_eq!(global::command(status, global::QUEUE, true), expected);
    assert_eq!(global::command(status, global::TRANSLATION, false), 0);
    assert_eq!(
        global::command(status, global::ROOT_TABLE, true),
        0xc000_0000
    );
    let message = event_message(Vector(0xc0), ApicId(0x1_23ab));
    assert_eq!(message, [0xc0, 0xfeea_b000, 0x1_2300]);
    assert_eq!(fault_status::first_record(0x0000_1203), 0x12);
    assert_eq!(queue_address(0x1_2345_6000, 1), 0x1_2345_6001);
    assert_eq!(interrupt_table(0x1_2345_6000, 15, true), 0x1_2345_680f);
}

#[test]
fn root_entries() {
    assert_eq!(root_entry(0x1_2345_6000), 0x1_2345_6001);
    assert_eq!(context_table([0x1_2345_6001, 0]), Ok(Some(0x1_2345_6000)));
    assert_eq!(context_table([0x1_2345_6000, 0]), Ok(None));
    assert_eq!(context_table([0x1_2345_6003, 0]), Err(Invalid::Reserved));
    assert_eq!(context_table([0x1_2345_6001, 1]), Err(Invalid::Reserved));
}

#[test]
fn context_entries() {
    let context = Context {
        page_table: 0x1_2345_6000,
        levels: Levels::Four,
        domain: DomainId(0xabcd),
        device_tlb: true,
        silent: true,
    };
    let words = [0x1_2345_6007, 0x00ab_cd02];
    assert_eq!(context.encode(), words);
    assert_eq!(Context::decode(words), Ok(Some(context)));
    // Reserved values: pass-through here, and one level.
    assert_eq!(Context::decode([0x1_2345_6009, 2]), Err(Invalid::Field));
    assert_eq!(Context::decode([0x1_2345_6001, 0]), Err(Invalid::Field));
    for (word, bit) in (4..12)
        .chain(52..64)
        .map(|bit| (0, bit))
        .chain([(1, 7), (1, 24), (1, 63)])
    {
        let mut words = words;
        words[word] |= 1_u64 << bit;
        assert_eq!(Context::decode(words), Err(Invalid::Reserved), "bit {bit}");
    }
}

#[test]
fn interrupt_entries() {
    let entry = Irte {
        vector: Vector(0x51),
        cpu: ApicId(0x1_2345),
        trigger: Trigger::Level,
        accepts: Accepts::Source(SourceId(0xf0f8)),
    };
    let words = [0x0001_2345_0051_0011, 0x0004_f0f8];
    assert_eq!(entry.encode(true), Ok(words));
    assert_eq!(Irte::decode(words, true), Ok(Some(entry)));
    let too_high = EncodingError::Destination {
        id: 0x1_2345,
        max: 254,
    };
    assert_eq!(entry.encode(false), Err(too_high));
    // In xAPIC mode the ID is in bits 47:40.
    let entry = Irte {
        cpu: ApicId(0xfe),
        trigger: Trigger::Edge,
        accepts: Accepts::Buses { first: 2, last: 5 },
        ..entry
    };
    let words = [0x0000_fe00_0051_0001, 0x0008_0205];
    assert_eq!(entry.encode(false), Ok(words));
    assert_eq!(Irte::decode(words, false), Ok(Some(entry)));
    assert_eq!(Irte::decode([words[0] & !1, words[1]], false), Ok(None));
    let low_vector = Irte {
        vector: Vector(15),
        ..entry
    };
    assert_eq!(low_vector.encode(false), Err(EncodingError::Vector(15)));
}

proptest! {
    /// An entry that is decoded is encoded again to the same words, so no bit is lost.
    #[test]
    fn arbitrary_words(low in any::<u64>(), high in any::<u64>(), extended in any::<bool>()) {
        for [low, high] in [[low, high], [low & 0xffff_ffff_00ff_0011, high & 0xc_ffff]] {
            if let Ok(Some(entry)) = Irte::decode([low, high], extended)
                && let Ok(words) = entry.encode(extended)
            {
                prop_assert_eq!(words, [low, high]);
            }
        }
        for [low, high] in [[low, high], [low & 0x000f_ffff_ffff_f007, high & 0x00ff_ff07]] {
            if let Ok(Some(entry)) = Context::decode([low, high]) {
                prop_assert_eq!(entry.encode(), [low, high & !0x78]);
            }
        }
    }
}

//! Tests of the messages of CPUs and devices: ICR and MSI.

use crate::apic::msi::Message;
use crate::apic::{ApicId, Delivery, Destination, EncodingError, Icr, Msi, RemappableMsi, Trigger};
use proptest::prelude::*;
use std::string::ToString;

const CPU_5: Destination = Destination::Physical(ApicId(5));

/// SDM vol. 3A, figures 12-12 and 12-28; the sequences for starting CPUs are those of the manual
/// (10.4.4.1): 000C4500h and 000C4600h + vector.
#[test]
fn icr_layout() {
    let start_up = Icr::start_up(0x8000, CPU_5).expect("a page below 1 MiB");
    let start_all = Icr::start_up(0x9_9000, Destination::Others).expect("a page below 1 MiB");
    for (icr, high, low, words) in [
        (
            Icr::init(CPU_5),
            0x0500_0000,
            0x0000_4500,
            "INIT to APIC ID 0x05",
        ),
        (
            Icr::init(Destination::Others),
            0,
            0x000c_4500,
            "INIT to all others",
        ),
        (
            start_up,
            0x0500_0000,
            0x0000_4608,
            "start-up at 0x8000 to APIC ID 0x05",
        ),
        (
            start_all,
            0,
            0x000c_4699,
            "start-up at 0x99000 to all others",
        ),
        (
            Icr::nmi(CPU_5),
            0x0500_0000,
            0x0000_4400,
            "NMI to APIC ID 0x05",
        ),
        (
            Icr::fixed(0xf0, CPU_5),
            0x0500_0000,
            0x0000_40f0,
            "fixed vector 0xf0 to APIC ID 0x05",
        ),
        (
            Icr::fixed(0xf0, Destination::Myself),
            0,
            0x0004_40f0,
            "fixed vector 0xf0 to self",
        ),
        (
            Icr::fixed(0xf0, Destination::All),
            0,
            0x0008_40f0,
            "fixed vector 0xf0 to all",
        ),
        (
            Icr::fixed(0xf0, Destination::Logical(0x81)),
            0x8100_0000,
            0x0000_48f0,
            "fixed vector 0xf0 to logical 0x81",
        ),
        (
            Icr {
                delivery: Delivery::LowestPriority,
                trigger: Trigger::Level,
                ..Icr::fixed(0xf0, CPU_5)
            },
            0x0500_0000,
            0x0000_c1f0,
            "lowest priority vector 0xf0 to APIC ID 0x05",
        ),
        (
            // The INIT level de-assert of old CPUs.
            Icr {
                assert: false,
                trigger: Trigger::Level,
                ..Icr::init(Destination::Others)
            },
            0,
            0x000c_8500,
            "INIT to all others",
        ),
    ] {
        assert_eq!(icr.encode_xapic(), Ok([high, low]), "{icr}");
        assert_eq!(Icr::decode_xapic([high, low]), Ok(icr));
        assert_eq!(icr.to_string(), words);
        // In x2APIC mode the destination occupies bits 63:32.
        let wide = u64::from(high >> 24) << 32 | u64::from(low);
        assert_eq!(icr.encode_x2apic(), Ok(wide), "{icr}");
        assert_eq!(Icr::decode_x2apic(wide), Ok(icr));
    }
    // The delivery-status bit is not part of the command.
    assert_eq!(
        Icr::decode_xapic([0x0500_0000, 0x4500 | Icr::DELIVERY_PENDING]),
        Ok(Icr::init(CPU_5))
    );
}

#[test]
fn icr_destinations() {
    let physical = |id| Icr::nmi(Destination::Physical(ApicId(id)));
    for id in 0..=254 {
        assert_eq!(physical(id).encode_xapic(), Ok([id << 24, 0x4400]));
    }
    for id in [255, 256, 0x105, u32::MAX] {
        assert_eq!(
            physical(id).encode_xapic(),
            Err(EncodingError::Destination { id, max: 254 })
        );
    }
    for id in [0, 254, 255, 256, 0x11f, 0xffff_fffe] {
        assert_eq!(
            physical(id).encode_x2apic(),
            Ok(u64::from(id) << 32 | 0x4400)
        );
    }
    assert_eq!(
        physical(u32::MAX).encode_x2apic(),
        Err(EncodingError::Destination {
            id: u32::MAX,
            max: 0xffff_fffe
        })
    );
    let logical = |id| Icr::nmi(Destination::Logical(id));
    assert_eq!(logical(0xff).encode_xapic(), Ok([0xff00_0000, 0x4c00]));
    assert_eq!(
        logical(0x100).encode_xapic(),
        Err(EncodingError::Destination {
            id: 0x100,
            max: 0xff
        })
    );
    assert_eq!(
        logical(0x0011_8000).encode_x2apic(),
        Ok(0x0011_8000_0000_4c00)
    );
}

/// The encoder rejects commands that cannot be sent, and never sends another one instead.
#[test]
fn icr_refusals() {
    for vector in 0..=255 {
        let refused = Icr::fixed(vector, CPU_5).encode_x2apic().is_err();
        assert_eq!(refused, vector < 16);
    }
    // Table 12-3: the shorthands "self" and "all" support only fixed delivery.
    for delivery in Delivery::ALL {
        for destination in [
            CPU_5,
            Destination::Myself,
            Destination::All,
            Destination::Others,
        ] {
            let icr = Icr {
                delivery,
                ..Icr::fixed(0x30, destination)
            };
            let expected = match (delivery, destination) {
                (Delivery::ExtInt, _) => Some(EncodingError::Delivery(7)),
                (Delivery::Fixed, _) | (_, Destination::Physical(_) | Destination::Others) => None,
                _ => Some(EncodingError::Shorthand(delivery)),
            };
            assert_eq!(icr.encode_xapic().err(), expected, "{icr}");
            assert_eq!(icr.encode_x2apic().err(), expected, "{icr}");
        }
    }
    for address in [1, 0xfff, 0x8001, 0x10_0000, 0x10_1000, u64::MAX] {
        assert_eq!(
            Icr::start_up(address, CPU_5),
            Err(EncodingError::StartUpAddress(address))
        );
    }
    for page in 0..256 {
        let icr = Icr::start_up(page << 12, CPU_5).expect("below 1 MiB");
        assert_eq!(u64::from(icr.vector), page);
    }
    assert_eq!(Icr::decode_x2apic(0x4700), Err(EncodingError::Delivery(7)));
    assert_eq!(Icr::decode_x2apic(0x4300), Err(EncodingError::Delivery(3)));
    assert_eq!(
        Icr::decode_x2apic(0x8000_4500),
        Err(EncodingError::Reserved(0x8000_0000))
    );
    // The x2APIC ICR has no delivery-status bit.
    assert_eq!(
        Icr::decode_x2apic(0x5500),
        Err(EncodingError::Reserved(0x1000))
    );
    assert_eq!(
        Icr::decode_xapic([0x0000_0001, 0x4500]),
        Err(EncodingError::Reserved(1 << 32))
    );
}

/// SDM vol. 3A, figures 12-24 and 12-25.
#[test]
fn msi_layout() {
    let msi = |vector, id| Msi::fixed(vector, ApicId(id), false).and_then(Msi::encode);
    let message = |address, data| Message { address, data };
    assert_eq!(msi(0x41, 0), Ok(message(0xfee0_0000, 0x41)));
    assert_eq!(msi(0x41, 0xfe), Ok(message(0xfeef_e000, 0x41)));
    assert_eq!(
        msi(0x41, 255),
        Err(EncodingError::Destination { id: 255, max: 254 })
    );
    assert_eq!(msi(0x0f, 0), Err(EncodingError::Vector(0x0f)));
    let extended = |id| Msi::fixed(0x41, ApicId(id), true).and_then(Msi::encode);
    // Destination bits 14:8 are in address bits 11:5.
    assert_eq!(extended(0x0100), Ok(message(0xfee0_0020, 0x41)));
    assert_eq!(extended(0x7fff), Ok(message(0xfeef_ffe0, 0x41)));
    assert!(extended(0x8000).is_err());
    let logical = Msi {
        vector: 0x52,
        delivery: Delivery::LowestPriority,
        trigger: Trigger::Level,
        destination: 0x0f,
        logical: true,
        redirection_hint: true,
    };
    assert_eq!(logical.encode(), Ok(message(0xfee0_f00c, 0xc152)));
    assert_eq!(Msi::decode(message(0xfee0_f00c, 0xc152)), Ok(logical));
    assert_eq!(
        Msi::decode(message(0xfec0_0000, 0x41)),
        Err(EncodingError::MessageAddress(0xfec0_0000))
    );
    assert_eq!(
        Msi::decode(message(0xfee0_0010, 0)),
        Err(EncodingError::Format)
    );
    for mode in [3, 6] {
        assert_eq!(
            Msi::decode(message(0xfee0_0000, mode << 8)),
            Err(EncodingError::Delivery(mode as u8))
        );
    }
    let start_up = Msi {
        delivery: Delivery::StartUp,
        ..logical
    };
    assert_eq!(start_up.encode(), Err(EncodingError::Delivery(6)));
}

/// VT-d specification, 5.1.5.2.
#[test]
fn remappable_msi_layout() {
    for (handle, subhandle, address, data) in [
        (0, None, 0xfee0_0010, 0),
        (0, Some(0), 0xfee0_0018, 0),
        (1, None, 0xfee0_0030, 0),
        (0x7fff, Some(0x1234), 0xfeef_fff8, 0x1234),
        (0x8000, Some(0xffff), 0xfee0_001c, 0xffff),
        (0xffff, None, 0xfeef_fff4, 0),
    ] {
        let msi = RemappableMsi { handle, subhandle };
        let message = Message { address, data };
        assert_eq!(msi.encode(), message);
        assert_eq!(RemappableMsi::decode(message), Ok(msi));
        assert_eq!(Msi::decode(message), Err(EncodingError::Format));
    }
    for (address, data, error) in [
        (0xfee0_0000, 0, EncodingError::Format),
        (0xfee0_0018, 0x1_0000, EncodingError::Reserved(0x1_0000)),
        (0xffe0_0018, 0, EncodingError::MessageAddress(0xffe0_0018)),
    ] {
        assert_eq!(RemappableMsi::decode(Message { address, data }), Err(error));
    }
}

proptest! {
    #[test]
    fn icr_round_trip(low in any::<u32>(), id in any::<u32>()) {
        let value = u64::from(id) << 32 | u64::from(low & 0x000c_cfff);
        if let Ok(icr) = Icr::decode_x2apic(value)
            && let Ok(encoded) = icr.encode_x2apic()
        {
            // With a shorthand, the destination mode and the destination are ignored.
            let void = match icr.destination {
                Destination::Physical(_) | Destination::Logical(_) => 0,
                _ => 0xffff_ffff_0000_0800,
            };
            prop_assert_eq!(encoded, value & !void);
        }
    }

    #[test]
    fn msi_round_trip(address in 0xfee0_0000_u32..0xfef0_0000, data in any::<u16>()) {
        let message = Message { address: address & !0x13, data: u32::from(data & 0x87ff) };
        if let Ok(msi) = Msi::decode(message) {
            let level = u32::from(data >> 15) << 14;
            let expected = Message { data: message.data | level, ..message };
            prop_assert_eq!(msi.encode(), Ok(expected));
        }
        let message = Message { address: address & !0x3 | 0x18, data: data.into() };
        prop_assert_eq!(RemappableMsi::decode(message).map(RemappableMsi::encode), Ok(message));
    }
}

//! Exhaustive tests of redirection entries and messages. The tests encode and decode each field
//! with the bit numbers of the manuals' figures and use none of the encoders' constants.

use crate::apic::msi::Message;
use crate::apic::{ApicId, EncodingError, Msi, Polarity, Rte, Trigger};

/// Bits `high` to `low`.
fn bits(value: u64, high: u32, low: u32) -> u64 {
    (value >> low) & ((1 << (high - low + 1)) - 1)
}

fn is_set(value: u64, bit: u32) -> bool {
    bits(value, bit, bit) == 1
}

const POLARITIES: [Polarity; 2] = [Polarity::High, Polarity::Low];
const TRIGGERS: [Trigger; 2] = [Trigger::Edge, Trigger::Level];

/// Every vector, polarity, trigger mode and destination that `Rte::fixed` accepts, masked and
/// unmasked (82093AA data sheet, 3.2.4).
#[test]
fn every_fixed_rte() {
    for vector in 16..=u8::MAX {
        for cpu in 0..=254 {
            for (polarity, asserted_low) in POLARITIES.into_iter().zip([false, true]) {
                for (trigger, is_level) in TRIGGERS.into_iter().zip([false, true]) {
                    let rte = Rte::fixed(vector, ApicId(cpu), polarity, trigger, false);
                    for masked in [false, true] {
                        let rte = rte.expect("fits").with_mask(masked);
                        let entry = rte.encode().expect("fits");
                        assert_eq!(bits(entry, 7, 0), u64::from(vector));
                        // Fixed delivery, physical destination.
                        assert_eq!(bits(entry, 11, 8), 0);
                        assert_eq!(is_set(entry, 13), asserted_low);
                        assert_eq!(is_set(entry, 15), is_level);
                        assert_eq!(is_set(entry, 16), masked);
                        assert_eq!(bits(entry, 63, 56), u64::from(cpu));
                        // Read-only and reserved bits.
                        assert_eq!(bits(entry, 55, 17), 0);
                        assert!(!is_set(entry, 12) && !is_set(entry, 14));
                        assert_eq!(Rte::decode(entry), Ok(rte));
                    }
                }
            }
        }
    }
}

#[test]
fn every_extended_destination() {
    for cpu in 0..0x8000 {
        let rte = Rte::fixed(0x51, ApicId(cpu), Polarity::High, Trigger::Edge, true);
        let entry = rte.and_then(Rte::encode).expect("fits");
        let id = bits(entry, 63, 56) | bits(entry, 55, 49) << 8;
        assert_eq!((id, bits(entry, 48, 0)), (cpu.into(), 0x51));
        assert_eq!(Rte::decode(entry).map(|it| it.destination), Ok(cpu as u16));

        let msi = Msi::fixed(0x51, ApicId(cpu), true).and_then(Msi::encode);
        let Message { address, data } = msi.expect("fits");
        let address = u64::from(address);
        let id = bits(address, 19, 12) | bits(address, 11, 5) << 8;
        assert_eq!((id, bits(address, 31, 20)), (cpu.into(), 0xfee));
        assert_eq!((bits(address, 4, 0), data), (0, 0x51));
    }
}

/// Every lower half, with the reserved bits above 17 clear.
#[test]
fn every_lower_half_of_an_rte() {
    for low in 0..1_u64 << 18 {
        let decoded = Rte::decode(low | 0xab << 56);
        let mode = bits(low, 10, 8) as u8;
        if mode == 3 || mode == 6 {
            assert_eq!(decoded, Err(EncodingError::Delivery(mode)));
        } else if is_set(low, 17) {
            assert_eq!(decoded, Err(EncodingError::Reserved(1 << 17)));
        } else {
            let rte = decoded.expect("valid");
            assert_eq!(u64::from(rte.vector), bits(low, 7, 0));
            assert_eq!(rte.delivery as u8, mode);
            assert_eq!(rte.logical, is_set(low, 11));
            assert_eq!(rte.pending, is_set(low, 12));
            assert_eq!(rte.polarity == Polarity::Low, is_set(low, 13));
            assert_eq!(rte.remote_irr, is_set(low, 14));
            assert_eq!(rte.trigger == Trigger::Level, is_set(low, 15));
            assert_eq!(rte.masked, is_set(low, 16));
            assert_eq!(rte.destination, 0xab);
        }
    }
}

/// Every reserved bit on its own, and the format bit.
#[test]
fn reserved_bits_of_an_rte() {
    for bit in 17..=47 {
        let decoded = Rte::decode(0x51 | 1 << bit);
        assert_eq!(decoded, Err(EncodingError::Reserved(1 << bit)));
    }
    assert_eq!(Rte::decode(0x51 | 1 << 48), Err(EncodingError::Format));
}

/// SDM vol. 3A, 12.11.1 and 12.11.2.
#[test]
fn every_fixed_message() {
    for vector in 0..=u8::MAX {
        for cpu in 0..=255 {
            let message = Msi::fixed(vector, ApicId(cpu), false).and_then(Msi::encode);
            let expected = if cpu == 255 {
                Err(EncodingError::Destination { id: 255, max: 254 })
            } else if vector < 16 {
                Err(EncodingError::Vector(vector))
            } else {
                // RH = 0, DM = 0; fixed, edge.
                Ok(Message {
                    address: 0xfee << 20 | cpu << 12,
                    data: vector.into(),
                })
            };
            assert_eq!(message, expected);
        }
    }
}

/// Every message address with 16 bits of data.
#[test]
fn every_message_taken_apart() {
    for low in 0..1_u32 << 20 {
        let address = 0xfee0_0000 | low;
        let decoded = Msi::decode(Message {
            address,
            data: 0x51,
        });
        let low = u64::from(low);
        if is_set(low, 4) {
            assert_eq!(decoded, Err(EncodingError::Format));
            continue;
        }
        let msi = decoded.expect("valid");
        let id = bits(low, 19, 12) | bits(low, 11, 5) << 8;
        assert_eq!(u64::from(msi.destination), id);
        assert_eq!(msi.redirection_hint, is_set(low, 3));
        assert_eq!(msi.logical, is_set(low, 2));
    }
    for data in 0..=u32::from(u16::MAX) {
        let address = 0xfee0_0000;
        let decoded = Msi::decode(Message { address, data });
        let bits_of = |high, low| bits(data.into(), high, low);
        let mode = bits_of(10, 8) as u8;
        if mode == 3 || mode == 6 {
            assert_eq!(decoded, Err(EncodingError::Delivery(mode)));
            continue;
        }
        let msi = decoded.expect("valid");
        assert_eq!(u64::from(msi.vector), bits_of(7, 0));
        assert_eq!(msi.delivery as u8, mode);
        assert_eq!(msi.trigger == Trigger::Level, bits_of(15, 15) == 1);
    }
    for upper in (0..=0xfff).filter(|&upper| upper != 0xfee) {
        let address = upper << 20;
        let decoded = Msi::decode(Message {
            address,
            data: 0x51,
        });
        assert_eq!(decoded, Err(EncodingError::MessageAddress(address.into())));
    }
}

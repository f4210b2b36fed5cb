//! Tests of the encodings against constants derived by hand from the manuals' figures.

mod calibration;
mod entries;
mod layouts;
mod messages;
mod modes;
mod registers;
mod timing;

use super::{ApicId, Delivery, EncodingError, Polarity, Trigger};
use std::string::ToString;

#[test]
fn delivery_modes() {
    for bits in 0..8 {
        let mode = Delivery::from_bits(bits);
        assert_eq!(mode.map(|mode| mode as u8), (bits != 3).then_some(bits));
    }
    for mode in Delivery::ALL {
        assert_eq!(
            mode.uses_vector(),
            matches!(mode, Delivery::Fixed | Delivery::LowestPriority)
        );
    }
}

#[test]
fn apic_ids_in_8_bits() {
    for id in 0..=254 {
        assert_eq!(ApicId(id).xapic(), Some(id as u8));
    }
    for id in [255, 256, 0x100, u32::MAX] {
        assert_eq!(ApicId(id).xapic(), None);
    }
    assert_eq!(ApicId(7).to_string(), "0x07");
    assert_eq!(ApicId(0x11f).to_string(), "0x11f");
}

#[test]
fn errors_in_words() {
    for (error, words) in [
        (
            EncodingError::Destination { id: 300, max: 254 },
            "destination 0x12c does not fit: at most 0xfe",
        ),
        (EncodingError::Delivery(3), "delivery mode 3 is reserved"),
        (
            EncodingError::Delivery(6),
            "delivery mode start-up cannot be sent from here",
        ),
        (
            EncodingError::Vector(15),
            "vector 0x0f is illegal: below 16",
        ),
        (
            EncodingError::Shorthand(Delivery::Init),
            "delivery mode INIT cannot be sent with this shorthand",
        ),
        (
            EncodingError::StartUpAddress(0x10_0000),
            "a CPU cannot start at 0x100000: not a page below 1 MiB",
        ),
        (
            EncodingError::Reserved(0x8000_0000_0000_0020),
            "reserved bits are set: 5 63",
        ),
        (
            EncodingError::MessageAddress(0xfec0_0000),
            "0xfec00000 is not the address of an interrupt message",
        ),
        (
            EncodingError::Format,
            "of the other format (remappable or compatible)",
        ),
    ] {
        assert_eq!(error.to_string(), words);
    }
    assert_eq!(
        (Polarity::Low.to_string(), Trigger::Level.to_string()),
        ("low".into(), "level".into())
    );
}

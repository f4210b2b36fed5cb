use super::{Bytes, Nanoseconds};
use proptest::prelude::*;
use std::format;
use std::string::ToString;

#[test]
fn whole_units_have_no_decimal() {
    for (bytes, text) in [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (640 << 10, "640 KiB"),
        (512 << 20, "512 MiB"),
        (8 << 30, "8 GiB"),
        (1023 << 30, "1023 GiB"),
        (64 << 40, "64 TiB"),
        (1 << 60, "1 EiB"),
    ] {
        assert_eq!(Bytes(bytes).to_string(), text);
    }
}

#[test]
fn the_rest_is_rounded_to_one_decimal() {
    for (bytes, text) in [
        (1025, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024 + 51, "1.0 KiB"),
        (1024 + 52, "1.1 KiB"),
        (3_435_973_837, "3.2 GiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        ((1 << 40) - 1, "1.0 TiB"),
        (u64::MAX, "16.0 EiB"),
    ] {
        assert_eq!(Bytes(bytes).to_string(), text);
    }
}

#[test]
fn durations() {
    for (nanoseconds, text) in [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1 us"),
        (12_345, "12.3 us"),
        (4_000_000, "4 ms"),
        (999_960, "1.0 ms"),
        (1_500_000_000, "1.5 s"),
        (86_400_000_000_000, "86400 s"),
        (u64::MAX, "18446744073.7 s"),
    ] {
        assert_eq!(Nanoseconds(nanoseconds).to_string(), text);
    }
}

#[test]
fn width_and_alignment_are_honoured() {
    assert_eq!(format!("[{:>9}]", Bytes(512 << 20)), "[  512 MiB]");
    assert_eq!(format!("[{:<9}]", Nanoseconds(7)), "[7 ns     ]");
}

proptest! {
    /// The displayed text differs from the value by at most half of its last digit.
    #[test]
    fn what_is_shown_is_near_the_value(value: u64, shift in 0_u32..64) {
        let value = value >> shift;
        let text = Bytes(value).to_string();
        let (number, unit) = text.split_once(' ').unwrap();
        let exponent = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
            .iter()
            .position(|name| *name == unit)
            .unwrap();
        let scale = 1_u128 << (10 * exponent);
        let tenths: u128 = match number.split_once('.') {
            Some((whole, tenth)) => {
                whole.parse::<u128>().unwrap() * 10 + tenth.parse::<u128>().unwrap()
            }
            None => number.parse::<u128>().unwrap() * 10,
        };
        prop_assert!(tenths >= 10 || value == 0, "{text} is below one unit");
        prop_assert!(tenths < 10_240 || unit == "EiB", "{text} is a whole larger unit");
        let difference = (tenths * scale).abs_diff(u128::from(value) * 10);
        // Half of a tenth, plus one for the division of an odd scale.
        prop_assert!(difference <= scale / 2 + 1, "{text} for {value}");
    }
}

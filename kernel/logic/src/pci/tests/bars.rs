//! Base address registers.

use crate::pci::bar::decode;
use crate::pci::{Bar, BarError};
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

fn all(values: &[u32], masks: &[u32]) -> Vec<(u8, Result<Bar, BarError>)> {
    decode(values, masks).collect()
}

fn one(value: u32, mask: u32) -> Option<Result<Bar, BarError>> {
    let found = all(&[value], &[mask]);
    assert!(found.len() <= 1);
    found.first().map(|&(index, result)| {
        assert_eq!(index, 0);
        result
    })
}

fn memory(address: u64, size: u64, is_64_bit: bool, prefetchable: bool) -> Bar {
    Bar::Memory {
        address,
        size,
        is_64_bit,
        prefetchable,
    }
}

#[test]
fn each_kind_is_decoded() {
    // 1 MiB of memory, as in QEMU's edu device.
    assert_eq!(
        one(0xfea0_0000, 0xfff0_0000),
        Some(Ok(memory(0xfea0_0000, 1 << 20, false, false)))
    );
    // 16 MiB, prefetchable, as in its VGA adapter.
    assert_eq!(
        one(0xfd00_0008, 0xff00_0008),
        Some(Ok(memory(0xfd00_0000, 1 << 24, false, true)))
    );
    // 32 ports, and 16 on a function that decodes only 16 address bits.
    let ports = |port, size| Some(Ok(Bar::Io { port, size }));
    assert_eq!(one(0xc041, 0xffff_ffe1), ports(0xc040, 32));
    assert_eq!(one(0xc041, 0x0000_fff1), ports(0xc040, 16));
    // The smallest of each.
    assert_eq!(one(1, 0xffff_fffd), ports(0, 4));
    assert_eq!(one(0, 0xffff_fff0), Some(Ok(memory(0, 16, false, false))));
    // The largest: half of the range of the bits.
    assert_eq!(
        one(0x8000_0000, 0x8000_0000),
        Some(Ok(memory(1 << 31, 1 << 31, false, false)))
    );
}

#[test]
fn a_64_bit_one_takes_two_registers() {
    let values = [0xfebd_5000, 0x0000_000c, 0x0000_0070, 0xc001, 0, 0];
    let masks = [0xffff_f000, 0xffff_c00c, 0xffff_ffff, 0xffff_ffc1, 0, 0];
    assert_eq!(
        all(&values, &masks),
        [
            (0, Ok(memory(0xfebd_5000, 4096, false, false))),
            (1, Ok(memory(0x70_0000_0000, 16384, true, true))),
            (
                3,
                Ok(Bar::Io {
                    port: 0xc000,
                    size: 64
                })
            ),
        ]
    );
    // 8 GiB: no bit of the low half is writable.
    let found = all(&[0x4, 0x2], &[0x4, 0xffff_fffe]);
    assert_eq!(found, [(0, Ok(memory(2 << 32, 2 << 32, true, false)))]);
    assert_eq!(all(&[4, 0, 0, 4], &[4, 0, 0, 4]).len(), 1);
    assert_eq!(all(&[4], &[0xffff_f004]), [(0, Err(BarError::NoUpperHalf))]);
}

#[test]
fn absent_bars_are_skipped() {
    assert_eq!(all(&[0; 6], &[0; 6]), []);
    // An unimplemented register may read as its kind.
    assert_eq!(one(0x0000_0001, 0x0000_0001), None);
    assert_eq!(one(0x0000_0008, 0x0000_0008), None);
    // An unimplemented 64-bit BAR still uses two registers.
    assert_eq!(all(&[4, 0xfff0_0000], &[4, 0]), []);
}

#[test]
fn invalid_bars_are_errors() {
    assert_eq!(one(0x2, 0xffff_f002), Some(Err(BarError::Type(1))));
    assert_eq!(one(0x6, 0xffff_f006), Some(Err(BarError::Type(3))));
    assert_eq!(
        one(0, 0xff0f_f000),
        Some(Err(BarError::Mask(0xffff_ffff_ff0f_f000)))
    );
    assert_eq!(
        one(0x1000, 0xffff_0000),
        Some(Err(BarError::Misaligned {
            address: 0x1000,
            size: 0x1_0000
        }))
    );
}

proptest! {
    #[test]
    fn any_registers_have_sound_ranges(values: [u32; 6], masks: [u32; 6]) {
        let mut last = None;
        for (index, result) in decode(&values, &masks) {
            prop_assert!(index < 6 && last < Some(index));
            last = Some(index);
            match result {
                Ok(bar @ Bar::Io { port, size }) => {
                    prop_assert!(size.is_power_of_two() && size >= 4);
                    prop_assert_eq!(port % size, 0);
                    prop_assert!(!bar.to_string().is_empty());
                }
                Ok(bar @ Bar::Memory { address, size, is_64_bit, .. }) => {
                    prop_assert!(size.is_power_of_two() && size >= 16);
                    prop_assert_eq!(address % size, 0);
                    let last = address + (size - 1);
                    prop_assert!(is_64_bit || last < 1 << 32);
                    prop_assert!(!bar.to_string().is_empty());
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }

    /// Decoding a register built as in hardware returns the values it was built from.
    #[test]
    fn a_sound_register_is_read_back(log2 in 4_u32..63, page: u64, prefetchable: bool) {
        let size = 1_u64 << log2;
        let address = page & !(size - 1);
        let flags = 4 | u32::from(prefetchable) << 3;
        let mask = !(size - 1);
        let values = [address as u32 | flags, (address >> 32) as u32];
        let masks = [mask as u32 | flags, (mask >> 32) as u32];
        let found = all(&values, &masks);
        prop_assert_eq!(found, [(0, Ok(memory(address, size, true, prefetchable)))]);
    }
}

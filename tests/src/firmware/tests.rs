//! Tests of `firmware`.

use super::*;

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

#[test]
fn tables_are_sound_unless_broken_on_purpose() {
    let sound = table(*b"TEST", 2, &[1, 2, 3]);
    assert_eq!((&sound[..4], sound[8]), (&b"TEST"[..], 2));
    assert_eq!((sound.len(), sound[4], sum(&sound)), (39, 39, 0));
    assert_ne!(sum(&corrupted(sound.clone())), 0);
    let claiming = claiming(sound, 500);
    assert_eq!(claiming[4..8], 500_u32.to_le_bytes());
    assert_eq!(sum(&claiming), 0);
    assert_eq!((hpet(0).len(), fadt(0).len()), (56, 116));
}

#[test]
fn entries_are_as_long_as_they_say() {
    for entry in [
        entry::local_apic(1, 2),
        entry::disabled(1, 2),
        entry::local_x2apic(1, 2),
        entry::io_apic(1, 2, 3),
        entry::interrupt_override(1, 2, 3),
        entry::local_apic_address(1),
        entry::nmi(1, 0),
        entry::raw(0x80, 5, &[0; 3]),
    ] {
        assert_eq!(entry.len(), usize::from(entry[1]), "{entry:?}");
    }
    assert_eq!(madt(&[entry::nmi(1, 0)]).len(), HEADER + 8 + 6);
}

#[test]
fn the_root_table_names_them_in_order() {
    let firmware = Firmware::new().table(vec![7; 20]).table(vec![8; 4]);
    let firmware = firmware.stray(0xdead_0000);
    let (blob, offsets) = firmware.blob();
    assert_eq!(offsets, [48, 80]);
    assert_eq!(blob[HEADER..HEADER + 4], 48_u32.to_le_bytes());
    assert_eq!(blob[HEADER + 8..HEADER + 12], 0xdead_0000_u32.to_le_bytes());
    assert_eq!(blob[80..], [8; 4]);
    // Two allocations, two pointers and a checksum in the tables, and the same in the RSDP.
    assert_eq!(firmware.script(&offsets).len(), 7 * COMMAND);
    assert_eq!(rsdp().len(), RSDP_SIZE);
}

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
    assert_eq!((dmar(3).len(), mcfg(&[(0, 0, 0)]).len()), (48, 60));
    assert_eq!(fadt_with_boot_flags(0, 0).len(), 244);
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
        entry::nmi_source(1, 0),
        entry::raw(0x80, 5, &[0; 3]),
    ] {
        assert_eq!(entry.len(), usize::from(entry[1]), "{entry:?}");
    }
    assert_eq!(madt(&[entry::nmi(1, 0)]).len(), HEADER + 8 + 6);
}

#[test]
fn the_root_table_names_them_in_order() {
    let firmware = Firmware::new().table(vec![7; 20]).table(vec![8; 4]);
    let firmware = firmware.dangling(0xdead_0000);
    let mut script = Script(Vec::new());
    let blob = firmware.blob(&mut script);
    assert_eq!(blob.bytes[HEADER..HEADER + 4], 48_u32.to_le_bytes());
    assert_eq!(blob.bytes[HEADER + 4..HEADER + 8], 80_u32.to_le_bytes());
    assert_eq!(
        blob.bytes[HEADER + 8..HEADER + 12],
        0xdead_0000_u32.to_le_bytes()
    );
    assert_eq!(blob.bytes[80..], [8; 4]);
    assert_eq!(blob.xsdt, None);
    // Two pointers and a checksum, and one of each in the RSDP.
    assert_eq!(script.0.len(), 3 * COMMAND);
    let pointer = firmware.rsdp(&mut script, blob.xsdt);
    assert_eq!((pointer.len(), script.0.len()), (RSDP_SIZE, 5 * COMMAND));
}

#[test]
fn an_xsdt_is_beside_the_rsdt() {
    let firmware = Firmware::new().table(vec![7; 20]).dangling(1 << 40);
    for (xsdt, entries, commands) in [
        (Xsdt::Alone, 2, 4),
        (Xsdt::Corrupted, 2, 3),
        (Xsdt::Empty, 0, 3),
    ] {
        let firmware = firmware.clone().xsdt(xsdt);
        let mut script = Script(Vec::new());
        let blob = firmware.blob(&mut script);
        let start = blob.xsdt.expect("an XSDT");
        assert_eq!(blob.bytes.len() - start, HEADER + 8 * entries);
        assert_eq!(script.0.len(), commands * COMMAND);
        let pointer = firmware.rsdp(&mut script, blob.xsdt);
        assert_eq!((pointer.len(), pointer[15]), (EXTENDED_SIZE, 2));
        assert_eq!(pointer[24..32], (start as u64).to_le_bytes());
    }
}

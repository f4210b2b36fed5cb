//! Tests of `tables`, on bytes written by hand from the specification.

use super::*;

#[test]
fn entries_are_put_into_records() {
    let mut madt = vec![0; MADT_ENTRIES];
    madt.extend([0, 8, 3, 4, 1, 0, 0, 0]);
    madt.extend([0, 8, 5, 6, 0, 0, 0, 0]);
    madt.extend([1, 12, 2, 0, 0, 0, 0xc0, 0xfe, 24, 0, 0, 0]);
    madt.extend([2, 10, 0, 9, 20, 0, 0, 0, 0x0f, 0]);
    madt.extend([4, 6, 0xff, 0, 0, 1]);
    madt.extend([4, 6, 7, 5, 0, 0]);
    madt.extend([9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 2, 1, 0, 0]);
    madt.extend([10, 12, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
    let expected = [
        json!({ "entry": "local_apic", "uid": 3, "apic_id": 4, "enabled": true, "online_capable": false }),
        json!({ "entry": "local_apic", "uid": 5, "apic_id": 6, "enabled": false, "online_capable": false }),
        json!({ "entry": "io_apic", "id": 2, "address": 0xfec0_0000_u32, "gsi_base": 24 }),
        json!({ "entry": "override", "bus": 0, "irq": 9, "gsi": 20, "polarity": "low", "trigger": "level", "reserved_bits": 0 }),
        json!({ "entry": "local_apic_nmi", "uid": null, "lint": 1, "polarity": "conforming", "trigger": "conforming", "reserved_bits": 0 }),
        json!({ "entry": "local_apic_nmi", "uid": 7, "lint": 0, "polarity": "high", "trigger": "edge", "reserved_bits": 0 }),
        json!({ "entry": "local_x2apic", "uid": 258, "apic_id": 0x100, "enabled": true, "online_capable": false }),
        json!({ "entry": "local_x2apic_nmi", "uid": null, "lint": 1, "polarity": "conforming", "trigger": "conforming", "reserved_bits": 0 }),
    ];
    let offsets = [0x2c, 0x34, 0x3c, 0x48, 0x52, 0x58, 0x5e, 0x6e];
    let expected = expected
        .into_iter()
        .zip(offsets)
        .map(|(mut entry, offset)| {
            entry["kind"] = json!("madt_entry");
            entry["offset"] = json!(offset);
            entry
        });
    assert_eq!(madt_entries(&madt), expected.collect::<Vec<_>>());
}

#[test]
fn sums_wrap() {
    assert_eq!(sum(&[0xff, 1]), 0);
    assert_eq!(sum(&[]), 0);
}

//! Tests of `tables`, on bytes written by hand from the specification.

use super::*;

#[test]
fn entries_are_put_into_words() {
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
        "  0x002c  local APIC: UID 3, APIC ID 0x04, enabled",
        "  0x0034  local APIC: UID 5, APIC ID 0x06, not enabled",
        "  0x003c  I/O APIC: ID 0x02, address 0xfec00000, GSIs from 24",
        "  0x0048  override: bus 0 IRQ 9 is GSI 20, active low, level",
        "  0x0052  local APIC NMI: all CPUs, LINT1, polarity of the bus, trigger of the bus",
        "  0x0058  local APIC NMI: UID 7, LINT0, active high, edge",
        "  0x005e  local x2APIC: UID 258, APIC ID 0x100, enabled",
        "  0x006e  local x2APIC NMI: all CPUs, LINT1, polarity of the bus, trigger of the bus",
    ];
    assert_eq!(madt_lines(&madt), expected);
}

#[test]
fn sums_wrap() {
    assert_eq!(sum(&[0xff, 1]), 0);
    assert_eq!(sum(&[]), 0);
}

use super::{Flags, cr0, cr4, dr6, rflags};
use std::collections::HashSet;
use std::string::ToString;

#[test]
fn rflags_of_running_code() {
    // Bit 1 is always set and is not a flag.
    assert_eq!(rflags(0x0002).to_string(), "0x00000002");
    assert_eq!(rflags(0x1_0246).to_string(), "0x00010246 PF ZF IF RF");
    assert_eq!(rflags(0x3202).to_string(), "0x00003202 IF IOPL.0 IOPL.1");
}

#[test]
fn rflags_whose_bit_1_is_clear_say_so() {
    assert_eq!(rflags(0).to_string(), "0x00000000 bit 1");
}

#[test]
fn control_registers() {
    assert_eq!(cr0(0x8001_0033).to_string(), "0x80010033 PE MP ET NE WP PG");
    assert_eq!(
        cr4(0x0030_0668).to_string(),
        "0x00300668 DE PAE MCE OSFXSR OSXMMEXCPT SMEP SMAP"
    );
    assert_eq!(cr4(1 << 32).to_string(), "0x100000000 FRED");
}

#[test]
fn dr6_at_rest_reports_nothing() {
    assert_eq!(dr6(0xffff_0ff0).to_string(), "0xffff0ff0");
}

#[test]
fn dr6_names_what_happened_in_either_sense() {
    assert_eq!(dr6(0xffff_4ff0).to_string(), "0xffff4ff0 BS");
    assert_eq!(dr6(0xffff_0ff3).to_string(), "0xffff0ff3 B0 B1");
    // BLD and RTM are cleared by their events.
    assert_eq!(dr6(0xffff_07f0).to_string(), "0xffff07f0 BLD");
    assert_eq!(dr6(0xfffe_0ff0).to_string(), "0xfffe0ff0 RTM");
}

#[test]
fn a_bit_without_a_name_is_shown() {
    assert_eq!(cr0(1 << 40).to_string(), "0x10000000000 bit 40");
}

#[test]
fn tables_are_in_order_and_without_doubles() {
    for Flags { names, .. } in [rflags(0), cr0(0), cr4(0), dr6(0)] {
        assert!(names.is_sorted_by_key(|&(bit, _)| bit));
        let bits: HashSet<_> = names.iter().map(|&(bit, _)| bit).collect();
        let texts: HashSet<_> = names.iter().map(|&(_, name)| name).collect();
        assert_eq!(bits.len(), names.len());
        assert_eq!(texts.len(), names.len());
    }
}

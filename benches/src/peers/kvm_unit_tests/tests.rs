//! Tests of `kvm_unit_tests`.

use super::*;

#[test]
fn means_are_read() {
    let output = "enabling apic\npaging enabled\nx2apic_self_ipi_sti_nop 7650\n  ipi x2apic_self_ipi_sti_nop 691\nipi 20119\ncr4 = 20\nipi_halt many\n";
    let measured = read(output).unwrap();
    let names: Vec<_> = measured
        .iter()
        .map(|measured| measured.test.as_str())
        .collect();
    assert_eq!(names, ["x2apic_self_ipi_sti_nop", "ipi"]);
    assert!((measured[1].value - 20119.0).abs() < 1e-9);
    assert!(read("enabling apic\n").is_err());
}

//! Tests of `output`.

use super::*;

const LOG: &str = "\
[   0.352401] cpu0   warning: acpi: MADT: 33 CPUs are left out
[   3.120066] cpu0   error: smp: CPU 2 (APIC ID 0x02) did not start
[   0.121146] cpu0   smp: 2 of 3 other CPUs started in 11.9 ms
tocsin: ready: 3/4 CPUs online, x2apic, 2 I/O APICs (48 pins)
";

#[test]
fn the_log_is_read() {
    let ready = Ready {
        online: 3,
        present: 4,
        mode: "x2apic".to_owned(),
        io_apics: 2,
        pins: 48,
    };
    assert_eq!(Ready::parse(LOG), Ok(ready));
    assert!(Ready::parse("tocsin: ready: 3/4 CPUs").is_err());
    assert!(Ready::parse(&LOG.repeat(2)).is_err());
    assert_eq!(started(LOG), Ok((2, 3)));
    assert_eq!(
        of_level(LOG, "warning"),
        ["acpi: MADT: 33 CPUs are left out"]
    );
    assert_eq!(of_level(LOG, "error").len(), 1);
}

//! Tests of `answers`.

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

#[test]
fn tables_are_read() {
    let text = "\
RSDP at 0xf5250, revision 0, OEM BOCHS
  table  address             length  revision  OEM     OEM table  contents
  RSDT   0x000000001ffe23f7      56         1  BOCHS   BXPC       root table, 32-bit
  APIC   0x000000001ffe22cb     144         3  BOCHS   BXPC       interrupt controllers
";
    let rows = tables(text);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1].signature, "APIC");
    assert_eq!(rows[1].address, 0x1ffe_22cb);
    assert_eq!((rows[1].length, rows[1].revision), (144, 3));
}

#[test]
fn controllers_are_read() {
    let text = "\
Mode x2apic: the CPU has it
Local APIC of CPU 3: ID 0x0a, version 0x14, 6 LVT entries
  LVT LINT1         0x00000400  NMI
  SVR               0x000001ff
I/O APIC ID 0x00 (register 0x00) at 0xfec00000: version 0x20, GSI 0 to 23, 23 of 24 masked
Spurious interrupts 0, errors 1, 8259 ghosts 2 and 3
";
    let apic = Apic::parse(text).unwrap();
    assert_eq!(apic.mode, "x2apic");
    assert_eq!((apic.local.cpu, apic.local.id), (3, 10));
    assert_eq!(apic.local.registers["LVT LINT1"], 0x400);
    assert_eq!(apic.local.registers["SVR"], 0x1ff);
    assert_eq!(apic.io_apics, [(0xfec0_0000, 23, 24)]);
    assert_eq!(apic.mishaps, [0, 1, 2, 3]);
    assert!(Apic::parse("Mode x2apic: the CPU has it").is_err());
    let timer = "  periodic: 9 of 10 interrupts in 10.0 ms, 10 ms wanted\n";
    assert_eq!(timer_counts(timer), [("periodic".to_owned(), 9, 10)]);
}

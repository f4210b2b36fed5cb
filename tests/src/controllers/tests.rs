//! Tests of `controllers`.

use super::*;

const LOCAL: &str = "
dumping local APIC state for CPU 1 

LVT0	 0x00010700 active-hi edge  masked                      ExtINT (vec 0)
LVT1	 0x00000400 active-hi edge                              NMI   
LVTPC	 0x00010000 active-hi edge  masked                      Fixed  (vec 0)
LVTERR	 0x000000fe active-hi edge                              Fixed  (vec 254)
LVTTHMR	 0x00010000 active-hi edge  masked                      Fixed  (vec 0)
LVTT	 0x000100e0 active-hi edge  masked         one-shot     Fixed  (vec 224)
Timer	 DCR=0xb (divide by 1) initial_count = 0 current_count = 0
SPIV	 0x000001ff APIC enabled, focus=off, spurious vec 255
ICR	 0x000040f0 physical edge assert no-shorthand
ICR2	 0x00000002 cpu 2 (X2APIC ID)
ESR	 0x00000000
ISR	 (none)
IRR	 240 

APR 0x00 TPR 0xe0 DFR 0x0f LDR 0x01 PPR 0xe0
";

const SHARED: &str = "\
pic1: irr=00 imr=ff isr=00 hprio=0 irq_base=28 rr_sel=0 elcr=0c fnm=0
pic0: irr=01 imr=fb isr=00 hprio=0 irq_base=20 rr_sel=0 elcr=00 fnm=0
ioapic0: ver=0x20 id=0x00 sel=0x18 (redir[4])
  pin 0  0x0000000000010000 dest=0 vec=0   active-hi edge  masked fixed  physical
  pin 1  0x0000000000000040 dest=0 vec=64  active-hi edge         fixed  physical
  IRR      (none)
";

#[test]
fn a_local_apic_is_read() {
    let apic = LocalApic::parse(LOCAL).unwrap();
    assert_eq!(apic.register("SPIV"), Ok(0x1ff));
    assert_eq!(apic.register("TPR"), Ok(0xe0));
    assert_eq!(apic.register("LVTT"), Ok(0x100e0));
    assert_eq!(apic.unmasked(), ["LVT1", "LVTERR"]);
    assert_eq!(apic.delivers_nmi("LVT1"), Ok(true));
    assert_eq!(apic.delivers_nmi("LVT0"), Ok(false));
    assert_eq!((apic.in_service, apic.requested), (false, true));
    assert!(apic.register("NONE").is_err());
    assert!(LocalApic::parse("No such APIC").is_err());
}

#[test]
fn shared_controllers_are_read() {
    let shared = Shared::parse(SHARED);
    assert_eq!(shared.pics["pic0"], (0xfb, 0x20));
    assert_eq!(shared.pics["pic1"], (0xff, 0x28));
    let io_apic = IoApic {
        version: 0x20,
        entries: vec![0x10000, 0x40],
    };
    assert_eq!(shared.io_apics, [io_apic]);
    assert_eq!(shared.io_apics[0].unmasked(), [1]);
}

//! Tests of `processor`.

use super::*;

const TEXT: &str = "
CPU#0
RAX=0000000000000000 RBX=0000000000000000 RCX=0000000000000000 RDX=00000000000003fd
R8 =ffff8000fec00010 R9 =0000000000000001 R10=0000000001000000 R11=0000000000000000
RSI=0000000000000000 RDI=0000000000000019 RBP=ffffe0000001fd90 RSP=ffffe0000001f220
RIP=ffffffff8021030d RFL=00000297 [--S-APC] CPL=0 II=0 A20=1 SMM=0 HLT=1
CS =0008 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]
GS =0000 ffffffff802472c0 00000000 00000000
TR =0028 ffffffff80247330 00000067 00008900 DPL=0 TSS64-avl
GDT=     ffffffff802472e8 00000037
IDT=     ffffffff80246000 00000fff
CR0=80050033 CR2=0000000000000000 CR3=0000000000292000 CR4=00300ee8
EFER=0000000000000d00

CPU#11
EAX=00000011 EBX=000008ff ECX=00000007 EDX=00000000
EIP=00000088 EFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
CS =9e00 0009e000 0000ffff 00009b00
TR =0000 00000000 0000ffff 00008b00
GDT=     00000000 0000ffff
IDT=     00000000 0000ffff
CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000
EFER=0000000000000000
";

#[test]
fn long_mode_is_read() {
    let all = Processor::parse_all(TEXT).unwrap();
    assert_eq!(all.len(), 2);
    let cpu = &all[0];
    assert_eq!((cpu.index, cpu.halted), (0, true));
    assert_eq!(cpu.mode(), Ok(Mode::Long));
    assert_eq!(cpu.takes_interrupts(), Ok(true));
    assert_eq!(cpu.register("R8"), Ok(0xffff_8000_fec0_0010));
    assert_eq!(cpu.register("CR4"), Ok(0x0030_0ee8));
    assert_eq!(cpu.register("RSP"), Ok(0xffff_e000_0001_f220));
    assert_eq!(cpu.table("IDT"), Ok((0xffff_ffff_8024_6000, 0xfff)));
    let task = Segment {
        selector: 0x28,
        base: 0xffff_ffff_8024_7330,
        limit: 0x67,
    };
    assert_eq!(cpu.segment("TR"), Ok(task));
    assert!(cpu.register("CR8").is_err());
}

#[test]
fn real_mode_is_read() {
    let cpu = &Processor::parse_all(TEXT).unwrap()[1];
    assert_eq!((cpu.index, cpu.halted), (11, false));
    assert_eq!(cpu.mode(), Ok(Mode::Real));
    assert_eq!(cpu.takes_interrupts(), Ok(false));
    assert_eq!(cpu.register("RIP"), Ok(0x88));
    assert_eq!(cpu.segment("CS").unwrap().base, 0x9e000);
}

#[test]
fn no_cpu_is_an_error() {
    assert!(Processor::parse_all("unknown command").is_err());
    assert!(Processor::parse_all("CPU#x").is_err());
}

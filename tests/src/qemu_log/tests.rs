//! Tests of `qemu_log`.

use super::*;

const LOG: &str = "\
Servicing hardware INT=0x08
EAX=00000000 EBX=00000000
check_exception old: 0xffffffff new 0xe
     0: v=0e e=0002 i=0 cpl=0 IP=0008:ffffffff8020e25b pc=ffffffff8020e25b SP=0010:ffffe0000000fe60 CR2=ffffe0000000fe60
RAX=ffffe00000010070 RBX=0000000000000001 RCX=0000000000000002 RDX=0000000000000003
R8 =0000000000000008 R9 =0000000001000000 R10=8000000000000003 R11=0000000000000000
RIP=ffffffff8020e25b RFL=00000086 [--S--P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
CS =0008 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]
CR0=80050033 CR2=ffffe0000000fe60 CR3=000000000024e000 CR4=00300ee8
EFER=0000000000000d00
SMM: enter
RAX=0000000000000000
check_exception old: 0xe new 0xe
     1: v=08 e=0000 i=1 cpl=0 IP=0008:ffffffff8020e25b pc=ffffffff8020e25b SP=0010:ffffe0000000fe60 env->regs[R_EAX]=ffffe00000010070
";

#[test]
fn deliveries_come_with_their_registers() {
    let found = deliveries(LOG);
    assert_eq!(
        found
            .iter()
            .map(|delivery| delivery.vector)
            .collect::<Vec<_>>(),
        [14, 8]
    );
    let (fault, double) = (&found[0], &found[1]);
    assert_eq!(
        (fault.error_code, fault.software, double.software),
        (2, false, true)
    );
    for (name, value) in [
        ("RAX", 0xffff_e000_0001_0070),
        ("R8", 8),
        ("R10", 0x8000_0000_0000_0003),
        ("RFL", 0x86),
        ("CR2", 0xffff_e000_0000_fe60),
        ("CS", 8),
        ("EFER", 0xd00),
    ] {
        assert_eq!(fault.register(name), Ok(value), "{name}");
    }
    assert!(fault.register("CR9").is_err());
    assert_eq!(
        (fault.raised.as_slice(), double.raised.as_slice()),
        (&[14][..], &[14][..])
    );
}

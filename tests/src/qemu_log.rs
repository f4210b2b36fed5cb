//! Reads QEMU's log of interrupts and exceptions (`-d int`): what QEMU delivered,
//! told by QEMU and not by the kernel.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

/// One interrupt or exception that QEMU delivered in long mode, with the CPU's state before it.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// The vector.
    pub vector: u8,
    /// The error code; 0 where the vector has none.
    pub error_code: u64,
    /// Whether an INT instruction asked for it.
    pub software: bool,
    /// The registers, by QEMU's names: `RAX`, `RIP`, `RFL`, `CR2`, ...
    pub registers: BTreeMap<String, u64>,
    /// Exceptions that QEMU raised before this one could be delivered, oldest first.
    pub raised: Vec<u8>,
}

impl Delivery {
    /// The value of a register.
    ///
    /// # Errors
    ///
    /// The log does not show it.
    pub fn register(&self, name: &str) -> Result<u64, String> {
        let value = self.registers.get(name).copied();
        value.ok_or_else(|| format!("QEMU's log does not show {name}"))
    }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is part of this program")
}

/// All deliveries in a log to code in the kernel's half of the address space.
#[must_use]
pub fn deliveries(log: &str) -> Vec<Delivery> {
    static HEAD: LazyLock<Regex> = LazyLock::new(|| {
        regex(r"^ *\d+: v=([0-9a-f]+) e=([0-9a-f]+) i=([01]) cpl=0 IP=[0-9a-f]{4}:([0-9a-f]{16}) ")
    });
    static RAISED: LazyLock<Regex> =
        LazyLock::new(|| regex(r"^check_exception old: 0x[0-9a-f]+ new 0x([0-9a-f]+)"));
    static REGISTER: LazyLock<Regex> =
        LazyLock::new(|| regex(r"\b([A-Z][A-Z0-9]{1,3}) *=([0-9a-f]{4,16})\b"));

    let number = |text: &str| u64::from_str_radix(text, 16).unwrap_or_default();
    let mut found: Vec<Delivery> = Vec::new();
    let mut raised = Vec::new();
    // Whether the lines are the registers of the last delivery.
    let mut registers = false;
    for line in log.lines() {
        if let Some(head) = HEAD.captures(line) {
            registers = true;
            found.push(Delivery {
                vector: number(&head[1]) as u8,
                error_code: number(&head[2]),
                software: &head[3] == "1",
                raised: std::mem::take(&mut raised),
                ..Delivery::default()
            });
        } else if let Some(exception) = RAISED.captures(line) {
            raised.push(number(&exception[1]) as u8);
        } else if let (true, Some(delivery)) = (registers, found.last_mut()) {
            for register in REGISTER.captures_iter(line) {
                delivery
                    .registers
                    .insert(register[1].to_owned(), number(&register[2]));
            }
            registers = !line.starts_with("EFER=");
        }
    }
    found
}

#[cfg(test)]
mod tests {
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
}

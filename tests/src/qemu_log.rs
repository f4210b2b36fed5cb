//! Parser for QEMU's log of interrupts and exceptions (`-d int`): deliveries as reported by QEMU
//! and not by the kernel.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

/// One interrupt or exception that QEMU delivered in long mode, with the CPU's state before it.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// The vector.
    pub vector: u8,
    /// The error code; 0 for vectors without one.
    pub error_code: u64,
    /// Whether an INT instruction caused it.
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
    /// The log does not contain it.
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
    // Whether the next lines are the registers of the last delivery.
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

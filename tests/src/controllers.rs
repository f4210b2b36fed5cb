//! State of the interrupt controllers in QEMU (HMP `info lapic` and `info pic`).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use tocsin_tools::Session;

/// The mask bit of an LVT entry and of a redirection entry (SDM vol. 3A, 12.5.1; 82093AA, 3.2.4).
const MASKED: u64 = 1 << 16;

/// The delivery mode field of either, and its value for NMI.
const DELIVERY_MODE: u64 = 7 << 8;
const NMI: u64 = 4 << 8;

/// One local APIC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalApic {
    /// All registers that QEMU lists, by its names: `LVT0`, `LVTERR`, `SPIV`, `ESR`, `TPR`, ...
    pub registers: BTreeMap<String, u64>,
    /// Whether an interrupt is in service.
    pub in_service: bool,
    /// Whether an interrupt is pending.
    pub requested: bool,
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is part of this program")
}

fn hex(digits: &str) -> u64 {
    u64::from_str_radix(digits, 16).unwrap_or_default()
}

impl LocalApic {
    /// The local APIC with this ID.
    ///
    /// # Errors
    ///
    /// QEMU does not respond, or has no such local APIC.
    pub fn of(session: &Session, id: u32) -> Result<Self, String> {
        let text = session.hmp(&format!("info lapic {id}"));
        Self::parse(&text.map_err(|e| e.to_string())?)
    }

    /// Parses the output of `info lapic`.
    ///
    /// # Errors
    ///
    /// The output contains no local APIC.
    pub fn parse(text: &str) -> Result<Self, String> {
        static REGISTER: LazyLock<Regex> =
            LazyLock::new(|| regex(r"\b([A-Z]+[0-2]?)[ \t]+0x([0-9a-f]+)"));
        let set = |name: &str| {
            let mut lines = text.lines();
            let line = lines.find_map(|line| line.strip_prefix(name));
            let line = line.ok_or_else(|| format!("QEMU shows no {name}: {text}"))?;
            Ok::<_, String>(line.trim() != "(none)")
        };
        let (in_service, requested) = (set("ISR")?, set("IRR")?);
        let registers = REGISTER.captures_iter(text);
        let registers = registers.map(|parts| (parts[1].to_owned(), hex(&parts[2])));
        Ok(Self {
            registers: registers.collect(),
            in_service,
            requested,
        })
    }

    /// A register by QEMU's name.
    ///
    /// # Errors
    ///
    /// QEMU does not list it.
    pub fn register(&self, name: &str) -> Result<u64, String> {
        let value = self.registers.get(name).copied();
        value.ok_or_else(|| format!("QEMU does not show {name} of a local APIC"))
    }

    /// The names of the unmasked LVT entries.
    #[must_use]
    pub fn unmasked(&self) -> Vec<&str> {
        let entries = self.registers.iter();
        let entries =
            entries.filter(|(name, value)| name.starts_with("LVT") && *value & MASKED == 0);
        entries.map(|(name, _)| name.as_str()).collect()
    }

    /// Whether this LVT entry is unmasked and delivers an NMI.
    ///
    /// # Errors
    ///
    /// QEMU does not list the entry.
    pub fn delivers_nmi(&self, name: &str) -> Result<bool, String> {
        Ok(self.register(name)? & (DELIVERY_MODE | MASKED) == NMI)
    }
}

/// The redirection entries of an I/O APIC, by pin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IoApic {
    /// The low byte of its version register.
    pub version: u64,
    /// The entries.
    pub entries: Vec<u64>,
}

impl IoApic {
    /// The pins whose entries are not masked.
    #[must_use]
    pub fn unmasked(&self) -> Vec<usize> {
        let pins = self.entries.iter().enumerate();
        let pins = pins.filter(|(_, entry)| *entry & MASKED == 0);
        pins.map(|(pin, _)| pin).collect()
    }
}

/// The interrupt controllers shared by the whole machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shared {
    /// The I/O APICs.
    pub io_apics: Vec<IoApic>,
    /// Mask and first vector of the 8259s, by QEMU's names: `pic0` is the first.
    pub pics: BTreeMap<String, (u64, u64)>,
}

impl Shared {
    /// Reads them from a running machine.
    ///
    /// # Errors
    ///
    /// QEMU does not respond.
    pub fn of(session: &Session) -> Result<Self, String> {
        let text = session.hmp("info pic");
        Ok(Self::parse(&text.map_err(|e| e.to_string())?))
    }

    /// Parses the output of `info pic`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        static IO_APIC: LazyLock<Regex> =
            LazyLock::new(|| regex(r"^ioapic\d*: ver=0x([0-9a-f]+) "));
        static PIN: LazyLock<Regex> = LazyLock::new(|| regex(r"^ +pin (\d+) +0x([0-9a-f]{16}) "));
        static PIC: LazyLock<Regex> =
            LazyLock::new(|| regex(r"^(pic\d): .*\bimr=([0-9a-f]+) .*\birq_base=([0-9a-f]+)"));
        let mut found = Self::default();
        for line in text.lines() {
            if let Some(parts) = IO_APIC.captures(line) {
                found.io_apics.push(IoApic {
                    version: hex(&parts[1]),
                    entries: Vec::new(),
                });
            } else if let Some(parts) = PIC.captures(line) {
                let (mask, vector) = (hex(&parts[2]), hex(&parts[3]));
                found.pics.insert(parts[1].to_owned(), (mask, vector));
            } else if let (Some(parts), Some(last)) =
                (PIN.captures(line), found.io_apics.last_mut())
            {
                last.entries.push(hex(&parts[2]));
            }
        }
        found
    }
}

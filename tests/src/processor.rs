//! Registers of all CPUs, as reported by QEMU (HMP `info registers`).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use tocsin_tools::Session;

/// Bits of RFLAGS, CR0 and EFER (SDM vol. 1, 3.4.3; vol. 3A, 2.5; vol. 4, 2.1).
const RFLAGS_IF: u64 = 1 << 9;
const CR0_PE: u64 = 1;
const CR0_PG: u64 = 1 << 31;
const EFER_LMA: u64 = 1 << 10;

/// The operating mode of a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Real mode: paging and protection are disabled.
    Real,
    /// Protected mode without paging.
    Protected,
    /// IA-32e mode: 64-bit or compatibility mode.
    Long,
    /// Protected mode with 32-bit paging.
    Paged,
}

/// A segment register with its hidden part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Segment {
    /// The selector.
    pub selector: u16,
    /// The base address.
    pub base: u64,
    /// The limit.
    pub limit: u64,
}

/// The registers of one CPU.
#[derive(Debug, Clone, Default)]
pub struct Processor {
    /// QEMU's CPU number.
    pub index: u32,
    /// Whether it is halted.
    pub halted: bool,
    registers: BTreeMap<String, u64>,
    segments: BTreeMap<String, Segment>,
    tables: BTreeMap<String, (u64, u64)>,
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is part of this program")
}

fn hex(digits: &str) -> u64 {
    u64::from_str_radix(digits, 16).unwrap_or_default()
}

impl Processor {
    /// All CPUs of a running machine, by QEMU's numbers.
    ///
    /// # Errors
    ///
    /// QEMU does not respond, or not with registers.
    pub fn all(session: &Session) -> Result<Vec<Self>, String> {
        let text = session.hmp("info registers -a");
        Self::parse_all(&text.map_err(|e| e.to_string())?)
    }

    /// Parses the output of `info registers -a`.
    ///
    /// # Errors
    ///
    /// The output contains no CPU.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        let mut found: Vec<Self> = Vec::new();
        for line in text.lines() {
            if let Some(index) = line.strip_prefix("CPU#") {
                let index = index.trim().parse();
                found.push(Self {
                    index: index.map_err(|_| format!("bad CPU number: {line}"))?,
                    ..Self::default()
                });
            } else if let Some(processor) = found.last_mut() {
                processor.take(line);
            }
        }
        if found.is_empty() {
            return Err(format!("QEMU shows no CPU: {text}"));
        }
        Ok(found)
    }

    fn take(&mut self, line: &str) {
        static SEGMENT: LazyLock<Regex> = LazyLock::new(|| {
            regex(r"^([CDEFGS]S|LDT|TR) *=([0-9a-f]{4}) ([0-9a-f]+) ([0-9a-f]+) ")
        });
        static TABLE: LazyLock<Regex> =
            LazyLock::new(|| regex(r"^(GDT|IDT)= +([0-9a-f]+) ([0-9a-f]+)"));
        static REGISTER: LazyLock<Regex> =
            LazyLock::new(|| regex(r"\b([A-Z][A-Z0-9]{1,3}) *=([0-9a-f]+)\b"));
        if let Some(parts) = SEGMENT.captures(line) {
            let segment = Segment {
                selector: hex(&parts[2]) as u16,
                base: hex(&parts[3]),
                limit: hex(&parts[4]),
            };
            self.segments.insert(parts[1].to_owned(), segment);
        } else if let Some(parts) = TABLE.captures(line) {
            let table = (hex(&parts[2]), hex(&parts[3]));
            self.tables.insert(parts[1].to_owned(), table);
        } else {
            for parts in REGISTER.captures_iter(line) {
                // QEMU uses other names outside of 64-bit mode.
                let name = match &parts[1] {
                    "EIP" => "RIP",
                    "EFL" | "RFL" => "RFLAGS",
                    "ESP" => "RSP",
                    "HLT" => {
                        self.halted = &parts[2] == "1";
                        continue;
                    }
                    name => name,
                };
                self.registers.insert(name.to_owned(), hex(&parts[2]));
            }
        }
    }

    /// A register, such as `RIP`, `RSP`, `RFLAGS`, `CR3`, `EFER`.
    ///
    /// # Errors
    ///
    /// QEMU does not list it.
    pub fn register(&self, name: &str) -> Result<u64, String> {
        let value = self.registers.get(name).copied();
        value.ok_or_else(|| format!("QEMU does not show {name} of CPU {}", self.index))
    }

    /// A segment register, such as `CS`, `GS`, `TR`.
    ///
    /// # Errors
    ///
    /// QEMU does not list it.
    pub fn segment(&self, name: &str) -> Result<Segment, String> {
        let value = self.segments.get(name).copied();
        value.ok_or_else(|| format!("QEMU does not show {name} of CPU {}", self.index))
    }

    /// Base and limit of the `GDT` or `IDT`.
    ///
    /// # Errors
    ///
    /// QEMU does not list it.
    pub fn table(&self, name: &str) -> Result<(u64, u64), String> {
        let value = self.tables.get(name).copied();
        value.ok_or_else(|| format!("QEMU does not show the {name} of CPU {}", self.index))
    }

    /// Whether interrupts are enabled.
    ///
    /// # Errors
    ///
    /// QEMU does not list RFLAGS.
    pub fn takes_interrupts(&self) -> Result<bool, String> {
        Ok(self.register("RFLAGS")? & RFLAGS_IF != 0)
    }

    /// The operating mode.
    ///
    /// # Errors
    ///
    /// QEMU does not list CR0 or EFER.
    pub fn mode(&self) -> Result<Mode, String> {
        let (cr0, efer) = (self.register("CR0")?, self.register("EFER")?);
        Ok(match (cr0 & CR0_PE != 0, cr0 & CR0_PG != 0) {
            (false, _) => Mode::Real,
            (true, false) => Mode::Protected,
            (true, true) if efer & EFER_LMA != 0 => Mode::Long,
            (true, true) => Mode::Paged,
        })
    }
}

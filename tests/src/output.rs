//! The kernel's output: its log, and the records of the monitor's commands.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is part of this program")
}

fn number(digits: &str) -> u32 {
    digits.parse().unwrap_or_default()
}

/// The line that reports a completed boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Number of online CPUs.
    pub online: u32,
    /// Number of CPUs found.
    pub present: u32,
    /// The mode of the local APICs, such as `x2apic`.
    pub mode: String,
    /// Number of I/O APICs.
    pub io_apics: u32,
    /// Number of pins of all I/O APICs.
    pub pins: u32,
}

impl Ready {
    /// Parses the line in the boot log.
    ///
    /// # Errors
    ///
    /// The line is missing, or occurs twice.
    pub fn parse(log: &str) -> Result<Self, String> {
        static LINE: LazyLock<Regex> = LazyLock::new(|| {
            regex(
                r"(?m)^tocsin: ready: (\d+)/(\d+) CPUs online, (\w+), (\d+) I/O APICs? \((\d+) pins\)$",
            )
        });
        let mut found = LINE.captures_iter(log);
        let line = found
            .next()
            .ok_or("the log has no line `tocsin: ready: ...`")?;
        if found.next().is_some() {
            return Err("the kernel says twice that it is ready".to_owned());
        }
        Ok(Self {
            online: number(&line[1]),
            present: number(&line[2]),
            mode: line[3].to_owned(),
            io_apics: number(&line[4]),
            pins: number(&line[5]),
        })
    }
}

/// The number of CPUs that the log reports as started, and the total.
///
/// # Errors
///
/// The log does not contain it.
pub fn started(log: &str) -> Result<(u32, u32), String> {
    static LINE: LazyLock<Regex> =
        LazyLock::new(|| regex(r"\bsmp: (\d+) of (\d+) other CPUs started in [0-9.]+ [mun]?s\b"));
    let line = LINE.captures(log);
    let line = line.ok_or("the log does not say how many CPUs were started")?;
    Ok((number(&line[1]), number(&line[2])))
}

/// The log's lines of this level, `warning` or `error`, without level and time.
#[must_use]
pub fn of_level(log: &str, level: &str) -> Vec<String> {
    let mark = format!(" {level}: ");
    let lines = log.lines().filter(|line| line.starts_with('['));
    let lines = lines.filter_map(|line| line.split_once(&mark));
    lines.map(|(_, message)| message.to_owned()).collect()
}

/// A record of `cpus json`, of kind `cpu`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CpuRecord {
    /// The kernel's CPU number.
    pub number: u32,
    /// The ID of its local APIC.
    pub apic_id: u32,
    /// Its ACPI UID.
    pub uid: Option<u32>,
    /// State, such as `online`.
    pub state: String,
    /// Socket, core and thread.
    pub location: (u32, u32, u32),
    /// From its lowest stack to the end of its highest one.
    pub stacks: Option<Range<u64>>,
}

/// A record of `acpi json`, of kind `acpi_table`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TableRecord {
    /// Signature, such as `APIC`.
    pub signature: String,
    /// Its physical address.
    pub address: u64,
    /// Its size in bytes.
    pub length: u64,
    /// Its revision.
    pub revision: u8,
}

/// A record of `lapic json` or `apic json`, of kind `local_apic`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LocalApicRecord {
    /// The kernel's CPU number.
    pub cpu: u32,
    /// Its APIC ID.
    pub apic_id: u32,
    /// The spurious-interrupt vector register.
    pub svr: u64,
    /// The task-priority register.
    pub tpr: u64,
    /// The vectors of requested interrupts.
    pub irr: Vec<u8>,
    /// The vectors of interrupts in service.
    pub isr: Vec<u8>,
}

/// A record of `lapic json` or `apic json`, of kind `lvt_entry`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LvtRecord {
    /// The entry, such as `lint0`.
    pub entry: String,
    /// The register.
    pub value: u64,
}

/// The record of `apic json` of kind `apic`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ApicRecord {
    /// The mode of the local APICs, such as `x2apic`.
    pub mode: String,
    /// Number of spurious interrupts of the local APICs.
    pub spurious: u64,
    /// Number of their error interrupts.
    pub error_interrupts: u64,
    /// Number of spurious interrupts of either 8259.
    pub pic_spurious: (u64, u64),
}

/// A record of `apic json` or `ioapic json`, of kind `io_apic`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IoApicRecord {
    /// Physical address of its registers.
    pub address: u64,
    /// Number of its pins.
    pub pins: u32,
    /// Number of masked pins.
    pub masked_pins: u32,
}

/// A record of `timer json`, of kind `timer_run`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TimerRun {
    /// The mode, such as `one_shot`.
    pub mode: String,
    /// Number of expected interrupts.
    pub expected: u32,
    /// Number of received interrupts.
    pub received: u32,
}

/// A record of `timers json`, of kind `timer`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TimerRecord {
    /// The number of its CPU.
    pub cpu: u32,
    /// Its name.
    pub name: String,
    /// How often it has fired.
    pub fired: u64,
}

/// A record of `lines json`, of kind `line`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LineRecord {
    /// Its name.
    pub name: String,
    /// Its first vector.
    pub vector: u8,
    /// Number of interrupts that a handler claimed.
    pub claimed: u64,
    /// Number of the others.
    pub unclaimed: u64,
}

/// A record of `memory json`, of kind `memory_region`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RegionRecord {
    /// Physical addresses.
    pub range: Range<u64>,
    /// Its use, such as `usable`.
    pub usage: String,
}

/// A record of `memory json`, of kind `stack`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StackRecord {
    /// Its use, such as `thread`.
    pub stack: String,
    /// Virtual addresses.
    pub range: Range<u64>,
    /// Whether its guard page is mapped.
    pub guard_is_mapped: bool,
}

/// A record of `idt json`, of kind `gate`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GateRecord {
    /// Its vector.
    pub vector: u8,
    /// Its virtual address.
    pub address: u64,
    /// `interrupt` or `trap`.
    pub r#type: String,
    /// The descriptor privilege level.
    pub dpl: u8,
    /// The index in the interrupt stack table.
    pub ist: u8,
    /// The selector of the code segment.
    pub selector: u16,
    /// The address of the handler.
    pub entry: u64,
}

//! Parsers for the kernel's output about its CPUs and interrupt controllers.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde::Deserialize;

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is part of this program")
}

fn hex(digits: &str) -> u64 {
    u64::from_str_radix(digits, 16).unwrap_or_default()
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
    pub place: (u32, u32, u32),
    /// From its lowest stack to the end of its highest one.
    pub stacks: Option<Range<u64>>,
}

/// A row of the output of `acpi`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRow {
    /// Signature, such as `APIC`.
    pub signature: String,
    /// Its physical address.
    pub address: u64,
    /// Its size in bytes.
    pub length: u64,
    /// Its revision.
    pub revision: u32,
}

/// The tables in the output of `acpi`, the root table first.
#[must_use]
pub fn tables(text: &str) -> Vec<TableRow> {
    static ROW: LazyLock<Regex> =
        LazyLock::new(|| regex(r"(?m)^  (\S{4}) +0x([0-9a-f]{16}) +(\d+) +(\d+)  "));
    let read = |row: Captures<'_>| TableRow {
        signature: row[1].to_owned(),
        address: hex(&row[2]),
        length: u64::from(number(&row[3])),
        revision: number(&row[4]),
    };
    ROW.captures_iter(text).map(read).collect()
}

/// A local APIC in the output of `apic` or `lapic`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalApic {
    /// The kernel's CPU number.
    pub cpu: u32,
    /// Its APIC ID.
    pub id: u32,
    /// Its registers by the kernel's names, such as `LVT LINT0` or `SVR`.
    pub registers: BTreeMap<String, u64>,
}

impl LocalApic {
    /// Parses the output.
    ///
    /// # Errors
    ///
    /// The output contains no local APIC.
    pub fn parse(text: &str) -> Result<Self, String> {
        static HEAD: LazyLock<Regex> =
            LazyLock::new(|| regex(r"(?m)^Local APIC of CPU (\d+): ID 0x([0-9a-f]+), "));
        static REGISTER: LazyLock<Regex> =
            LazyLock::new(|| regex(r"(?m)^  ([A-Z]+(?: \w+)?) +0x([0-9a-f]{8})\b"));
        let head = HEAD.captures(text);
        let head = head.ok_or_else(|| format!("there is no local APIC in:\n{text}"))?;
        let registers = REGISTER.captures_iter(text);
        Ok(Self {
            cpu: number(&head[1]),
            id: hex(&head[2]) as u32,
            registers: registers
                .map(|parts| (parts[1].to_owned(), hex(&parts[2])))
                .collect(),
        })
    }
}

/// The output of `apic`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Apic {
    /// The mode, such as `x2apic`.
    pub mode: String,
    /// The boot CPU's local APIC.
    pub local: LocalApic,
    /// For each I/O APIC, its address, number of masked pins and number of pins.
    pub io_apics: Vec<(u64, u32, u32)>,
    /// Numbers of spurious interrupts and errors, and of spurious interrupts of either 8259.
    pub mishaps: [u32; 4],
}

impl Apic {
    /// Parses the output.
    ///
    /// # Errors
    ///
    /// The output is incomplete.
    pub fn parse(text: &str) -> Result<Self, String> {
        static MODE: LazyLock<Regex> = LazyLock::new(|| regex(r"(?m)^Mode (\w+): "));
        static IO_APIC: LazyLock<Regex> = LazyLock::new(|| {
            regex(r"(?m)^I/O APIC ID .* at 0x([0-9a-f]+): .*, (\d+) of (\d+) masked$")
        });
        static MISHAPS: LazyLock<Regex> = LazyLock::new(|| {
            regex(r"(?m)^Spurious interrupts (\d+), errors (\d+), 8259 ghosts (\d+) and (\d+)$")
        });
        let missing = |what: &str| format!("`apic` does not show {what}:\n{text}");
        let mode = MODE.captures(text).ok_or_else(|| missing("the mode"))?;
        let mishaps = MISHAPS.captures(text).ok_or_else(|| missing("mishaps"))?;
        let io_apics = IO_APIC.captures_iter(text);
        Ok(Self {
            mode: mode[1].to_owned(),
            local: LocalApic::parse(text)?,
            io_apics: io_apics
                .map(|parts| (hex(&parts[1]), number(&parts[2]), number(&parts[3])))
                .collect(),
            mishaps: [1, 2, 3, 4].map(|field| number(&mishaps[field])),
        })
    }
}

/// The output of `timer`: mode, number of received interrupts, number of expected interrupts.
#[must_use]
pub fn timer_counts(text: &str) -> Vec<(String, u32, u32)> {
    static ROW: LazyLock<Regex> =
        LazyLock::new(|| regex(r"(?m)^  (\S+): (\d+) of (\d+) interrupts in "));
    let rows = ROW.captures_iter(text);
    rows.map(|row| (row[1].to_owned(), number(&row[2]), number(&row[3])))
        .collect()
}

//! `iommu`: the remapping units, the memory that functions can access, and the blocked requests.

mod test;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;
use tocsin_logic::vtd::Levels;
use tocsin_logic::vtd::capability::features;
use tocsin_logic::vtd::fault::Blocked;
use tocsin_logic::vtd::mapping::{Mapped, Rights};

use crate::command::{Arguments, CommandError};
use crate::record::Output;
use tocsin::Machine;
use tocsin::iommu::domain::{self, Domain};
use tocsin::iommu::fault::{self, Faults};
use tocsin::iommu::{State, Unit, units};

pub(super) fn iommu(
    machine: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    match arguments.next_word() {
        None => {
            show(output);
            Ok(())
        }
        Some("test") => {
            arguments.end()?;
            test::run(machine, output)
        }
        Some("flood") => {
            arguments.end()?;
            test::flood(output)
        }
        Some(word) => Err(CommandError::BadArgument {
            given: word.to_string(),
            expected: "test, flood or nothing".to_string(),
        }),
    }
}

fn show(output: Output) {
    if units().is_empty() {
        output.heading("no IOMMU: devices can access all memory");
    }
    for unit in units() {
        output.print("iommu_unit", &UnitRecord::of(unit));
    }
    let domains = domain::all();
    if !domains.is_empty() {
        output.heading("  function  device addresses                  memory       access");
    }
    for domain in domains {
        let ranges = ranges(&domain.pages());
        if ranges.is_empty() {
            output.print("iommu_mapping", &Mapping::none(domain));
        }
        for range in &ranges {
            output.print("iommu_mapping", &Mapping::of(domain, range));
        }
    }
    let faults = fault::all();
    if !faults.is_empty() {
        output.heading("  function  faults  last reason");
    }
    for faults in &faults {
        output.print("iommu_faults", &FaultsRecord::of(faults));
    }
    if fault::overflows() > 0 {
        output.print(
            "iommu_overflows",
            &Overflows {
                count: fault::overflows(),
            },
        );
    }
}

/// A unit.
#[derive(Serialize)]
struct UnitRecord {
    unit: usize,
    segment: u16,
    enabled: bool,
    levels: Option<u8>,
    address_bits: u8,
    domains: u32,
    fault_records: u16,
    supports: Vec<&'static str>,
    lacks: Vec<&'static str>,
    #[serde(skip)]
    name: String,
}

impl UnitRecord {
    fn of(unit: &Unit) -> Self {
        let (capability, extended) = unit.capabilities();
        let all = features(capability, extended);
        let with = |supported: bool| {
            let matching = all.iter().filter(move |(_, is)| *is == supported);
            matching.map(|(name, _)| *name).collect()
        };
        Self {
            unit: unit.number(),
            segment: unit.segment(),
            enabled: unit.state() == State::On,
            levels: unit.levels().map(Levels::count),
            address_bits: capability.address_bits(),
            domains: capability.domains(),
            fault_records: capability.fault_records().1,
            supports: with(true),
            lacks: with(false),
            name: unit.to_string(),
        }
    }
}

impl fmt::Display for UnitRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, segment {}: ", self.name, self.segment)?;
        match (self.enabled, self.levels) {
            (true, Some(levels)) => write!(f, "DMA is remapped, by tables of {levels} levels")?,
            _ => f.write_str("off")?,
        }
        writeln!(
            f,
            "\n  {} address bits, {} domains, {} fault records",
            self.address_bits, self.domains, self.fault_records
        )?;
        writeln!(f, "  supports: {}", self.supports.join(", "))?;
        write!(f, "  lacks:    {}", self.lacks.join(", "))
    }
}

/// Mapped pages that are contiguous on both sides.
struct Range {
    first: Mapped,
    bytes: u64,
}

/// Joins contiguous pages.
fn ranges(pages: &[Mapped]) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for page in pages {
        match ranges.last_mut() {
            Some(last)
                if last.first.address + last.bytes == page.address
                    && last.first.physical + last.bytes == page.physical
                    && last.first.rights == page.rights =>
            {
                last.bytes += page.size;
            }
            _ => ranges.push(Range {
                first: *page,
                bytes: page.size,
            }),
        }
    }
    ranges
}

/// A range of device addresses of a function; or none, if its driver has no memory.
#[derive(Serialize)]
struct Mapping {
    unit: usize,
    function: String,
    address: Option<u64>,
    bytes: u64,
    physical: Option<u64>,
    reads: bool,
    writes: bool,
}

impl Mapping {
    fn none(domain: &Domain) -> Self {
        Self {
            unit: domain.unit().number(),
            function: domain.source().to_string(),
            address: None,
            bytes: 0,
            physical: None,
            reads: false,
            writes: false,
        }
    }

    fn of(domain: &Domain, range: &Range) -> Self {
        Self {
            address: Some(range.first.address),
            bytes: range.bytes,
            physical: Some(range.first.physical),
            reads: range.first.rights.reads(),
            writes: range.first.rights.writes(),
            ..Self::none(domain)
        }
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<8}", self.function)?;
        let (Some(address), Some(physical)) = (self.address, self.physical) else {
            return f.write_str("  none");
        };
        let last = address + (self.bytes - 1);
        let access = match (self.reads, self.writes) {
            (true, true) => rights_text(Rights::ReadWrite),
            (true, false) => rights_text(Rights::Read),
            (false, _) => rights_text(Rights::Write),
        };
        write!(
            f,
            "  {address:#012x} to {last:#012x}  {physical:#012x}  {access}"
        )
    }
}

const fn rights_text(rights: Rights) -> &'static str {
    match rights {
        Rights::Read => "read",
        Rights::Write => "write",
        Rights::ReadWrite => "read, write",
    }
}

/// The faults of a function.
#[derive(Serialize)]
struct FaultsRecord {
    unit: usize,
    function: String,
    count: u64,
    isolated: bool,
    /// The last fault.
    reason: u8,
    address: Option<u64>,
    #[serde(skip)]
    reason_text: String,
}

impl FaultsRecord {
    fn of(faults: &Faults) -> Self {
        Self {
            unit: faults.unit,
            function: faults.source.to_string(),
            count: faults.count,
            isolated: faults.isolated,
            reason: faults.last.reason.0,
            address: match faults.last.blocked {
                Blocked::Dma { address, .. } => Some(address),
                Blocked::Interrupt { .. } => None,
            },
            reason_text: faults.last.reason.to_string(),
        }
    }
}

impl fmt::Display for FaultsRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  {:<8}  {:>6}  {}",
            self.function, self.count, self.reason_text
        )?;
        f.write_str(if self.isolated { "; isolated" } else { "" })
    }
}

/// Faults that a unit could not record.
#[derive(Serialize)]
struct Overflows {
    count: u64,
}

impl fmt::Display for Overflows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  {} times, a unit could not record a fault: all its records were in use",
            self.count
        )
    }
}

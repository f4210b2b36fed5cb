//! `pci` without a device: the functions, all of them in a table, or one with all that is known.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;
use tocsin_logic::acpi::mcfg::Segment;
use tocsin_logic::pci::{Address, Bar, Layout, MsiCapability, MsixCapability};

use super::capabilities::CapabilityRecord;
use crate::record::{self, Output, as_text};
use tocsin::pci::{self, Function};
use tocsin::println;

/// A part of configuration space.
#[derive(Serialize)]
struct ConfigSpaceRecord {
    access: &'static str,
    segment: u16,
    /// The first and the last bus; none for the buses of the segment that no other part has.
    buses: Option<(u8, u8)>,
    /// The physical address of the first bus; none for the ports.
    address: Option<u64>,
    #[serde(skip)]
    text: String,
}

impl ConfigSpaceRecord {
    fn memory(segment: &Segment) -> Self {
        Self {
            access: "memory",
            segment: segment.group,
            buses: Some((segment.first_bus, segment.last_bus)),
            address: Some(segment.memory().0),
            text: format!("in memory: {segment}"),
        }
    }

    /// The buses of segment 0 that are not among `ranges`.
    fn ports(ranges: &[Segment]) -> Self {
        let rest = if ranges.iter().any(|segment| segment.group == 0) {
            "the other buses of segment 0"
        } else {
            "segment 0"
        };
        Self {
            access: "ports",
            segment: 0,
            buses: None,
            address: None,
            text: format!("of {rest} through ports 0xcf8 and 0xcfc"),
        }
    }
}

impl fmt::Display for ConfigSpaceRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Configuration space {}", self.text)
    }
}

/// A base address register.
#[derive(Serialize)]
struct BarRecord {
    bar: u8,
    space: &'static str,
    /// The physical address, or the first port.
    address: u64,
    size: u64,
    is_64_bit: bool,
    prefetchable: bool,
}

impl BarRecord {
    fn of(number: u8, bar: Bar) -> Self {
        let (space, address, size, is_64_bit, prefetchable) = match bar {
            Bar::Io { port, size } => ("io", port.into(), size.into(), false, false),
            Bar::Memory {
                address,
                size,
                is_64_bit,
                prefetchable,
            } => ("memory", address, size, is_64_bit, prefetchable),
        };
        Self {
            bar: number,
            space,
            address,
            size,
            is_64_bit,
            prefetchable,
        }
    }
}

/// A function.
#[derive(Serialize)]
struct FunctionRecord {
    #[serde(serialize_with = "as_text")]
    address: Address,
    requester_id: u16,
    vendor: u16,
    device: u16,
    revision: u8,
    /// Base class and sub-class.
    class: u16,
    interface: u8,
    class_name: &'static str,
    /// Vendor and ID of the subsystem.
    subsystem: Option<(u16, u16)>,
    /// The bridge that leads to the function's bus.
    bridge: Option<String>,
    pin: Option<String>,
    /// The interrupt line register, which has no meaning without a pin.
    line: Option<u8>,
    msi_messages: Option<u8>,
    msix_messages: Option<u16>,
    bars: Vec<BarRecord>,
    /// The first and the last bus behind a bridge.
    buses: Option<(u8, u8)>,
    claimed: bool,
}

impl FunctionRecord {
    fn of(function: &Function) -> Self {
        let header = &function.header;
        let (subsystem, buses) = match header.layout {
            Layout::Device {
                subsystem_vendor,
                subsystem,
            } => (Some((subsystem_vendor, subsystem)), None),
            Layout::Bridge {
                secondary,
                subordinate,
                ..
            } => (None, Some((secondary, subordinate))),
            Layout::CardBus | Layout::Reserved(_) => (None, None),
        };
        let bars = function.bars.iter();
        Self {
            address: function.address,
            requester_id: function.address.requester_id(),
            vendor: header.vendor,
            device: header.device,
            revision: header.revision,
            class: header.class.number(),
            interface: header.class.interface,
            class_name: header.class.name(),
            subsystem,
            bridge: function.bridge.map(|bridge| bridge.to_string()),
            pin: header.pin.map(|pin| pin.to_string()),
            line: header.pin.and(header.line),
            msi_messages: function.msi.map(MsiCapability::messages),
            msix_messages: function.msix.map(MsixCapability::messages),
            bars: bars
                .map(|&(number, bar)| BarRecord::of(number, bar))
                .collect(),
            buses,
            claimed: function.is_claimed(),
        }
    }

    /// The row of the table, without the addresses.
    fn row(&self) -> String {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        format!(
            "  {}  {:04x}:{:04x}  {:<20}  {:<3}  {:>4}  {:>3}  {:>5}",
            self.address,
            self.vendor,
            self.device,
            self.class_name,
            self.pin.as_deref().unwrap_or("-"),
            or_dash(self.line.map(|line| line.to_string())),
            or_dash(self.msi_messages.map(|messages| messages.to_string())),
            or_dash(self.msix_messages.map(|messages| messages.to_string())),
        )
    }

    fn show(&self, function: &Function) {
        println!(
            "function {}, requester ID {:#06x}: {}",
            self.address, self.requester_id, self.class_name
        );
        println!(
            "  IDs           {:04x}:{:04x}, revision {:#04x}",
            self.vendor, self.device, self.revision
        );
        if let Some((vendor, subsystem)) = self.subsystem {
            println!("  subsystem     {vendor:04x}:{subsystem:04x}");
        }
        println!(
            "  class         {:#06x}, interface {:#04x}",
            self.class, self.interface
        );
        if let Some(bridge) = &self.bridge {
            println!("  behind        bridge {bridge}");
        }
        if let Some(pin) = &self.pin {
            match self.line {
                Some(line) => println!("  interrupt     pin {pin}, line {line}"),
                None => println!("  interrupt     pin {pin}, no line"),
            }
        }
        for location in self.locations(function) {
            println!("  answers at    {location}");
        }
        let driver = if self.claimed { "yes" } else { "none" };
        println!("  driver        {driver}");
    }

    /// The BARs and the secondary buses.
    fn locations(&self, function: &Function) -> Vec<String> {
        let bars = function.bars.iter();
        let mut locations: Vec<_> = bars
            .map(|(number, bar)| format!("{number}: {bar}"))
            .collect();
        if let Some((first, last)) = self.buses {
            locations.push(format!("buses {first:#04x} to {last:#04x}"));
        }
        locations
    }
}

/// A problem of the bus or of a function.
#[derive(Serialize)]
struct ProblemRecord {
    /// None for a problem of the bus.
    address: Option<String>,
    description: String,
}

impl ProblemRecord {
    fn of_function(function: &Function) -> impl Iterator<Item = Self> + '_ {
        function.problems.iter().map(|problem| Self {
            address: Some(function.address.to_string()),
            description: problem.to_string(),
        })
    }
}

impl fmt::Display for ProblemRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("  problem: ")?;
        if let Some(address) = &self.address {
            write!(f, "function {address}: ")?;
        }
        f.write_str(&self.description)
    }
}

pub(super) fn show_all(output: Output) {
    let bus = pci::bus();
    let ranges = bus.config.memory();
    for segment in ranges {
        output.print("pci_config_space", &ConfigSpaceRecord::memory(segment));
    }
    if bus.config.uses_ports() {
        output.print("pci_config_space", &ConfigSpaceRecord::ports(ranges));
    }
    output.heading(
        "  address       ids        class                 pin  line  MSI  MSI-X  BARs and buses",
    );
    for function in &bus.functions {
        let record = FunctionRecord::of(function);
        match output {
            Output::Text => show_row(&record, function),
            Output::Records => record::print("pci_function", &record),
        }
    }
    for problem in &bus.problems {
        let problem = ProblemRecord {
            address: None,
            description: problem.to_string(),
        };
        output.print("pci_problem", &problem);
    }
    for problem in bus.functions.iter().flat_map(ProblemRecord::of_function) {
        output.print("pci_problem", &problem);
    }
}

/// Prints the row, with an address in each line.
fn show_row(record: &FunctionRecord, function: &Function) {
    let mut start = record.row();
    let width = start.len();
    let locations = record.locations(function);
    if locations.is_empty() {
        println!("{start}");
    }
    for location in locations {
        println!("{start:width$}  {location}");
        start.clear();
    }
}

pub(super) fn show_one(function: &Function, output: Output) {
    let record = FunctionRecord::of(function);
    match output {
        Output::Text => record.show(function),
        Output::Records => record::print("pci_function", &record),
    }
    for &found in &function.capabilities {
        output.print("pci_capability", &CapabilityRecord::of(function, found));
    }
    let mut problems: Vec<_> = ProblemRecord::of_function(function).collect();
    for item in function.extended_capabilities() {
        match item {
            Ok(found) => {
                let record = CapabilityRecord::extended(function, found);
                output.print("pci_capability", &record);
            }
            Err(error) => problems.push(ProblemRecord {
                address: Some(function.address.to_string()),
                description: error.to_string(),
            }),
        }
    }
    for problem in &problems {
        output.print("pci_problem", problem);
    }
}

//! `pci`: the PCI functions of the machine.

mod devices;
mod shared;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use tocsin_logic::pci::{Address, Layout};

use crate::command::{Arguments, CommandError};
use tocsin::pci::{self, Function};
use tocsin::{Machine, println};

/// The default number of interrupts.
const COUNT: u32 = 10;

/// The maximum number of interrupts: each has a different value in the device's 32 bits.
const MAX_COUNT: u64 = 1_000_000;

pub(super) fn pci(
    machine: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let Some(word) = arguments.next_word() else {
        show_all();
        return Ok(());
    };
    let device = match word {
        "edu" => devices::edu,
        "port" => devices::port,
        "shared" => shared::shared,
        "virtio" => devices::virtio,
        _ => {
            let found = word.parse::<Address>().ok().and_then(pci::function);
            let function = found.ok_or_else(|| CommandError::BadArgument {
                given: word.to_string(),
                expected: "edu, port, shared, virtio, or an address that `pci` lists".to_string(),
            })?;
            arguments.end()?;
            show_one(function);
            return Ok(());
        }
    };
    let (count, cpu) = numbers(arguments)?;
    device(machine, count, cpu).map_err(CommandError::Pci)
}

/// Parses the number of interrupts, and the number of the CPU that handles them.
fn numbers(arguments: &mut Arguments<'_>) -> Result<(u32, u32), CommandError> {
    let count = arguments.number(MAX_COUNT)?;
    let cpu = arguments.number(u32::MAX.into())?;
    arguments.end()?;
    // The casts are lossless: `number` limits both values to 32 bits.
    let count = count.map_or(COUNT, |count| count as u32);
    Ok((count, cpu.map_or(0, |cpu| cpu as u32)))
}

fn show_all() {
    let bus = pci::bus();
    for segment in bus.config.memory() {
        println!("Configuration space in memory: {segment}");
    }
    if bus.config.uses_ports() {
        let mut ranges = bus.config.memory().iter();
        let rest = if ranges.any(|segment| segment.group == 0) {
            "the other buses of segment 0"
        } else {
            "segment 0"
        };
        println!("Configuration space of {rest} through ports 0xcf8 and 0xcfc");
    }
    println!(
        "  address       ids        class                 pin  line  MSI  MSI-X  what it answers at"
    );
    for function in &bus.functions {
        let mut start = row(function);
        let width = start.len();
        let places = places(function);
        if places.is_empty() {
            println!("{start}");
        }
        for place in places {
            println!("{start:width$}  {place}");
            start.clear();
        }
    }
    for problem in &bus.problems {
        println!("  problem: {problem}");
    }
    for function in &bus.functions {
        for problem in &function.problems {
            println!("  problem: function {}: {problem}", function.address);
        }
    }
}

fn row(function: &Function) -> String {
    let header = &function.header;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    format!(
        "  {}  {:04x}:{:04x}  {:<20}  {:<3}  {:>4}  {:>3}  {:>5}",
        function.address,
        header.vendor,
        header.device,
        header.class.name(),
        or_dash(header.pin.map(|pin| pin.to_string())),
        // Without a pin, the line register has no meaning.
        or_dash(header.pin.and(header.line).map(|line| line.to_string())),
        or_dash(function.msi.map(|msi| msi.messages().to_string())),
        or_dash(function.msix.map(|msix| msix.messages().to_string())),
    )
}

/// Returns the BARs and the secondary buses of a function.
fn places(function: &Function) -> Vec<String> {
    let bars = function.bars.iter();
    let mut places: Vec<_> = bars.map(|(index, bar)| format!("{index}: {bar}")).collect();
    if let Layout::Bridge {
        secondary,
        subordinate,
        ..
    } = function.header.layout
    {
        places.push(format!("buses {secondary:#04x} to {subordinate:#04x}"));
    }
    places
}

fn show_one(function: &Function) {
    let header = &function.header;
    println!(
        "function {}, requester ID {:#06x}: {}",
        function.address,
        function.address.requester_id(),
        header.class.name()
    );
    println!(
        "  IDs           {:04x}:{:04x}, revision {:#04x}",
        header.vendor, header.device, header.revision
    );
    if let Layout::Device {
        subsystem_vendor,
        subsystem,
    } = header.layout
    {
        println!("  subsystem     {subsystem_vendor:04x}:{subsystem:04x}");
    }
    println!(
        "  class         {:#06x}, interface {:#04x}",
        header.class.number(),
        header.class.interface
    );
    if let Some(bridge) = function.bridge {
        println!("  behind        bridge {bridge}");
    }
    if let Some(pin) = header.pin {
        let line = match header.line {
            Some(line) => format!("line {line}"),
            None => "no line".into(),
        };
        println!("  interrupt     pin {pin}, {line}");
    }
    for place in places(function) {
        println!("  answers at    {place}");
    }
    println!(
        "  driver        {}",
        if function.is_claimed() { "yes" } else { "none" }
    );
    for found in &function.capabilities {
        println!(
            "  {:#04x}          {}{}",
            found.offset,
            found.name(),
            details(function, found.offset)
        );
    }
    for item in function.extended_capabilities() {
        match item {
            Ok(found) => println!(
                "  {:#05x}         {}, version {}",
                found.offset,
                found.name(),
                found.version
            ),
            Err(error) => println!("  problem       {error}"),
        }
    }
    for problem in &function.problems {
        println!("  problem       {problem}");
    }
}

/// Returns the details of the capability at `offset`, if it is that of MSI or MSI-X.
fn details(function: &Function, offset: u8) -> String {
    let is_at = |control: u16| control == u16::from(offset);
    if let Some(msi) = function.msi.filter(|msi| is_at(msi.control())) {
        let width = if msi.is_64_bit() { 64 } else { 32 };
        let masks = if msi.masks().is_some() { "with" } else { "no" };
        return format!(
            ": {} messages, {width}-bit address, {masks} masks",
            msi.messages()
        );
    }
    if let Some(msix) = function.msix.filter(|msix| is_at(msix.control())) {
        return format!(
            ": {} messages, table in BAR {} at {:#x}, pending bits in BAR {} at {:#x}",
            msix.messages(),
            msix.table.bar,
            msix.table.offset,
            msix.pending.bar,
            msix.pending.offset
        );
    }
    String::new()
}

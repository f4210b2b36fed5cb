//! `pci`: the functions of the machine, and devices that interrupt by message and by pin with both
//! ends counted.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use tocsin_logic::pci::{Address, Layout};
use tocsin_logic::vector::PriorityClass;

use super::{Arguments, CommandError};
use crate::pci::edu::{Answered, Edu, Tally, Way};
use crate::pci::virtio_rng::VirtioRng;
use crate::pci::{self, Function, PciError};
use crate::{Machine, println, smp};

/// Interrupts that are raised, unless a number is given.
const COUNT: u32 = 10;

/// The most that can be asked for: each has its own value in the device's 32 bits.
const MAX_COUNT: u64 = 1_000_000;

/// Priority class of the devices' lines.
const CLASS: u8 = 5;

/// The number whose factorial `edu` computes, and what it must be.
const FACTORIAL: (u32, u32) = (10, 3_628_800);

pub(super) fn pci(
    machine: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    match arguments.next() {
        None => show_all(),
        Some("edu") => {
            let (count, cpu) = numbers(arguments)?;
            return edu(machine, count, cpu).map_err(CommandError::Pci);
        }
        Some("virtio") => {
            let (count, cpu) = numbers(arguments)?;
            return virtio(count, cpu).map_err(CommandError::Pci);
        }
        Some(word) => {
            let found = word.parse::<Address>().ok().and_then(pci::function);
            let function = found.ok_or_else(|| CommandError::BadArgument {
                given: word.to_string(),
                expected: "edu, virtio, or an address that `pci` lists".to_string(),
            })?;
            arguments.end()?;
            show_one(function);
        }
    }
    Ok(())
}

/// How many interrupts, and the number of the CPU that is to answer them.
fn numbers(arguments: &mut Arguments<'_>) -> Result<(u32, u32), CommandError> {
    let count = arguments.number(MAX_COUNT)?;
    let cpu = arguments.number(u32::MAX.into())?;
    arguments.end()?;
    // `number` keeps both within 32 bits.
    let count = count.map_or(COUNT, |count| count as u32);
    Ok((count, cpu.map_or(0, |cpu| cpu as u32)))
}

fn show_all() {
    let bus = pci::bus();
    for segment in bus.config.memory() {
        println!("Configuration space in memory: {segment}");
    }
    if bus.config.uses_ports() {
        println!("Configuration space of segment 0 through ports 0xcf8 and 0xcfc");
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
        // Without a pin the line register means nothing.
        or_dash(header.pin.and(header.line).map(|line| line.to_string())),
        or_dash(function.msi.map(|msi| msi.messages().to_string())),
        or_dash(function.msix.map(|msix| msix.messages().to_string())),
    )
}

/// The ranges and buses behind a function.
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

/// More of the capability at `offset`, if it is that of MSI or MSI-X.
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

fn class() -> PriorityClass {
    PriorityClass::new(CLASS).unwrap_or(PriorityClass::LOWEST_USABLE)
}

fn edu(machine: &Machine, count: u32, cpu: u32) -> Result<(), PciError> {
    let edu = Edu::claim()?;
    let (major, minor) = edu.version();
    println!("edu {}, version {major}.{minor}", edu.device().address);
    let address = edu.device().address;
    let ways = [("MSI", Way::Msi), ("pin", Way::Pin)];
    for (name, way) in ways {
        let how = match way {
            Way::Msi => String::new(),
            Way::Pin => format!(", {}", edu.device().pin_route(&machine.topology)?),
        };
        let answered = edu.answer(way, class(), cpu, &machine.topology)?;
        println!(
            "  {name}: vector {} of CPU {}{how}",
            answered.line().vector(),
            answered.line().cpu()
        );
        check(address, "raised", answered.raise(count))?;
        computed(address, &answered)?;
    }
    Ok(())
}

/// Has the device compute, and checks the result and the interrupt that tells of it.
fn computed(address: Address, answered: &Answered<'_>) -> Result<(), PciError> {
    let (number, expected) = FACTORIAL;
    let (result, tally) = answered.factorial(number);
    check(address, &format!("factorial({number}) = {result}"), tally)?;
    if result == expected {
        Ok(())
    } else {
        Err(PciError::Device(address, "the factorial is wrong"))
    }
}

fn check(address: Address, what: &str, tally: Tally) -> Result<(), PciError> {
    println!(
        "    {what}: {} sent, {} received; values {} sent, {} received; {} without value",
        tally.sent, tally.received, tally.values_sent, tally.values_received, tally.empty
    );
    let agrees = tally.sent == tally.received && tally.values_sent == tally.values_received;
    if agrees && tally.empty == 0 {
        return Ok(());
    }
    Err(PciError::Count {
        address,
        sent: tally.sent,
        received: tally.received + tally.empty,
    })
}

fn virtio(count: u32, cpu: u32) -> Result<(), PciError> {
    let mut rng = VirtioRng::start(class(), cpu)?;
    let address = rng.device().address;
    println!("virtio entropy device {address}");
    fill(&mut rng, count)?;
    let held = rng.fill_masked()?;
    let yes = |it| if it { "yes" } else { "no" };
    println!(
        "    masked: pending {}, {} received; unmasked: received {}",
        yes(held.pending),
        held.came_masked,
        yes(held.came_after)
    );
    if !held.pending || held.came_masked != 0 || !held.came_after {
        return Err(PciError::Device(
            address,
            "a masked message was not kept until it was unmasked",
        ));
    }
    // To the next CPU and back, while the device goes on.
    let online = smp::online().into_iter().flat_map(|cpus| &cpus.online);
    let others = online.map(|online| online.cpu.id());
    if let Some(other) = others.filter(|&other| other != cpu).min() {
        for target in [other, cpu] {
            rng.move_to(class(), target)?;
            fill(&mut rng, count)?;
        }
    }
    Ok(())
}

/// Makes `count` requests, and checks that each was answered by one message.
fn fill(rng: &mut VirtioRng, count: u32) -> Result<(), PciError> {
    println!(
        "  MSI-X: vector {} of CPU {}",
        rng.line().vector(),
        rng.line().cpu()
    );
    let (begin, line_begin) = (rng.received(), rng.line().count());
    let (mut bytes, mut answered) = (0, 0);
    for _ in 0..count {
        let filled = rng.fill()?;
        bytes += u64::from(filled.bytes);
        answered += u64::from(filled.interrupted);
    }
    let sent = u64::from(count);
    let received = rng.received() - begin;
    println!("    {count} requests, {received} messages received, {bytes} random bytes");
    if answered == sent && received == sent && rng.line().count() - line_begin == sent {
        return Ok(());
    }
    Err(PciError::Count {
        address: rng.device().address,
        sent,
        received,
    })
}

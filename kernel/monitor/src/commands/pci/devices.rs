//! `pci edu`, `pci port`, `pci virtio`: devices that interrupt by message and by pin, counted on
//! both ends.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use tocsin_logic::pci::Address;
use tocsin_logic::vector::PriorityClass;

use crate::drivers::edu::{Answered, Edu, Tally, Way};
use crate::drivers::port::Port;
use crate::drivers::virtio_rng::VirtioRng;
use crate::drivers::{CountedLine, Held};
use tocsin::pci::PciError;
use tocsin::{Machine, cancel, println, smp, time};

/// The timeout after which an interrupt counts as lost, in nanoseconds.
const PATIENCE: u64 = 2_000_000_000;

/// The priority class of the devices' lines.
pub(super) const CLASS: PriorityClass = PriorityClass::new(5).expect("a class is 0 to 15");

/// The number whose factorial `edu` computes, and the expected result.
const FACTORIAL: (u32, u32) = (10, 3_628_800);

pub(super) fn edu(machine: &Machine, count: u32, cpu: u32) -> Result<(), PciError> {
    let edu = Arc::new(Edu::claim()?);
    let (major, minor) = edu.version();
    println!("edu {}, version {major}.{minor}", edu.function().address);
    let address = edu.function().address;
    let ways = [("MSI", Way::Msi), ("pin", Way::Pin)];
    for (name, way) in ways {
        let how = match way {
            Way::Msi => String::new(),
            Way::Pin => format!(", {}", edu.function().pin_route(&machine.topology)?),
        };
        let answered = Arc::clone(&edu).answer(way, CLASS, cpu, &machine.topology)?;
        println!(
            "  {name}: vector {} of CPU {}{how}",
            answered.line().vector(),
            answered.line().cpu()
        );
        check(address, "raised", answered.raise(count))?;
        if cancel::was_requested() {
            return Ok(());
        }
        computed(address, &answered)?;
    }
    Ok(())
}

/// Makes the device compute, and checks the result and the interrupt that reports it.
fn computed(address: Address, answered: &Answered) -> Result<(), PciError> {
    let (number, expected) = FACTORIAL;
    let (result, tally) = answered.factorial(number);
    check(address, &format!("factorial({number}) = {result}"), tally)?;
    if result == expected {
        Ok(())
    } else {
        Err(PciError::Device(address, "the factorial is wrong"))
    }
}

pub(super) fn check(address: Address, what: &str, tally: Tally) -> Result<(), PciError> {
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

pub(super) fn virtio(_: &Machine, count: u32, cpu: u32) -> Result<(), PciError> {
    let rng = VirtioRng::start(CLASS, cpu)?;
    let address = rng.function().address;
    println!("virtio entropy device {address}");
    fill(&rng, count)?;
    show_held(address, rng.fill_masked()?)?;
    for target in there_and_back(cpu) {
        rng.counted()
            .line()
            .move_to(target)
            .map_err(PciError::Line)?;
        fill(&rng, count)?;
    }
    Ok(())
}

/// Returns the lowest other CPU, and this one again; nothing, if there is no other CPU.
fn there_and_back(cpu: u32) -> Vec<u32> {
    let others = smp::all().iter().map(|online| online.cpu.id());
    let other = others.filter(|&other| other != cpu).min();
    other.map_or(Vec::new(), |other| alloc::vec![other, cpu])
}

/// Makes `count` requests, or fewer if cancelled, and checks that each causes one message.
fn fill(rng: &VirtioRng, count: u32) -> Result<(), PciError> {
    let before = begin("MSI-X", rng.counted());
    let (mut sent, mut bytes, mut answered) = (0, 0, 0);
    while sent < count && !cancel::is_requested() {
        let filled = rng.fill()?;
        sent += 1;
        bytes += u64::from(filled.bytes);
        answered += u64::from(filled.interrupted);
    }
    let what = format!("{sent} requests, {bytes} random bytes");
    end(
        rng.function().address,
        &what,
        sent,
        answered,
        before,
        rng.counted(),
    )
}

pub(super) fn port(_: &Machine, count: u32, cpu: u32) -> Result<(), PciError> {
    let port = Port::claim(CLASS, cpu)?;
    let address = port.function().address;
    println!("PCI Express port {address}");
    command(&port, count)?;
    show_held(address, port.command_masked()?)?;
    for target in there_and_back(cpu) {
        port.counted()
            .line()
            .move_to(target)
            .map_err(PciError::Line)?;
        command(&port, count)?;
    }
    Ok(())
}

/// Sends `count` commands, or fewer if cancelled, and checks that each causes one message.
fn command(port: &Port, count: u32) -> Result<(), PciError> {
    let before = begin("MSI", port.counted());
    let (mut sent, mut answered) = (0, 0);
    while sent < count && !cancel::is_requested() {
        answered += u64::from(port.command());
        sent += 1;
    }
    let what = format!("{sent} commands");
    end(
        port.function().address,
        &what,
        sent,
        answered,
        before,
        port.counted(),
    )
}

/// The number of interrupts that the line counted, and the number of messages that the driver
/// counted.
type Counts = (u64, u64);

/// Prints the target of the messages, and returns the current counts.
fn begin(kind: &str, counted: &CountedLine) -> Counts {
    let line = counted.line();
    let (vector, cpu) = (line.vector(), line.cpu());
    match counted.number() {
        (1, _) => println!("  {kind}: vector {vector} of CPU {cpu}"),
        (count, number) => println!(
            "  {kind}: {count} messages, vector {vector} of CPU {cpu} and up; message {number}"
        ),
    }
    (line.counts().claimed, counted.received())
}

/// Prints the number of messages received since `before`, and checks that it equals the number
/// sent.
fn end(
    address: Address,
    what: &str,
    count: u32,
    answered: u64,
    before: Counts,
    counted: &CountedLine,
) -> Result<(), PciError> {
    let sent = u64::from(count);
    let claimed = || counted.line().counts().claimed - before.0;
    // The line counts an interrupt after the handler has counted it.
    time::wait_until(PATIENCE, || claimed() >= sent);
    let received = counted.received() - before.1;
    println!("    {what}: {received} messages received");
    if [answered, received, claimed()] == [sent; 3] {
        return Ok(());
    }
    Err(PciError::Count {
        address,
        sent,
        received,
    })
}

fn show_held(address: Address, held: Held) -> Result<(), PciError> {
    let yes = |it| if it { "yes" } else { "no" };
    println!(
        "    masked: pending {}, {} received; unmasked: received {}",
        yes(held.pending),
        held.came_masked,
        yes(held.came_after)
    );
    if held.is_right() {
        return Ok(());
    }
    Err(PciError::Device(
        address,
        "a masked message was not kept until it was unmasked",
    ))
}

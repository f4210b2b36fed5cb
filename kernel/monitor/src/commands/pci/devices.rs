//! `pci edu`, `pci port`, `pci virtio`: devices that interrupt by message and by pin, counted on
//! both ends.

use alloc::sync::Arc;
use alloc::vec::Vec;

use tocsin_logic::pci::Address;
use tocsin_logic::vector::PriorityClass;

use super::Run;
use super::records::{BindingRecord, DeviceRecord, EduRunRecord, MaskedRecord, MessageRunRecord};
use crate::drivers::edu::{Edu, HandledEdu, Tally, Way};
use crate::drivers::port::Port;
use crate::drivers::virtio_rng::VirtioRng;
use crate::drivers::{CountedLine, MaskedMessage};
use crate::record::Output;
use tocsin::pci::PciError;
use tocsin::{cancel, smp, time};

/// The timeout after which an interrupt counts as lost, in nanoseconds.
const TIMEOUT: u64 = 2_000_000_000;

/// The priority class of the devices' lines.
pub(super) const CLASS: PriorityClass = PriorityClass::new(5).expect("a class is 0 to 15");

/// The number whose factorial `edu` computes, and the expected result.
const FACTORIAL: (u32, u32) = (10, 3_628_800);

pub(super) fn edu(run: &Run<'_>) -> Result<(), PciError> {
    let edu = Arc::new(Edu::claim()?);
    let address = edu.function().address;
    show_device(run.output, "edu", address, Some(edu.version()));
    for (method, way) in [("msi", Way::Msi), ("pin", Way::Pin)] {
        let edu = Arc::clone(&edu);
        let handled = edu.with_handler(way, CLASS, run.cpu, &run.machine.topology)?;
        let binding = BindingRecord::of(method, handled.line());
        run.output.print("pci_binding", &binding);
        let tally = handled.raise(run.count);
        let record = EduRunRecord::of(address, "raised", &tally);
        check(run, &record, &tally)?;
        if cancel::was_requested() {
            return Ok(());
        }
        computed(run, address, &handled)?;
    }
    Ok(())
}

pub(super) fn show_device(
    output: Output,
    device: &'static str,
    address: Address,
    version: Option<(u8, u8)>,
) {
    let record = DeviceRecord {
        device,
        address,
        version,
    };
    output.print("pci_device", &record);
}

/// Makes the device compute, and checks the result and the interrupt that reports it.
fn computed(run: &Run<'_>, address: Address, handled: &HandledEdu) -> Result<(), PciError> {
    let (number, expected) = FACTORIAL;
    let (result, tally) = handled.factorial(number);
    let mut record = EduRunRecord::of(address, "factorial", &tally);
    record.factorial = Some((number, result));
    check(run, &record, &tally)?;
    if result == expected {
        run.checks.note(true);
        Ok(())
    } else {
        Err(PciError::Device(address, "the factorial is wrong"))
    }
}

/// Prints the record of a run, and checks its counts.
pub(super) fn check(run: &Run<'_>, record: &EduRunRecord, tally: &Tally) -> Result<(), PciError> {
    run.output.print("edu_run", record);
    let agrees = tally.sent == tally.received && tally.values_sent == tally.values_received;
    if agrees && tally.empty == 0 {
        run.checks.note(true);
        return Ok(());
    }
    Err(PciError::Count {
        address: record.address,
        sent: tally.sent,
        received: tally.received + tally.empty,
    })
}

pub(super) fn virtio(run: &Run<'_>) -> Result<(), PciError> {
    let rng = VirtioRng::start(CLASS, run.cpu)?;
    let address = rng.function().address;
    show_device(run.output, "virtio_rng", address, None);
    fill(&rng, run)?;
    show_masked(run, address, rng.fill_masked()?)?;
    for target in there_and_back(run.cpu) {
        rng.counted()
            .line()
            .move_to(target)
            .map_err(PciError::Line)?;
        fill(&rng, run)?;
    }
    Ok(())
}

/// Returns the lowest other CPU, and this one again; nothing, if there is no other CPU.
fn there_and_back(cpu: u32) -> Vec<u32> {
    let others = smp::all().iter().map(|online| online.cpu.id());
    let other = others.filter(|&other| other != cpu).min();
    other.map_or(Vec::new(), |other| alloc::vec![other, cpu])
}

/// Makes the requests of a run, or fewer if cancelled, and checks that each causes one message.
fn fill(rng: &VirtioRng, run: &Run<'_>) -> Result<(), PciError> {
    let before = begin(run.output, "msix", rng.counted());
    let (mut sent, mut bytes, mut handled) = (0, 0, 0);
    while sent < run.count && !cancel::is_requested() {
        let filled = rng.fill()?;
        sent += 1;
        bytes += u64::from(filled.bytes);
        handled += u64::from(filled.interrupted);
    }
    let record = MessageRunRecord {
        bytes: Some(bytes),
        ..end(rng.function().address, sent, before, rng.counted())
    };
    check_messages(run, &record, handled, before, rng.counted())
}

pub(super) fn port(run: &Run<'_>) -> Result<(), PciError> {
    let port = Port::claim(CLASS, run.cpu)?;
    let address = port.function().address;
    show_device(run.output, "port", address, None);
    command(&port, run)?;
    show_masked(run, address, port.command_masked()?)?;
    for target in there_and_back(run.cpu) {
        port.counted()
            .line()
            .move_to(target)
            .map_err(PciError::Line)?;
        command(&port, run)?;
    }
    Ok(())
}

/// Sends the commands of a run, or fewer if cancelled, and checks that each causes one message.
fn command(port: &Port, run: &Run<'_>) -> Result<(), PciError> {
    let before = begin(run.output, "msi", port.counted());
    let (mut sent, mut handled) = (0, 0);
    while sent < run.count && !cancel::is_requested() {
        handled += u64::from(port.command());
        sent += 1;
    }
    let record = end(port.function().address, sent, before, port.counted());
    check_messages(run, &record, handled, before, port.counted())
}

/// The number of interrupts that the line counted, and the number of messages that the driver
/// counted.
type Counts = (u64, u64);

/// Prints the binding of the messages, and returns the current counts.
fn begin(output: Output, method: &'static str, counted: &CountedLine) -> Counts {
    let binding = BindingRecord::of_message(method, counted);
    output.print("pci_binding", &binding);
    (counted.line().counts().claimed, counted.received())
}

/// The number of interrupts that the line has counted since `before`.
fn claimed(counted: &CountedLine, before: Counts) -> u64 {
    counted.line().counts().claimed - before.0
}

/// Waits until the messages have been counted, and returns the counts since `before`.
fn end(address: Address, sent: u32, before: Counts, counted: &CountedLine) -> MessageRunRecord {
    let sent = u64::from(sent);
    // The line counts an interrupt after the handler has counted it.
    time::wait_until(TIMEOUT, || claimed(counted, before) >= sent);
    MessageRunRecord {
        address,
        cpu: counted.line().cpu(),
        sent,
        received: counted.received() - before.1,
        bytes: None,
    }
}

/// Prints the record of a run, and checks that each message was received, counted and handled.
fn check_messages(
    run: &Run<'_>,
    record: &MessageRunRecord,
    handled: u64,
    before: Counts,
    counted: &CountedLine,
) -> Result<(), PciError> {
    run.output.print("message_run", record);
    let MessageRunRecord {
        address,
        sent,
        received,
        ..
    } = *record;
    if [handled, received, claimed(counted, before)] == [sent; 3] {
        run.checks.note(true);
        return Ok(());
    }
    Err(PciError::Count {
        address,
        sent,
        received,
    })
}

fn show_masked(run: &Run<'_>, address: Address, message: MaskedMessage) -> Result<(), PciError> {
    run.output
        .print("masked_message", &MaskedRecord::of(address, message));
    if message.is_right() {
        run.checks.note(true);
        return Ok(());
    }
    Err(PciError::Device(
        address,
        "a masked message was not delivered after it was unmasked",
    ))
}

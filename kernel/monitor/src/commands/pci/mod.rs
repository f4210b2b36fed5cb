//! `pci`: the PCI functions of the machine, and the drivers of those that interrupt.

mod capabilities;
mod devices;
mod functions;
mod records;
mod shared;

use alloc::string::ToString;

use tocsin_logic::pci::Address;

use crate::command::{Arguments, CommandError};
use crate::commands::checks::Checks;
use crate::record::Output;
use tocsin::Machine;
use tocsin::pci;

/// The default number of interrupts.
const COUNT: u32 = 10;

/// The maximum number of interrupts: each has a different value in the device's 32 bits.
const MAX_COUNT: u64 = 1_000_000;

/// The parameters of a run of a device's driver.
struct Run<'a> {
    machine: &'a Machine,
    /// The number of interrupts, and the number of the CPU that handles them.
    count: u32,
    cpu: u32,
    output: Output,
    checks: Checks,
}

pub(super) fn pci(
    machine: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    let Some(word) = arguments.next_word() else {
        functions::show_all(output);
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
            functions::show_one(function, output);
            return Ok(());
        }
    };
    let (count, cpu) = numbers(arguments)?;
    let run = Run {
        machine,
        count,
        cpu,
        output,
        checks: Checks::default(),
    };
    device(&run).map_err(CommandError::Pci)?;
    run.checks.finish(output)
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

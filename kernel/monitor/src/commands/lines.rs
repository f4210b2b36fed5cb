//! `lines` and `ioapic`: the owner of each interrupt, and its delivery by the I/O APICs.

use alloc::format;
use alloc::string::ToString;

use crate::command::{Arguments, CommandError};
use crate::stress::lines;
use tocsin::apic::io::{self, IoApic};
use tocsin::line::{self, Description};
use tocsin::{Machine, cpu, println};

pub(super) fn lines(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    match arguments.next_word() {
        None => show_lines(),
        Some("test") => {
            let cpu = arguments.number(u64::from(u32::MAX))?;
            arguments.end()?;
            // The cast is lossless: `number` limits the value to 32 bits.
            return test(cpu.map_or_else(|| cpu::current().id(), |cpu| cpu as u32));
        }
        Some(other) => {
            return Err(CommandError::BadArgument {
                given: other.into(),
                expected: "`test`, or nothing".into(),
            });
        }
    }
    Ok(())
}

/// Tests every vector of a CPU.
fn test(cpu: u32) -> Result<(), CommandError> {
    let tried = lines::try_all(cpu).map_err(|error| CommandError::Failed(error.to_string()))?;
    println!("  vectors that had a line      {:>5}", tried.vectors);
    println!("  interrupts sent and arrived  {:>5}", tried.arrived);
    println!("  blocks of vectors            {:>5}", tried.blocks);
    println!("  requests refused             {:>5}", tried.refused);
    println!("  level-triggered, kept apart  {:>5}", tried.levels);
    for error in &tried.errors {
        println!("  error: {error}");
    }
    if tried.errors.is_empty() && tried.vectors == tried.arrived {
        return Ok(());
    }
    Err(CommandError::Failed(format!(
        "lines of CPU {cpu} are wrong"
    )))
}

fn show_lines() {
    println!(
        "  name          CPU  vectors    class      claimed  unclaimed  storms  state   source"
    );
    for line in line::all() {
        let vectors = match line.count {
            1 => format!("{}", line.first),
            _ => format!("{}-{}", line.first, line.last()),
        };
        let Description {
            name,
            source,
            cpu,
            class,
            counts,
            is_masked,
            storms,
            ..
        } = line;
        println!(
            "  {name:<12}  {cpu:>3}  {vectors:<9}  {:>5}  {:>11}  {:>9}  {storms:>6}  {:<6}  {source}",
            class.get(),
            counts.claimed,
            counts.unclaimed,
            if is_masked { "masked" } else { "open" },
        );
    }
}

pub(super) fn ioapic(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    arguments.end()?;
    if io::all().is_empty() {
        println!("The machine has no I/O APIC, or none that answers.");
    }
    io::all().iter().for_each(show);
    Ok(())
}

fn show(io_apic: &IoApic) {
    println!(
        "I/O APIC ID {:#04x} (register {:#04x}) at {:#x}: version {:#04x}, {}",
        io_apic.id,
        io_apic.register_id,
        io_apic.address,
        io_apic.version.number(),
        if io_apic.has_eoi() {
            "with an EOI register"
        } else {
            "without an EOI register"
        }
    );
    println!("  pin  GSI  entry");
    let mut untouched = 0;
    for (pin, entry) in (0..).zip(io_apic.entries()) {
        if entry.masked && entry.vector == 0 {
            untouched += 1;
            continue;
        }
        let gsi = io_apic.gsi(pin).map_or("-".into(), |gsi| gsi.to_string());
        println!("  {pin:>3}  {gsi:>3}  {entry}");
    }
    println!("  {untouched} pins are masked and have no vector");
}

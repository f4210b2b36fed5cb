//! `lines` and `ioapic`: who owns which interrupt, and how the I/O APICs deliver it.

use alloc::format;

use super::{Arguments, CommandError};
use crate::apic::io::{self, IoApic};
use crate::irq::line::{self, Description};
use crate::{Machine, println};

pub(super) fn lines(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    arguments.end()?;
    println!(
        "  name          CPU  vectors    class      claimed  unclaimed  storms  state   source"
    );
    for line in line::all() {
        let Description {
            name,
            source,
            cpu,
            first,
            count,
            class,
            counts,
            is_masked,
            storms,
        } = line;
        let vectors = match count {
            1 => format!("{first}"),
            _ => format!("{first}-{:#04x}", first.get() + (count - 1)),
        };
        println!(
            "  {name:<12}  {cpu:>3}  {vectors:<9}  {:>5}  {:>11}  {:>9}  {storms:>6}  {:<6}  {source}",
            class.get(),
            counts.claimed,
            counts.unclaimed,
            if is_masked { "masked" } else { "open" },
        );
    }
    Ok(())
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
        io_apic.version,
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
        println!("  {pin:>3}  {:>3}  {entry}", io_apic.gsi_base + pin);
    }
    println!("  {untouched} pins are masked and have no vector");
}

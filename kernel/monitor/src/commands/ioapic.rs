//! `ioapic`: the delivery of each pin by the I/O APICs.

use alloc::string::ToString;
use core::fmt;

use serde::Serialize;
use tocsin_logic::apic::Rte;

use super::names;
use crate::command::{Arguments, CommandError};
use crate::record::{self, Output};
use tocsin::apic::io::{self, IoApic};
use tocsin::{Machine, println};

/// An I/O APIC.
#[derive(Serialize)]
pub(super) struct IoApicRecord {
    id: u8,
    /// The ID in its own register.
    register_id: u8,
    address: u64,
    version: u8,
    has_eoi: bool,
    gsi_base: u32,
    last_gsi: u32,
    pins: u32,
    masked_pins: usize,
}

impl IoApicRecord {
    pub(super) fn of(io_apic: &IoApic) -> Self {
        Self {
            id: io_apic.id,
            register_id: io_apic.register_id,
            address: io_apic.address,
            version: io_apic.version.number(),
            has_eoi: io_apic.has_eoi(),
            gsi_base: io_apic.gsi_base,
            last_gsi: io_apic.last_gsi(),
            pins: io_apic.pins,
            masked_pins: io_apic.entries().filter(|entry| entry.masked).count(),
        }
    }
}

impl fmt::Display for IoApicRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "I/O APIC ID {:#04x} (register {:#04x}) at {:#x}: version {:#04x}, {} an EOI register, \
             GSI {} to {}, {} of {} pins masked",
            self.id,
            self.register_id,
            self.address,
            self.version,
            if self.has_eoi { "with" } else { "without" },
            self.gsi_base,
            self.last_gsi,
            self.masked_pins,
            self.pins
        )
    }
}

/// The redirection entry of a pin.
#[derive(Serialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is a bit of the entry")]
struct RteRecord {
    io_apic: u8,
    pin: u8,
    /// None if another I/O APIC has the GSI.
    gsi: Option<u32>,
    vector: u8,
    delivery: &'static str,
    logical: bool,
    pending: bool,
    polarity: &'static str,
    remote_irr: bool,
    trigger: &'static str,
    masked: bool,
    destination: u16,
}

impl RteRecord {
    fn of(io_apic: &IoApic, pin: u8, entry: Rte) -> Self {
        Self {
            io_apic: io_apic.id,
            pin,
            gsi: io_apic.gsi(pin).map(|gsi| gsi.0),
            vector: entry.vector,
            delivery: names::delivery(entry.delivery),
            logical: entry.logical,
            pending: entry.pending,
            polarity: names::polarity(entry.polarity),
            remote_irr: entry.remote_irr,
            trigger: names::trigger(entry.trigger),
            masked: entry.masked,
            destination: entry.destination,
        }
    }
}

pub(super) fn ioapic(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    arguments.end()?;
    if io::all().is_empty() {
        output.heading("The machine has no I/O APIC, or none that responds.");
    }
    for io_apic in io::all() {
        output.print("io_apic", &IoApicRecord::of(io_apic));
        match output {
            Output::Text => show(io_apic),
            Output::Records => {
                for (pin, entry) in (0..).zip(io_apic.entries()) {
                    let record = RteRecord::of(io_apic, pin, entry);
                    record::print("redirection_entry", &record);
                }
            }
        }
    }
    Ok(())
}

fn show(io_apic: &IoApic) {
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

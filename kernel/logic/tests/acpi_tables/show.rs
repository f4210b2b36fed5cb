//! A table in lines for people.

use std::fmt::Write as _;

use tocsin_logic::acpi::madt::Madt;
use tocsin_logic::acpi::{Dmar, Error, fadt, hpet, mcfg, root, rsdp, sdt};
use tocsin_logic::topology::{CpuState, Topology};

use crate::first_enabled;

/// Everything that is read from a table.
///
/// # Errors
///
/// The reader's.
pub fn table(bytes: &[u8]) -> Result<String, Error> {
    let mut text = String::new();
    if bytes.starts_with(b"RSD PTR ") {
        let pointer = rsdp::parse(bytes)?;
        let _ = writeln!(
            text,
            "   root pointer, revision {}, OEM \"{}\", root tables {:x?}",
            pointer.revision,
            pointer.oem_id,
            pointer.roots().collect::<Vec<_>>()
        );
        return Ok(text);
    }
    let header = sdt::check(bytes)?;
    let _ = writeln!(
        text,
        "   {}: {}; revision {}, {} bytes, OEM \"{}\" \"{}\", creator \"{}\"",
        header.signature,
        header.signature.describe().unwrap_or("unknown"),
        header.revision,
        header.length,
        header.oem_id,
        header.oem_table_id,
        header.creator_id,
    );
    match &header.signature.0 {
        b"APIC" => topology(&mut text, &Madt::parse(bytes)?),
        b"HPET" => {
            let hpet = hpet::parse(bytes)?;
            let bits = if hpet.is_64_bit() { 64 } else { 32 };
            let _ = writeln!(
                text,
                "   number {} at {:#x}, {bits} bits, {} comparators, vendor {:#06x}, minimum tick {}",
                hpet.number,
                hpet.address,
                hpet.comparators(),
                hpet.vendor(),
                hpet.minimum_tick
            );
        }
        b"MCFG" => {
            for item in mcfg::parse(bytes)?.segments() {
                let _ = match item {
                    Ok(found) => writeln!(text, "   {}", found.value),
                    Err(error) => writeln!(text, "   ! {error}"),
                };
            }
        }
        b"DMAR" => remapping(&mut text, &Dmar::parse(bytes)?),
        b"FACP" => {
            let (fadt, problem) = fadt::parse(bytes)?;
            if let Some(timer) = fadt.pm_timer {
                let _ = writeln!(text, "   PM timer: {timer}");
            }
            if let Some(error) = problem {
                let _ = writeln!(text, "   ! {error}");
            }
            if let Some(reset) = fadt.reset {
                let _ = writeln!(text, "   reset: {:#x} to {}", reset.value, reset.register);
            }
            let _ = writeln!(text, "   SCI {}", fadt.sci_interrupt);
        }
        b"RSDT" | b"XSDT" => {
            for address in root::entries(bytes)?.addresses() {
                let _ = writeln!(text, "   {address:#x}");
            }
        }
        _ => {}
    }
    Ok(text)
}

/// The remapping structures with their scopes.
fn remapping(text: &mut String, dmar: &Dmar<'_>) {
    let _ = writeln!(
        text,
        "   {} address bits, flags {:#x}",
        dmar.host_address_width, dmar.flags
    );
    for item in dmar.structures() {
        let structure = match item {
            Ok(found) => found.value,
            Err(error) => {
                let _ = writeln!(text, "   ! {error}");
                continue;
            }
        };
        let _ = writeln!(text, "   {structure}");
        for scope in structure.scopes() {
            let _ = match scope {
                Ok(found) => writeln!(text, "     {}", found.value),
                Err(error) => writeln!(text, "     ! {error}"),
            };
        }
    }
}

fn topology(text: &mut String, madt: &Madt<'_>) {
    let (topology, problems) = Topology::from_madt(madt, first_enabled(madt), None);
    let _ = writeln!(
        text,
        "   {} CPUs: {} enabled, {} online-capable, {} disabled; local APICs at {:#x}; 8259s: {}",
        topology.cpus().len(),
        topology.count(CpuState::Enabled),
        topology.count(CpuState::OnlineCapable),
        topology.count(CpuState::Disabled),
        topology.local_apic_address(),
        topology.has_8259(),
    );
    for row in topology.cpus().chunks(16) {
        let _ = write!(text, "   CPU {:>4}: APIC ID", row[0].number.get());
        for cpu in row {
            // Those that are not there are in brackets.
            let _ = match cpu.state {
                CpuState::Enabled => write!(text, "  {:02x} ", cpu.apic_id.get()),
                _ => write!(text, " ({:02x})", cpu.apic_id.get()),
            };
        }
        let uid = |cpu: &tocsin_logic::topology::Cpu| {
            cpu.uid.map_or_else(|| "none".into(), |uid| uid.to_string())
        };
        let _ = writeln!(
            text,
            "  UID {} to {}",
            uid(&row[0]),
            uid(&row[row.len() - 1])
        );
    }
    for io_apic in topology.io_apics() {
        let _ = writeln!(
            text,
            "   I/O APIC {:#04x} at {:#010x}, GSIs from {}",
            io_apic.id, io_apic.address, io_apic.gsi_base
        );
    }
    for (irq, route) in topology.overrides() {
        let _ = writeln!(text, "   IRQ {irq}: {route}");
    }
    for source in topology.nmi_sources() {
        let _ = writeln!(text, "   NMI source: GSI {}", source.gsi);
    }
    nmi_pins(text, &topology);
    for problem in &problems {
        let mark = if problem.is_note() { '-' } else { '!' };
        let _ = writeln!(text, "   {mark} {problem}");
    }
}

/// The pins of the enabled CPUs, those that are alike on one line.
fn nmi_pins(text: &mut String, topology: &Topology) {
    let mut kinds: Vec<(Vec<_>, usize)> = Vec::new();
    for cpu in topology.enabled() {
        let pins: Vec<_> = topology.lint_nmi(cpu.number).collect();
        match kinds.iter_mut().find(|(known, _)| *known == pins) {
            Some((_, count)) => *count += 1,
            None => kinds.push((pins, 1)),
        }
    }
    for (pins, count) in kinds {
        let _ = write!(text, "   NMI of {count} CPUs:");
        for (lint, polarity, trigger) in &pins {
            let _ = write!(text, " {lint} active {polarity}, {trigger}");
        }
        let _ = writeln!(text, "{}", if pins.is_empty() { " no pin" } else { "" });
    }
}

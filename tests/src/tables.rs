//! The ACPI tables in the guest's memory, found and decoded on the host.
//!
//! Written from the ACPI specification (6.5, 5.2.5 to 5.2.12), without code shared with the kernel.
//! It supports only valid tables and produces the kernel's expected records for them.

#[cfg(test)]
mod tests;

use serde_json::{Value, json};
use tocsin_tools::{Session, SessionError};

/// The BIOS area that contains the RSDP (5.2.5.1), and its size in revision 0.
const BIOS: std::ops::Range<u64> = 0xe_0000..0x10_0000;
const RSDP_SIZE: usize = 20;

/// Size of a table header, and of the MADT's own fields after it.
const HEADER: usize = 36;
const MADT_ENTRIES: usize = HEADER + 8;

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Signature, such as `APIC`.
    pub signature: String,
    /// Its physical address.
    pub address: u64,
    /// The whole table.
    pub bytes: Vec<u8>,
}

impl Table {
    /// Reads the table at `address`.
    ///
    /// # Errors
    ///
    /// QEMU does not return the guest's memory.
    pub fn read(session: &Session, address: u64) -> Result<Self, SessionError> {
        let header = session.physical_memory(address, HEADER as u64)?;
        let bytes = session.physical_memory(address, u64::from(word(&header, 4)))?;
        Ok(Self {
            signature: String::from_utf8_lossy(&header[..4]).into_owned(),
            address,
            bytes,
        })
    }

    /// Its revision.
    #[must_use]
    pub fn revision(&self) -> u8 {
        self.bytes[8]
    }
}

/// The root table and all tables that it lists, in its order; `None` if BIOS memory has no RSDP, as
/// under UEFI.
///
/// # Errors
///
/// QEMU does not return the guest's memory.
pub fn find(session: &Session) -> Result<Option<Vec<Table>>, SessionError> {
    let bios = session.physical_memory(BIOS.start, BIOS.end - BIOS.start)?;
    let mut slots = bios.chunks_exact(16).enumerate();
    let rsdp = slots.find_map(|(index, slot)| {
        let found = bios.get(index * 16..index * 16 + RSDP_SIZE)?;
        (slot.starts_with(b"RSD PTR ") && sum(found) == 0).then_some(found)
    });
    let Some(rsdp) = rsdp else { return Ok(None) };
    let root = Table::read(session, u64::from(word(rsdp, 16)))?;
    let addresses = root.bytes[HEADER..].as_chunks().0.to_vec();
    let mut tables = vec![root];
    for address in addresses {
        let address = u64::from(u32::from_le_bytes(address));
        tables.push(Table::read(session, address)?);
    }
    Ok(Some(tables))
}

/// The expected members of the `madt_entry` records of a valid MADT.
///
/// # Panics
///
/// If the table is invalid.
#[must_use]
pub fn madt_entries(madt: &[u8]) -> Vec<Value> {
    let mut entries = Vec::new();
    let mut offset = MADT_ENTRIES;
    while offset < madt.len() {
        let bytes = &madt[offset..offset + usize::from(madt[offset + 1])];
        let mut entry = entry(bytes);
        entry["kind"] = json!("madt_entry");
        entry["offset"] = json!(offset);
        entries.push(entry);
        offset += bytes.len();
    }
    entries
}

/// One entry (5.2.12.2 and following), by its type.
fn entry(entry: &[u8]) -> Value {
    let nmi = |form: &str, uid: Option<u32>, flags: u16, lint: u8| {
        with_input(json!({ "entry": form, "uid": uid, "lint": lint }), flags)
    };
    match entry[0] {
        0 => cpu(
            "local_apic",
            entry[2].into(),
            entry[3].into(),
            word(entry, 4),
        ),
        1 => json!({
            "entry": "io_apic",
            "id": entry[2],
            "address": word(entry, 4),
            "gsi_base": word(entry, 8),
        }),
        2 => {
            let (bus, irq, gsi) = (entry[2], entry[3], word(entry, 4));
            let members = json!({ "entry": "override", "bus": bus, "irq": irq, "gsi": gsi });
            with_input(members, half(entry, 8))
        }
        4 => {
            let uid = Some(entry[2]).filter(|&uid| uid != u8::MAX).map(u32::from);
            nmi("local_apic_nmi", uid, half(entry, 3), entry[5])
        }
        9 => cpu(
            "local_x2apic",
            word(entry, 12),
            word(entry, 4),
            word(entry, 8),
        ),
        10 => {
            let uid = Some(word(entry, 4)).filter(|&uid| uid != u32::MAX);
            nmi("local_x2apic_nmi", uid, half(entry, 2), entry[8])
        }
        kind => json!({ "entry": format!("type {kind} is not known here") }),
    }
}

/// A CPU with the flags of a local APIC (table 5.22).
fn cpu(form: &str, uid: u32, apic_id: u32, flags: u32) -> Value {
    json!({
        "entry": form,
        "uid": uid,
        "apic_id": apic_id,
        "enabled": flags & 1 != 0,
        "online_capable": flags & 2 != 0,
    })
}

/// Adds the flags of an input (table 5.26).
fn with_input(mut members: Value, flags: u16) -> Value {
    let polarity = ["conforming", "high", "reserved", "low"];
    let trigger = ["conforming", "edge", "reserved", "level"];
    let bits = |shift: u16| usize::from(flags >> shift & 3);
    members["polarity"] = json!(polarity[bits(0)]);
    members["trigger"] = json!(trigger[bits(2)]);
    members["reserved_bits"] = json!(flags & !0xf);
    members
}

/// The sum of all bytes, which is 0 in a valid table.
fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from(half(bytes, at)) | u32::from(half(bytes, at + 2)) << 16
}

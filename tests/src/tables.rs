//! The ACPI tables in the guest's memory, found and decoded on the host.
//!
//! Written from the ACPI specification (6.5, 5.2.5 to 5.2.12), without code shared with the kernel.
//! It supports only valid tables and produces the kernel's expected output for them.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

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
    let mut places = bios.chunks_exact(16).enumerate();
    let rsdp = places.find_map(|(index, place)| {
        let found = bios.get(index * 16..index * 16 + RSDP_SIZE)?;
        (place.starts_with(b"RSD PTR ") && sum(found) == 0).then_some(found)
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

/// The expected output of `madt` for the entries of a valid MADT, line by line, including offsets.
///
/// # Panics
///
/// If the table is invalid.
#[must_use]
pub fn madt_lines(madt: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut offset = MADT_ENTRIES;
    while offset < madt.len() {
        let entry = &madt[offset..offset + usize::from(madt[offset + 1])];
        lines.push(format!("  {offset:#06x}  {}", entry_line(entry)));
        offset += entry.len();
    }
    lines
}

/// One entry (5.2.12.2 and following), by its type.
fn entry_line(entry: &[u8]) -> String {
    let mut line = String::new();
    let nmi = |uid: Option<u32>, flags: u16, lint: u8| {
        let target = uid.map_or("all CPUs".to_owned(), |uid| format!("UID {uid}"));
        format!("{target}, LINT{lint}, {}", input(flags))
    };
    let written = match entry[0] {
        0 => write!(
            line,
            "local APIC: UID {}, APIC ID {:#04x}, {}",
            entry[2],
            entry[3],
            state(word(entry, 4))
        ),
        1 => write!(
            line,
            "I/O APIC: ID {:#04x}, address {:#010x}, GSIs from {}",
            entry[2],
            word(entry, 4),
            word(entry, 8)
        ),
        2 => write!(
            line,
            "override: bus {} IRQ {} is GSI {}, {}",
            entry[2],
            entry[3],
            word(entry, 4),
            input(half(entry, 8))
        ),
        4 => {
            let uid = Some(entry[2]).filter(|&uid| uid != u8::MAX).map(u32::from);
            let nmi = nmi(uid, half(entry, 3), entry[5]);
            write!(line, "local APIC NMI: {nmi}")
        }
        9 => write!(
            line,
            "local x2APIC: UID {}, APIC ID {:#04x}, {}",
            word(entry, 12),
            word(entry, 4),
            state(word(entry, 8))
        ),
        10 => {
            let uid = Some(word(entry, 4)).filter(|&uid| uid != u32::MAX);
            let nmi = nmi(uid, half(entry, 2), entry[8]);
            write!(line, "local x2APIC NMI: {nmi}")
        }
        kind => write!(line, "type {kind} is not known here"),
    };
    written.expect("a string takes any text");
    line
}

/// The flags of a local APIC (table 5.22).
fn state(flags: u32) -> &'static str {
    match flags & 3 {
        0 => "not enabled",
        2 => "online-capable",
        _ => "enabled",
    }
}

/// The flags of an input (table 5.26).
fn input(flags: u16) -> String {
    let polarity = ["polarity of the bus", "active high", "?", "active low"];
    let trigger = ["trigger of the bus", "edge", "?", "level"];
    let bits = |shift: u16| usize::from(flags >> shift & 3);
    format!("{}, {}", polarity[bits(0)], trigger[bits(2)])
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

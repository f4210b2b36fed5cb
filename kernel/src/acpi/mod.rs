//! ACPI tables: found, mapped read-only, checked, and handed to `logic` as bytes.
//!
//! `tocsin_logic::acpi` takes the tables apart, because it is bounded on any bytes. The `acpi` crate
//! does the search in BIOS memory, for a loader that does not say where the RSDP is; its walk of
//! the MADT does not end on an entry of length zero.

mod search;

use alloc::vec::Vec;
use core::fmt;

use tocsin_logic::acpi::root::{self, RootTable};
use tocsin_logic::acpi::rsdp::{self, Rsdp};
use tocsin_logic::acpi::sdt::{self, HEADER_SIZE, Header};
use tocsin_logic::acpi::{Error, Signature};

use crate::boot::BootInfo;
use crate::memory::{MemoryError, paging};

/// Why a table, or all of them, cannot be had.
#[derive(Clone, Copy, Debug)]
pub enum AcpiError {
    /// No loader and no search gave an RSDP.
    NoRsdp,
    /// The memory at this physical address cannot be mapped.
    Unmapped(u64, MemoryError),
    /// The bytes are not as they should be.
    Table(u64, Error),
}

impl fmt::Display for AcpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRsdp => f.write_str("no RSDP: neither the loader nor BIOS memory has one"),
            Self::Unmapped(address, error) => write!(f, "table at {address:#x}: {error}"),
            Self::Table(address, error) => write!(f, "table at {address:#x}: {error}"),
        }
    }
}

/// A table that the root table names.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its physical address.
    pub address: u64,
    /// Its header.
    pub header: Header,
    /// All of it, header included.
    pub bytes: &'static [u8],
}

/// The ACPI tables of the machine.
#[derive(Debug)]
pub struct Tables {
    /// Physical address of the RSDP, and what it holds.
    pub rsdp: (u64, Rsdp),
    /// The root table.
    pub root: Table,
    /// The sound tables, in the root table's order.
    pub tables: Vec<Table>,
    /// Those that are not sound.
    pub problems: Vec<AcpiError>,
}

impl Tables {
    /// Finds and checks all tables.
    ///
    /// # Errors
    ///
    /// [`AcpiError`], if there is no RSDP or no sound root table.
    pub(crate) fn find(boot: &BootInfo) -> Result<Self, AcpiError> {
        let address = boot
            .rsdp
            .or_else(search::in_bios_memory)
            .ok_or(AcpiError::NoRsdp)?;
        let found = map(address, rsdp::SIZE_V2 as u64)?;
        let rsdp = rsdp::parse(found).map_err(|error| AcpiError::Table(address, error))?;
        let root = table(rsdp.root.address())?;
        let entries =
            root::entries(root.bytes).map_err(|error| AcpiError::Table(root.address, error))?;
        let mut result = Self {
            rsdp: (address, rsdp),
            root,
            tables: Vec::new(),
            problems: Vec::new(),
        };
        result.add_all(&entries);
        Ok(result)
    }

    fn add_all(&mut self, entries: &RootTable<'_>) {
        if let Some(error) = entries.trailing() {
            self.problems
                .push(AcpiError::Table(self.root.address, error));
        }
        for address in entries.addresses() {
            match table(address) {
                Ok(table) => self.tables.push(table),
                Err(error) => self.problems.push(error),
            }
        }
    }

    /// The bytes of the first sound table with this signature.
    #[must_use]
    pub fn get(&self, signature: Signature) -> Option<&'static [u8]> {
        let mut tables = self.tables.iter();
        tables
            .find(|table| table.header.signature == signature)
            .map(|table| table.bytes)
    }
}

/// Maps and checks the table at physical `address`.
fn table(address: u64) -> Result<Table, AcpiError> {
    let unsound = |error| AcpiError::Table(address, error);
    let start = map(address, HEADER_SIZE as u64)?;
    let length = Header::parse(start).map_err(unsound)?.length;
    let bytes = map(address, u64::from(length))?;
    let header = sdt::check(bytes).map_err(unsound)?;
    Ok(Table {
        address,
        header,
        bytes,
    })
}

/// Maps `length` bytes of firmware's memory at physical `address`.
fn map(address: u64, length: u64) -> Result<&'static [u8], AcpiError> {
    // SAFETY: 1. Firmware says that a table is here. Reading it, whatever it is, changes nothing.
    let start = unsafe { paging::map_physical(address, length, paging::Use::Constant) };
    let start = start.map_err(|error| AcpiError::Unmapped(address, error))?;
    // SAFETY: 1. The range was just mapped and stays so. 2. Firmware's tables do not change, and
    // memory that the kernel hands out is not given as firmware's.
    Ok(unsafe { core::slice::from_raw_parts(start as *const u8, length as usize) })
}

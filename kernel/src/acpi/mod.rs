//! ACPI tables: this module finds them, maps them read-only, checks them and passes their bytes to
//! `logic`.
//!
//! `tocsin_logic::acpi` parses the tables because it terminates on any input; the `acpi` crate's
//! iterator over the MADT does not terminate on an entry of length zero. The `acpi` crate searches
//! BIOS memory if the loader passes no RSDP or an invalid one.
//!
//! The first root table that leads to a MADT is used, because real firmware may provide an invalid
//! or empty XSDT or RSDT.

mod search;

use alloc::vec::Vec;
use core::fmt;

use tocsin_logic::acpi::root::{self, RootTable};
use tocsin_logic::acpi::rsdp::{self, Rsdp};
use tocsin_logic::acpi::sdt::{self, HEADER_SIZE, Header};
use tocsin_logic::acpi::{Error, Signature};
use tocsin_logic::memory_map::{Misplaced, Placement};

use crate::boot::BootInfo;
use crate::memory::probe::Probe;
use crate::memory::{MemoryError, paging};

/// The reason why a table, or all tables, cannot be used.
#[derive(Clone, Copy, Debug)]
pub enum AcpiError {
    /// Neither the loader nor the search provided an RSDP.
    NoRsdp,
    /// This physical address cannot hold a table.
    Misplaced(u64, Misplaced),
    /// The memory at this physical address cannot be mapped.
    Unmapped(u64, MemoryError),
    /// The root table at this physical address leads to no valid MADT.
    NoMadt(u64, Signature),
    /// The contents of the table at this physical address are invalid.
    Table(u64, Error),
}

impl fmt::Display for AcpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRsdp => f.write_str("no RSDP: neither the loader nor BIOS memory has one"),
            Self::Misplaced(address, error) => {
                write!(f, "table at {address:#x}: a table cannot be {error}")
            }
            Self::Unmapped(address, error) => write!(f, "table at {address:#x}: {error}"),
            Self::NoMadt(address, root) => {
                write!(f, "{root} at {address:#x}: it lists no valid MADT")
            }
            Self::Table(address, error) => write!(f, "table at {address:#x}: {error}"),
        }
    }
}

impl core::error::Error for AcpiError {}

/// A table that the root table lists.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its physical address.
    pub address: u64,
    /// Its header.
    pub header: Header,
    /// The whole table, including the header.
    pub bytes: &'static [u8],
}

/// The ACPI tables of the machine.
#[derive(Debug)]
pub struct Tables {
    /// Physical address and contents of the RSDP.
    pub rsdp: (u64, Rsdp),
    /// The root table.
    pub root: Table,
    /// The valid tables, in the root table's order.
    pub tables: Vec<Table>,
    /// The tables that are invalid or misplaced, or that are unused for that reason.
    pub problems: Vec<AcpiError>,
}

impl Tables {
    /// Finds and checks all tables.
    ///
    /// # Errors
    ///
    /// All errors found, if there is no RSDP or no valid root table.
    pub(crate) fn find(boot: &BootInfo, placement: &Placement<'_>) -> Result<Self, Vec<AcpiError>> {
        let mut problems = Vec::new();
        let mut best: Option<Self> = None;
        let mut tried = None;
        for source in [
            |boot: &BootInfo| boot.rsdp,
            |_: &BootInfo| search::in_bios_memory(),
        ] {
            let Some(address) = source(boot).filter(|&address| tried != Some(address)) else {
                continue;
            };
            tried = Some(address);
            let rsdp = match read_rsdp(address, placement) {
                Ok(rsdp) => rsdp,
                Err(error) => {
                    problems.push(error);
                    continue;
                }
            };
            problems.extend(rsdp.problem.map(|error| AcpiError::Table(address, error)));
            for root in rsdp.roots() {
                match Self::by_root((address, rsdp), root.address(), placement) {
                    Ok(mut tables) if tables.get(Signature::MADT).is_some() => {
                        problems.append(&mut tables.problems);
                        tables.problems = problems;
                        return Ok(tables);
                    }
                    Ok(tables) => {
                        let root = &tables.root;
                        problems.push(AcpiError::NoMadt(root.address, root.header.signature));
                        if best.as_ref().is_none_or(|best| best.tables.is_empty()) {
                            best = Some(tables);
                        }
                    }
                    Err(error) => problems.push(error),
                }
            }
        }
        if tried.is_none() {
            problems.push(AcpiError::NoRsdp);
        }
        let Some(mut tables) = best else {
            return Err(problems);
        };
        // No root table has a MADT; the missing MADT is reported where it is read.
        problems.retain(|problem| !matches!(problem, AcpiError::NoMadt(..)));
        problems.append(&mut tables.problems);
        tables.problems = problems;
        Ok(tables)
    }

    /// The tables that the root table at physical address `root` lists.
    fn by_root(rsdp: (u64, Rsdp), root: u64, placement: &Placement<'_>) -> Result<Self, AcpiError> {
        let root = table(root, placement)?;
        let entries =
            root::entries(root.bytes).map_err(|error| AcpiError::Table(root.address, error))?;
        let mut result = Self {
            rsdp,
            root,
            tables: Vec::new(),
            problems: Vec::new(),
        };
        result.add_all(&entries, placement);
        Ok(result)
    }

    fn add_all(&mut self, entries: &RootTable<'_>, placement: &Placement<'_>) {
        if let Some(error) = entries.trailing() {
            self.problems
                .push(AcpiError::Table(self.root.address, error));
        }
        for address in entries.addresses() {
            match table(address, placement) {
                Ok(table) => self.tables.push(table),
                Err(error) => self.problems.push(error),
            }
        }
    }

    /// The bytes of the first valid table with this signature.
    ///
    /// Context: any.
    #[must_use]
    pub fn get(&self, signature: Signature) -> Option<&'static [u8]> {
        let mut tables = self.tables.iter();
        tables
            .find(|table| table.header.signature == signature)
            .map(|table| table.bytes)
    }
}

/// Maps and reads the RSDP at physical `address`.
fn read_rsdp(address: u64, placement: &Placement<'_>) -> Result<Rsdp, AcpiError> {
    let mut length = rsdp::SIZE_V1;
    loop {
        let found = map(address, length as u64, placement)?;
        let needed = rsdp::size(found.bytes());
        if needed <= length {
            let rsdp = rsdp::parse(found.bytes());
            return rsdp.map_err(|error| AcpiError::Table(address, error));
        }
        length = needed;
    }
}

/// Maps and checks the table at physical `address`. It stays mapped if it is valid.
fn table(address: u64, placement: &Placement<'_>) -> Result<Table, AcpiError> {
    let invalid = |error| AcpiError::Table(address, error);
    let start = map(address, HEADER_SIZE as u64, placement)?;
    let length = Header::parse(start.bytes()).map_err(invalid)?.length;
    drop(start);
    let whole = map(address, length.into(), placement)?;
    let header = sdt::check(whole.bytes()).map_err(invalid)?;
    Ok(Table {
        address,
        header,
        bytes: whole.keep(),
    })
}

/// A mapping of physical memory that may hold a table.
struct Mapped {
    probe: Probe,
    length: usize,
}

/// Maps `length` bytes of firmware memory at physical `address`.
fn map(address: u64, length: u64, placement: &Placement<'_>) -> Result<Mapped, AcpiError> {
    let placed = placement.check_devices(address, length);
    placed.map_err(|error| AcpiError::Misplaced(address, error))?;
    // SAFETY: Firmware reports a table at this address. Reading it has no side effects in any case:
    // the range is not in the known registers.
    let probe = unsafe { Probe::map(address, length, paging::Use::Constant) };
    let probe = probe.map_err(|error| AcpiError::Unmapped(address, error))?;
    let length = length as usize;
    Ok(Mapped { probe, length })
}

impl Mapped {
    fn bytes(&self) -> &[u8] {
        // SAFETY: The range is mapped as long as the probe lives. Firmware tables do not change,
        // and the kernel does not allocate memory that the memory map assigns to firmware.
        unsafe { core::slice::from_raw_parts(self.probe.address() as *const u8, self.length) }
    }

    /// Keeps the table mapped permanently.
    fn keep(self) -> &'static [u8] {
        let start = self.probe.keep();
        // SAFETY: As above, and the range stays mapped.
        unsafe { core::slice::from_raw_parts(start as *const u8, self.length) }
    }
}

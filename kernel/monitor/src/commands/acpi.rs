//! `acpi`: the ACPI tables of the machine.

use alloc::string::{String, ToString};
use core::fmt;

use serde::Serialize;

use crate::command::{Arguments, CommandError};
use crate::record::as_text;
use tocsin::Machine;
use tocsin::acpi::{AcpiError, Table, Tables};
use tocsin_logic::acpi::Text;

/// The root pointer.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum RsdpRecord {
    Absent,
    Valid {
        address: u64,
        revision: u8,
        #[serde(serialize_with = "as_text")]
        oem_id: Text<6>,
    },
}

impl RsdpRecord {
    fn of(tables: Option<&Tables>) -> Self {
        tables.map_or(Self::Absent, |tables| {
            let (address, rsdp) = tables.rsdp;
            Self::Valid {
                address,
                revision: rsdp.revision,
                oem_id: rsdp.oem_id,
            }
        })
    }
}

impl fmt::Display for RsdpRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("There are no ACPI tables; the log says why."),
            Self::Valid {
                address,
                revision,
                oem_id,
            } => write!(f, "RSDP at {address:#x}, revision {revision}, OEM {oem_id}"),
        }
    }
}

/// A valid table.
#[derive(Serialize)]
struct TableRecord {
    signature: String,
    address: u64,
    length: u32,
    revision: u8,
    oem_id: String,
    oem_table_id: String,
    /// A description, if the signature is known.
    contents: Option<&'static str>,
}

impl TableRecord {
    fn of(table: &Table) -> Self {
        let header = &table.header;
        Self {
            signature: header.signature.to_string(),
            address: table.address,
            length: header.length,
            revision: header.revision,
            oem_id: header.oem_id.to_string(),
            oem_table_id: header.oem_table_id.to_string(),
            contents: header.signature.describe(),
        }
    }
}

impl fmt::Display for TableRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  {:<5}  {:#018x}  {:>6}  {:>8}  {:<6}  {:<9}  {}",
            self.signature,
            self.address,
            self.length,
            self.revision,
            self.oem_id,
            self.oem_table_id,
            self.contents.unwrap_or("not known to this kernel"),
        )
    }
}

/// A table that is not used, or all of them.
#[derive(Serialize)]
struct ProblemRecord {
    problem: &'static str,
    address: Option<u64>,
    /// The signature, if it is known.
    table: Option<String>,
    description: String,
}

impl ProblemRecord {
    fn of(error: &AcpiError) -> Self {
        let (problem, address, table) = match *error {
            AcpiError::NoRsdp => ("no_rsdp", None, None),
            AcpiError::Misplaced(address, _) => ("misplaced", Some(address), None),
            AcpiError::Unmapped(address, _) => ("unmapped", Some(address), None),
            AcpiError::NoMadt(address, root) => ("no_madt", Some(address), Some(root)),
            AcpiError::Table(address, error) => ("invalid", Some(address), Some(error.table)),
        };
        Self {
            problem,
            address,
            table: table.map(|signature| signature.to_string()),
            description: error.to_string(),
        }
    }
}

impl fmt::Display for ProblemRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  left out: {}", self.description)
    }
}

pub(super) fn acpi(
    machine: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    arguments.end()?;
    let tables = machine.tables.as_ref();
    output.print("rsdp", &RsdpRecord::of(tables));
    let Some(tables) = tables else { return Ok(()) };
    output.heading("  table  address             length  revision  OEM     OEM table  contents");
    for table in core::iter::once(&tables.root).chain(&tables.tables) {
        output.print("acpi_table", &TableRecord::of(table));
    }
    for problem in &tables.problems {
        output.print("acpi_problem", &ProblemRecord::of(problem));
    }
    Ok(())
}

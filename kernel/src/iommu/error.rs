//! Errors of the IOMMU.

use core::fmt;

use tocsin_logic::vtd::mapping::MapError;
use tocsin_logic::vtd::table::TableError;

use crate::memory::MemoryError;
use crate::memory::frames::FRAME;

/// The reason why an operation of a unit failed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum IommuError {
    /// The registers or a table cannot be mapped or allocated.
    Memory(MemoryError),
    /// The registers overlap those of another unit, an interrupt controller, the HPET or PCI
    /// configuration space.
    Overlap,
    /// The unit lacks this capability.
    Lacks(&'static str),
    /// The unit did not do this in time.
    Timeout(&'static str),
    /// The unit rejected a command of the invalidation queue; the value is its fault status.
    Rejected(u32),
    /// The range of device addresses cannot be mapped.
    Range,
    /// A page of the range is mapped already, or is not mapped; the value is its device address.
    Page(u64),
    /// There is no free range of device addresses of this number of pages.
    NoAddress(u64),
    /// All domain IDs are in use.
    NoDomain,
}

impl fmt::Display for IommuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(error) => error.fmt(f),
            Self::Overlap => f.write_str("its registers overlap other registers (ignored)"),
            Self::Lacks(capability) => write!(f, "it has no {capability}"),
            Self::Timeout(action) => write!(f, "it did not {action} in time"),
            Self::Rejected(status) => {
                write!(f, "it rejected an invalidation (fault status {status:#x})")
            }
            Self::Range => f.write_str("the device addresses exceed what it translates"),
            Self::Page(address) => {
                write!(
                    f,
                    "the page at device address {address:#x} is in the wrong state"
                )
            }
            Self::NoAddress(pages) => {
                write!(f, "no free device addresses for {pages} pages")
            }
            Self::NoDomain => f.write_str("all domain IDs are in use"),
        }
    }
}

impl core::error::Error for IommuError {}

impl IommuError {
    /// There is no frame for a table.
    pub(super) const OUT_OF_FRAMES: Self = Self::Memory(MemoryError::OutOfFrames(FRAME));

    /// Whether the unit may still use entries that were changed.
    pub(super) fn is_incomplete(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Rejected(_))
    }
}

impl From<MemoryError> for IommuError {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}

impl From<MapError<IommuError>> for IommuError {
    fn from(error: MapError<IommuError>) -> Self {
        match error {
            MapError::Range => Self::Range,
            MapError::Mapped(address) | MapError::NotMapped(address) => Self::Page(address),
            MapError::NoMemory => Self::OUT_OF_FRAMES,
            MapError::Command(error) => error,
        }
    }
}

impl From<TableError<IommuError>> for IommuError {
    fn from(error: TableError<IommuError>) -> Self {
        match error {
            TableError::NoMemory => Self::OUT_OF_FRAMES,
            TableError::Command(error) => error,
        }
    }
}

//! The remapping structures (VT-d specification, 8.2 to 8.9).

use super::scope::Scopes;
use crate::acpi::{ErrorKind, u16_at, u32_at, u64_at};
use core::fmt;
use core::ops::Range;

/// The size of a page in bytes.
const PAGE: u64 = 4096;

/// A remapping unit: a DMA remapping hardware unit definition, type 0.
#[derive(Clone, Debug)]
pub struct Drhd<'a> {
    /// The PCI segment group of its devices.
    pub segment: u16,
    /// Physical address of the registers.
    pub base: u64,
    /// Size of the registers in bytes, a power of two of at least 4096.
    pub size: u64,
    /// `INCLUDE_PCI_ALL`: the unit remaps all functions of the segment that are in the scope of no
    /// other unit. The scopes then name I/O APICs and HPETs only.
    pub includes_all: bool,
    /// The devices.
    pub scopes: Scopes<'a>,
}

/// Memory to which devices do DMA on behalf of firmware: a reserved memory region, type 1.
#[derive(Clone, Debug)]
pub struct Rmrr<'a> {
    /// The PCI segment group of the devices.
    pub segment: u16,
    /// Physical address of the first byte, a multiple of 4096.
    pub base: u64,
    /// Physical address of the last byte.
    pub limit: u64,
    /// The devices.
    pub scopes: Scopes<'a>,
}

/// Root ports that support address translation services, type 2.
#[derive(Clone, Debug)]
pub struct Atsr<'a> {
    /// The PCI segment group of the root ports.
    pub segment: u16,
    /// `ALL_PORTS`: all root ports of the segment.
    pub all_ports: bool,
    /// The root ports.
    pub scopes: Scopes<'a>,
}

/// The proximity domain of a unit: a remapping hardware static affinity structure, type 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhsa {
    /// Physical address of the unit's registers.
    pub base: u64,
    /// The proximity domain of the SRAT.
    pub domain: u32,
}

/// A device that is not on a PCI bus: an ACPI namespace device declaration, type 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Andd<'a> {
    /// The number by which scopes refer to the device.
    pub number: u8,
    /// The name in the ACPI namespace, without the terminator.
    pub name: &'a [u8],
}

/// Integrated devices with an address translation cache, type 5.
#[derive(Clone, Debug)]
pub struct Satc<'a> {
    /// The PCI segment group of the devices.
    pub segment: u16,
    /// `ATC_REQUIRED`: the devices work only if their translation cache is enabled.
    pub required: bool,
    /// The devices.
    pub scopes: Scopes<'a>,
}

/// Integrated devices with special properties, type 6. The flags of the scopes state them.
#[derive(Clone, Debug)]
pub struct Sidp<'a> {
    /// The PCI segment group of the devices.
    pub segment: u16,
    /// The devices.
    pub scopes: Scopes<'a>,
}

/// A remapping structure.
///
/// `Display`: the contents on one line, without the scopes.
#[derive(Clone, Debug)]
pub enum Structure<'a> {
    /// Type 0: a unit.
    Drhd(Drhd<'a>),
    /// Type 1: reserved memory.
    Rmrr(Rmrr<'a>),
    /// Type 2: root ports with address translation services.
    Atsr(Atsr<'a>),
    /// Type 3: the proximity domain of a unit.
    Rhsa(Rhsa),
    /// Type 4: a device in the ACPI namespace.
    Andd(Andd<'a>),
    /// Type 5: devices with an address translation cache.
    Satc(Satc<'a>),
    /// Type 6: devices with special properties.
    Sidp(Sidp<'a>),
    /// Any other type. The kernel ignores it.
    Unknown {
        /// The type.
        kind: u16,
        /// The length in bytes.
        length: u16,
    },
}

impl Drhd<'_> {
    /// The physical addresses of the registers.
    #[must_use]
    pub const fn registers(&self) -> Range<u64> {
        self.base..self.base.saturating_add(self.size)
    }
}

impl Rmrr<'_> {
    /// The physical addresses of the memory.
    #[must_use]
    pub const fn addresses(&self) -> Range<u64> {
        self.base..self.limit.saturating_add(1)
    }
}

impl<'a> Structure<'a> {
    /// The minimum length of a structure of this type, in bytes.
    pub(super) const fn needed(kind: u16) -> u16 {
        match kind {
            0 => 16,
            1 => 24,
            2 | 5 | 6 => 8,
            3 => 20,
            4 => 9,
            _ => 4,
        }
    }

    /// Reads the structure at `offset` of the table.
    pub(super) fn decode(bytes: &'a [u8], offset: usize) -> Result<Self, ErrorKind> {
        let kind = u16_at(bytes, 0).unwrap_or_default();
        let needed = Self::needed(kind);
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        let structure = Self::read(bytes, kind, offset).filter(|_| length >= needed);
        let structure = structure.ok_or(ErrorKind::EntryShort {
            kind,
            needed,
            length,
        })?;
        structure.check()?;
        Ok(structure)
    }

    /// Reads a structure; returns `None` if `bytes` is too short for its type.
    fn read(bytes: &'a [u8], kind: u16, offset: usize) -> Option<Self> {
        let byte = |at: usize| bytes.get(at).copied();
        let scopes = |at: usize| Some(Scopes::new(bytes.get(at..)?, offset + at));
        let segment = u16_at(bytes, 6);
        let structure = match kind {
            0 => Self::Drhd(Drhd {
                includes_all: byte(4)? & 1 != 0,
                // Bits 3:0 are the logarithm of the number of pages; reserved, and 0, before 4.0.
                size: PAGE << (byte(5)? & 0xf),
                segment: segment?,
                base: u64_at(bytes, 8)?,
                scopes: scopes(16)?,
            }),
            1 => Self::Rmrr(Rmrr {
                segment: segment?,
                base: u64_at(bytes, 8)?,
                limit: u64_at(bytes, 16)?,
                scopes: scopes(24)?,
            }),
            2 => Self::Atsr(Atsr {
                all_ports: byte(4)? & 1 != 0,
                segment: segment?,
                scopes: scopes(8)?,
            }),
            3 => Self::Rhsa(Rhsa {
                base: u64_at(bytes, 8)?,
                domain: u32_at(bytes, 16)?,
            }),
            4 => Self::Andd(Andd {
                number: byte(7)?,
                name: bytes.get(8..)?,
            }),
            5 => Self::Satc(Satc {
                required: byte(4)? & 1 != 0,
                segment: segment?,
                scopes: scopes(8)?,
            }),
            6 => Self::Sidp(Sidp {
                segment: segment?,
                scopes: scopes(8)?,
            }),
            _ => Self::Unknown {
                kind,
                length: u16_at(bytes, 2)?,
            },
        };
        Some(structure.terminated())
    }

    /// Removes the terminator of a name. A name without one remains as it is, for
    /// [`check`](Self::check).
    fn terminated(mut self) -> Self {
        if let Self::Andd(device) = &mut self
            && let Some(end) = device.name.iter().position(|&byte| byte == 0)
        {
            device.name = &device.name[..end];
        }
        self
    }

    /// Checks the values.
    fn check(&self) -> Result<(), ErrorKind> {
        match self {
            Self::Drhd(Drhd { base: 0, .. }) => Err(ErrorKind::NoAddress),
            Self::Drhd(unit) if !unit.base.is_multiple_of(unit.size) => {
                Err(ErrorKind::Address(unit.base))
            }
            Self::Rmrr(memory) => {
                let (base, limit) = (memory.base, memory.limit);
                let is_valid =
                    base.is_multiple_of(PAGE) && limit % PAGE == PAGE - 1 && base < limit;
                if is_valid {
                    Ok(())
                } else {
                    Err(ErrorKind::MemoryRange { base, limit })
                }
            }
            _ => Ok(()),
        }
    }

    /// The scopes; none for the types without.
    #[must_use]
    pub fn scopes(&self) -> Scopes<'a> {
        match self {
            Self::Drhd(Drhd { scopes, .. })
            | Self::Rmrr(Rmrr { scopes, .. })
            | Self::Atsr(Atsr { scopes, .. })
            | Self::Satc(Satc { scopes, .. })
            | Self::Sidp(Sidp { scopes, .. }) => scopes.clone(),
            Self::Rhsa(_) | Self::Andd(_) | Self::Unknown { .. } => Scopes::new(&[], 0),
        }
    }
}

impl fmt::Display for Structure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drhd(unit) => {
                write!(
                    f,
                    "DRHD: segment {}, registers at {:#x}, {} KiB",
                    unit.segment,
                    unit.base,
                    unit.size >> 10
                )?;
                f.write_str(if unit.includes_all {
                    ", all other devices"
                } else {
                    ""
                })
            }
            Self::Rmrr(memory) => write!(
                f,
                "RMRR: segment {}, memory {:#x} to {:#x}",
                memory.segment, memory.base, memory.limit
            ),
            Self::Atsr(ports) => {
                write!(f, "ATSR: segment {}", ports.segment)?;
                f.write_str(if ports.all_ports {
                    ", all root ports"
                } else {
                    ""
                })
            }
            Self::Rhsa(Rhsa { base, domain }) => {
                write!(f, "RHSA: registers at {base:#x}, proximity domain {domain}")
            }
            Self::Andd(device) => write!(
                f,
                "ANDD: device {}, {}",
                device.number,
                device.name.escape_ascii()
            ),
            Self::Satc(devices) => {
                write!(f, "SATC: segment {}", devices.segment)?;
                f.write_str(if devices.required {
                    ", cache required"
                } else {
                    ""
                })
            }
            Self::Sidp(devices) => write!(f, "SIDP: segment {}", devices.segment),
            Self::Unknown { kind, length } => write!(f, "skipped: type {kind}, {length} bytes"),
        }
    }
}

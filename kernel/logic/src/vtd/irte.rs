//! The entries of the interrupt-remapping table (5.1, 9.10).

use core::fmt;

use super::table::Invalid;
use super::{Capability, Command, Memory, SourceId};
use crate::apic::{ApicId, EncodingError, Trigger};
use crate::vector::Vector;

/// The size of an entry in bytes.
pub const SIZE: u64 = 16;

/// P.
const PRESENT: u64 = 1;

/// The senders from which an entry accepts messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// One sender.
    Source(SourceId),
    /// All functions on these buses: those behind a bridge that replaces the IDs of its devices.
    Buses {
        /// The first bus.
        first: u8,
        /// The last bus.
        last: u8,
    },
}

impl Accepts {
    /// Whether a message of this sender is accepted.
    #[must_use]
    pub const fn accepts(self, source: SourceId) -> bool {
        match self {
            Self::Source(only) => only.0 == source.0,
            Self::Buses { first, last } => first <= source.bus() && source.bus() <= last,
        }
    }
}

/// An entry: fixed, physical delivery to one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Irte {
    /// The vector.
    pub vector: Vector,
    /// The CPU.
    pub cpu: ApicId,
    /// The trigger mode. That of an I/O APIC's pin must be the same in its redirection entry.
    pub trigger: Trigger,
    /// The senders.
    pub accepts: Accepts,
}

impl Irte {
    /// The two words of the entry; `extended` is the mode of the table, for 32-bit APIC IDs.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Destination`] if the APIC ID exceeds 254, or, with `extended`, is all ones.
    /// [`EncodingError::Vector`] below 16.
    pub const fn encode(self, extended: bool) -> Result<[u64; 2], EncodingError> {
        let max = if extended {
            ApicId::X2APIC_MAX
        } else {
            ApicId::XAPIC_MAX
        };
        let id = self.cpu.get();
        if id > max.get() {
            return Err(EncodingError::Destination { id, max: max.get() });
        }
        let vector = self.vector.get();
        if vector < 16 {
            return Err(EncodingError::Vector(vector));
        }
        let destination = if extended { id } else { id << 8 };
        let level = matches!(self.trigger, Trigger::Level) as u64;
        let low = (destination as u64) << 32 | (vector as u64) << 16 | level << 4 | PRESENT;
        let high = match self.accepts {
            Accepts::Source(source) => 1 << 18 | source.0 as u64,
            Accepts::Buses { first, last } => 2 << 18 | (first as u64) << 8 | last as u64,
        };
        Ok([low, high])
    }

    /// Reads an entry that the kernel has encoded; `Ok(None)` if it is not present.
    ///
    /// # Errors
    ///
    /// [`Invalid`], if a unit rejects it, or if the kernel does not use such an entry.
    pub const fn decode([low, high]: [u64; 2], extended: bool) -> Result<Option<Self>, Invalid> {
        if low & PRESENT == 0 {
            return Ok(None);
        }
        // Fixed delivery, physical destination, remapped, not silent.
        if low & 0xff00_ffee != 0 || high >> 20 != 0 {
            return Err(Invalid::Reserved);
        }
        let destination = (low >> 32) as u32;
        let cpu = if extended {
            ApicId(destination)
        } else if destination & !0xff00 == 0 {
            ApicId(destination >> 8)
        } else {
            return Err(Invalid::Reserved);
        };
        let accepts = match high >> 16 & 0xf {
            0b01_00 => Accepts::Source(SourceId(high as u16)),
            0b10_00 => Accepts::Buses {
                first: (high >> 8) as u8,
                last: high as u8,
            },
            _ => return Err(Invalid::Field),
        };
        Ok(Some(Self {
            vector: Vector((low >> 16) as u8),
            cpu,
            trigger: Trigger::from_bit(low & 1 << 4 != 0),
            accepts,
        }))
    }
}

/// The table of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Physical address.
    pub address: u64,
    /// The number of entries, a power of two from 2 to 65536.
    pub entries: u32,
    /// Whether entries have 32-bit APIC IDs.
    pub extended: bool,
}

impl Table {
    const fn entry(&self, index: u16) -> u64 {
        self.address + index as u64 * SIZE
    }

    /// Reads an entry, as it is in memory.
    pub fn read<M: Memory>(&self, memory: &M, index: u16) -> Option<Irte> {
        let address = self.entry(index);
        Irte::decode(
            [memory.read(address), memory.read(address + 8)],
            self.extended,
        )
        .ok()?
    }

    /// Sets or removes an entry, and makes the unit use it: when this returns, no message is
    /// delivered by the old entry.
    ///
    /// If only vector, CPU and trigger mode change, the entry is replaced by one 64-bit write: each
    /// message is delivered by the old or by the new entry, and none is blocked.
    ///
    /// # Errors
    ///
    /// [`EntryError`].
    pub fn set<M: Memory>(
        &self,
        memory: &mut M,
        capability: Capability,
        index: u16,
        irte: Option<Irte>,
    ) -> Result<(), EntryError<M::Error>> {
        if u32::from(index) >= self.entries {
            return Err(EntryError::Index(index));
        }
        let new = match irte {
            Some(irte) => irte.encode(self.extended).map_err(EntryError::Encoding)?,
            None => [0, 0],
        };
        let address = self.entry(index);
        let old = [memory.read(address), memory.read(address + 8)];
        let was_present = old[0] & PRESENT != 0;
        if was_present && old[1] != new[1] {
            memory.write(address, 0);
        }
        if old[1] != new[1] {
            memory.write(address + 8, new[1]);
        }
        memory.write(address, new[0]);
        if was_present || capability.caching_mode() {
            let command = Command::Interrupts { index, mask: 0 };
            memory.execute(&[command]).map_err(EntryError::Command)?;
        }
        Ok(())
    }
}

/// The reason why an entry was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError<E> {
    /// The table has no such entry.
    Index(u16),
    /// The entry cannot be expressed.
    Encoding(EncodingError),
    /// The command failed. The entry has been changed, but the unit may still use the old one.
    Command(E),
}

impl<E: fmt::Display> fmt::Display for EntryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "the table has no entry {index}"),
            Self::Encoding(error) => error.fmt(f),
            Self::Command(error) => error.fmt(f),
        }
    }
}

impl<E: core::error::Error> core::error::Error for EntryError<E> {}

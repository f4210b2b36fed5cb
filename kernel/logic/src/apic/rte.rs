//! The I/O APIC's redirection entries, in both formats: the compatible one
//! (82093AA data sheet, 3.2.4) and the remappable one, which names an entry of
//! the interrupt-remapping table instead of a CPU (VT-d specification, 5.1.5.1).
//!
//! An entry is 64 bits behind a 32-bit window. **To arm or change an entry: write
//! the low half with the mask set, then the high half, then the low half as it
//! shall be.** [`write_order`] gives the three writes. In any other order the pin
//! is unmasked while the destination is still the old one. To mask, the low half
//! alone is enough.

use super::{ApicId, Delivery, EncodingError, Polarity, Trigger};
use core::fmt;

const VECTOR: u64 = 0xff;
const LOGICAL: u64 = 1 << 11;
const PENDING: u64 = 1 << 12;
const POLARITY: u32 = 13;
const REMOTE_IRR: u64 = 1 << 14;
const TRIGGER: u32 = 15;
const MASK: u64 = 1 << 16;
/// Which format: 1 is remappable.
const FORMAT: u64 = 1 << 48;

/// One of the two halves of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// Vector, modes and mask.
    Low,
    /// Destination.
    High,
}

/// The writes that bring a new entry into force without a moment in which half
/// of it is old: masked low, high, low.
#[must_use]
pub const fn write_order(entry: u64) -> [(Half, u32); 3] {
    let low = entry as u32;
    [
        (Half::Low, low | MASK as u32),
        (Half::High, (entry >> 32) as u32),
        (Half::Low, low),
    ]
}

/// A redirection entry in compatible format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a bit of the entry")]
pub struct Rte {
    /// Bits 7:0.
    pub vector: u8,
    /// Bits 10:8; all but start-up.
    pub delivery: Delivery,
    /// Bit 11: whether the destination is a logical one.
    pub logical: bool,
    /// Bit 12, read only: waits to be sent.
    pub pending: bool,
    /// Bit 13.
    pub polarity: Polarity,
    /// Bit 14, read only: a level-triggered interrupt waits for its EOI.
    pub remote_irr: bool,
    /// Bit 15.
    pub trigger: Trigger,
    /// Bit 16.
    pub masked: bool,
    /// Bits 63:56 are its bits 7:0; bits 55:49 its bits 14:8, which only
    /// hypervisors that announce it take into account.
    pub destination: u16,
}

impl Rte {
    /// What an entry is after reset: masked, and all else 0.
    pub const MASKED: Self = Self {
        vector: 0,
        delivery: Delivery::Fixed,
        logical: false,
        pending: false,
        polarity: Polarity::High,
        remote_irr: false,
        trigger: Trigger::Edge,
        masked: true,
        destination: 0,
    };

    /// The highest destination in eight bits: what every I/O APIC has.
    pub const MAX_DESTINATION: u32 = 254;
    /// The highest destination with the seven extended bits.
    pub const MAX_EXTENDED_DESTINATION: u32 = 0x7fff;

    /// An unmasked entry with fixed, physical delivery to one CPU.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Destination`] if the ID is above 254, or, with `extended`,
    /// above 32767; also for 255 itself without it. [`EncodingError::Vector`] below 16.
    pub const fn fixed(
        vector: u8,
        cpu: ApicId,
        polarity: Polarity,
        trigger: Trigger,
        extended: bool,
    ) -> Result<Self, EncodingError> {
        let max = if extended {
            Self::MAX_EXTENDED_DESTINATION
        } else {
            Self::MAX_DESTINATION
        };
        if cpu.0 > max {
            return Err(EncodingError::Destination { id: cpu.0, max });
        }
        if vector < 16 {
            return Err(EncodingError::Vector(vector));
        }
        Ok(Self {
            vector,
            polarity,
            trigger,
            masked: false,
            destination: cpu.0 as u16,
            ..Self::MASKED
        })
    }

    /// The entry, masked or not.
    #[must_use]
    pub const fn with_mask(self, masked: bool) -> Self {
        Self { masked, ..self }
    }

    /// The entry's 64 bits. The two read-only bits are left 0.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Delivery`] for a start-up IPI,
    /// [`EncodingError::Destination`] above 32767.
    pub const fn encode(self) -> Result<u64, EncodingError> {
        if matches!(self.delivery, Delivery::StartUp) {
            return Err(EncodingError::Delivery(self.delivery as u8));
        }
        let id = self.destination as u32;
        if id > Self::MAX_EXTENDED_DESTINATION {
            let max = Self::MAX_EXTENDED_DESTINATION;
            return Err(EncodingError::Destination { id, max });
        }
        let logical = if self.logical { LOGICAL } else { 0 };
        let mask = if self.masked { MASK } else { 0 };
        Ok(self.vector as u64
            | self.delivery.field()
            | logical
            | self.polarity.bit() << POLARITY
            | self.trigger.bit() << TRIGGER
            | mask
            | (id as u64 >> 8) << 49
            | (id as u64 & 0xff) << 56)
    }

    /// Reads an entry.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Format`] for a remappable entry,
    /// [`EncodingError::Delivery`] for the modes 3 and start-up,
    /// [`EncodingError::Reserved`] for bits 47:17.
    pub const fn decode(bits: u64) -> Result<Self, EncodingError> {
        const RESERVED: u64 = 0x0000_ffff_fffe_0000;
        if bits & FORMAT != 0 {
            return Err(EncodingError::Format);
        }
        let delivery = match Delivery::from_field(bits) {
            Some(Delivery::StartUp) | None => {
                return Err(EncodingError::Delivery((bits >> 8) as u8 & 7));
            }
            Some(mode) => mode,
        };
        if bits & RESERVED != 0 {
            return Err(EncodingError::Reserved(bits & RESERVED));
        }
        Ok(Self {
            vector: (bits & VECTOR) as u8,
            delivery,
            logical: bits & LOGICAL != 0,
            pending: bits & PENDING != 0,
            polarity: Polarity::from_bit(bits >> POLARITY & 1 != 0),
            remote_irr: bits & REMOTE_IRR != 0,
            trigger: Trigger::from_bit(bits >> TRIGGER & 1 != 0),
            masked: bits & MASK != 0,
            destination: (bits >> 56) as u16 | ((bits >> 49) as u16 & 0x7f) << 8,
        })
    }
}

impl fmt::Display for Rte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.delivery {
            Delivery::Fixed => write!(f, "vector {:#04x}", self.vector)?,
            Delivery::LowestPriority => {
                write!(f, "vector {:#04x}, lowest priority", self.vector)?;
            }
            other => write!(f, "{other}")?,
        }
        let kind = if self.logical { "logical" } else { "APIC ID" };
        write!(
            f,
            " to {kind} {:#04x}, active {}, {}",
            self.destination, self.polarity, self.trigger
        )?;
        flags(f, self.remote_irr, self.pending, self.masked)
    }
}

/// A redirection entry in remappable format.
///
/// Vector, destination and delivery are in the remapping table. The vector stays
/// in the entry too, because the EOI that a CPU sends to the I/O APIC is matched
/// by it: it must be the one that the table's entry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemappableRte {
    /// Bits 7:0.
    pub vector: u8,
    /// The entry of the remapping table: bits 63:49 are its bits 14:0, bit 11 its
    /// bit 15.
    pub index: u16,
    /// Bit 12, read only: waits to be sent.
    pub pending: bool,
    /// Bit 13.
    pub polarity: Polarity,
    /// Bit 14, read only: a level-triggered interrupt waits for its EOI.
    pub remote_irr: bool,
    /// Bit 15; must be what the table's entry has.
    pub trigger: Trigger,
    /// Bit 16.
    pub masked: bool,
}

impl RemappableRte {
    /// The entry's 64 bits. The two read-only bits are left 0.
    #[must_use]
    pub const fn encode(self) -> u64 {
        let index = self.index as u64;
        let mask = if self.masked { MASK } else { 0 };
        self.vector as u64
            | (index >> 15) << 11
            | self.polarity.bit() << POLARITY
            | self.trigger.bit() << TRIGGER
            | mask
            | FORMAT
            | (index & 0x7fff) << 49
    }

    /// Reads an entry.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Format`] for a compatible entry,
    /// [`EncodingError::Reserved`] for bits 47:17 and 10:8.
    pub const fn decode(bits: u64) -> Result<Self, EncodingError> {
        const RESERVED: u64 = 0x0000_ffff_fffe_0700;
        if bits & FORMAT == 0 {
            return Err(EncodingError::Format);
        }
        if bits & RESERVED != 0 {
            return Err(EncodingError::Reserved(bits & RESERVED));
        }
        Ok(Self {
            vector: (bits & VECTOR) as u8,
            index: (bits >> 49) as u16 | ((bits >> 11) as u16 & 1) << 15,
            pending: bits & PENDING != 0,
            polarity: Polarity::from_bit(bits >> POLARITY & 1 != 0),
            remote_irr: bits & REMOTE_IRR != 0,
            trigger: Trigger::from_bit(bits >> TRIGGER & 1 != 0),
            masked: bits & MASK != 0,
        })
    }
}

impl fmt::Display for RemappableRte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "vector {:#04x} by remapping entry {}, active {}, {}",
            self.vector, self.index, self.polarity, self.trigger
        )?;
        flags(f, self.remote_irr, self.pending, self.masked)
    }
}

fn flags(f: &mut fmt::Formatter<'_>, remote_irr: bool, pending: bool, masked: bool) -> fmt::Result {
    for (set, text) in [
        (remote_irr, ", remote IRR"),
        (pending, ", pending"),
        (masked, ", masked"),
    ] {
        if set {
            f.write_str(text)?;
        }
    }
    Ok(())
}

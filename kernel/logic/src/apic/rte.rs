//! The redirection entries of the I/O APIC in both formats: the compatible format (82093AA data
//! sheet, 3.2.4) and the remappable format, which refers to an entry of the interrupt-remapping
//! table instead of a CPU (VT-d specification, 5.1.5.1).
//!
//! An entry has 64 bits, but the window has 32. **To unmask or change an entry, write the low half
//! with the mask bit set, then the high half, then the final low half.** [`write_order`] returns
//! the three writes. In any other order the pin would be unmasked while the destination is still
//! the old one. To mask an entry, a write of the low half is sufficient.

use super::{ApicId, Delivery, EncodingError, Polarity, Trigger};
use core::fmt;

const VECTOR: u64 = 0xff;
const LOGICAL: u64 = 1 << 11;
const PENDING: u64 = 1 << 12;
const POLARITY: u32 = 13;
const REMOTE_IRR: u64 = 1 << 14;
const TRIGGER: u32 = 15;
const MASK: u64 = 1 << 16;
/// Interrupt format: 1 is remappable.
const FORMAT: u64 = 1 << 48;

/// A half of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// Vector, modes and mask.
    Low,
    /// Destination.
    High,
}

/// Returns the writes that change an entry such that no interrupt uses half of the old and half of
/// the new entry: masked low, high, low.
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
    /// Bits 10:8; all modes except start-up.
    pub delivery: Delivery,
    /// Bit 11: whether the destination is logical.
    pub logical: bool,
    /// Delivery status, bit 12, read-only: the interrupt has not been sent yet.
    pub pending: bool,
    /// Bit 13.
    pub polarity: Polarity,
    /// Remote IRR, bit 14, read-only: the EOI of a level-triggered interrupt is outstanding.
    pub remote_irr: bool,
    /// Bit 15.
    pub trigger: Trigger,
    /// Bit 16.
    pub masked: bool,
    /// The destination: bits 7:0 in bits 63:56, bits 14:8 in bits 55:49. Only hypervisors that
    /// advertise the extended destination evaluate the latter.
    pub destination: u16,
}

impl Rte {
    /// The value of an entry after reset: masked, all other bits 0.
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

    /// The highest 8-bit destination, which every I/O APIC supports.
    pub const MAX_DESTINATION: u32 = 254;
    /// The highest destination with the seven extended bits.
    pub const MAX_EXTENDED_DESTINATION: u32 = 0x7fff;

    /// An unmasked entry with fixed, physical delivery to one CPU.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Destination`] if the ID is above 254, or, with `extended`, above 32767.
    /// [`EncodingError::Vector`] below 16.
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

    /// Returns the entry with the mask bit set or clear.
    #[must_use]
    pub const fn with_mask(self, masked: bool) -> Self {
        Self { masked, ..self }
    }

    /// Encodes the 64 bits of the entry. The two read-only bits are 0.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Delivery`] for a start-up IPI, [`EncodingError::Destination`] above 32767.
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

    /// Decodes an entry.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Format`] for a remappable entry, [`EncodingError::Delivery`] for mode 3 and
    /// start-up, [`EncodingError::Reserved`] for bits 47:17.
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
/// Vector, destination and delivery mode are in the remapping table. The entry must contain the
/// same vector as the remapping table, because the I/O APIC compares it with the vector of the EOI
/// message from the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemappableRte {
    /// Bits 7:0.
    pub vector: u8,
    /// The index of the entry in the remapping table: bits 14:0 in bits 63:49, bit 15 in bit 11.
    pub index: u16,
    /// Delivery status, bit 12, read-only: the interrupt has not been sent yet.
    pub pending: bool,
    /// Bit 13.
    pub polarity: Polarity,
    /// Remote IRR, bit 14, read-only: the EOI of a level-triggered interrupt is outstanding.
    pub remote_irr: bool,
    /// Bit 15; must match the entry of the remapping table.
    pub trigger: Trigger,
    /// Bit 16.
    pub masked: bool,
}

impl RemappableRte {
    /// Encodes the 64 bits of the entry. The two read-only bits are 0.
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

    /// Decodes an entry.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Format`] for a compatible entry, [`EncodingError::Reserved`] for bits 47:17
    /// and 10:8.
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

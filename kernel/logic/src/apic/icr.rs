//! The interrupt command register, by which a CPU sends IPIs (SDM vol. 3A, 12.6.1, figure 12-12;
//! for the x2APIC 12.12.9, figure 12-28).
//!
//! In xAPIC mode the register has two halves. The destination must be written to the high half
//! first, because a write to the low half sends the IPI. No other write to the ICR may occur
//! between the two, so interrupts must be off. The delivery-status bit must be clear before. In
//! x2APIC mode there is no such bit and nothing to wait for: a single 64-bit write sends the IPI.

use super::{ApicId, Delivery, EncodingError, Trigger};
use core::fmt;

/// The destination of an IPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The CPU with this APIC ID.
    Physical(ApicId),
    /// The CPUs with a matching logical ID. In x2APIC mode, bits 31:16 are the cluster and bits
    /// 15:0 a set of 16 CPUs; in xAPIC mode the ID has 8 bits.
    Logical(u32),
    /// The sending CPU. Fixed delivery only.
    Myself,
    /// All CPUs, including the sender. Fixed delivery only.
    All,
    /// All CPUs except the sender.
    Others,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Physical(id) => write!(f, "APIC ID {id}"),
            Self::Logical(id) => write!(f, "logical {id:#x}"),
            Self::Myself => f.write_str("self"),
            Self::All => f.write_str("all"),
            Self::Others => f.write_str("all others"),
        }
    }
}

/// An interrupt command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icr {
    /// Bits 7:0.
    pub vector: u8,
    /// Bits 10:8; all modes except `ExtINT`.
    pub delivery: Delivery,
    /// Bit 14: `false` only for the INIT de-assert of CPUs before the Pentium 4.
    pub assert: bool,
    /// Bit 15.
    pub trigger: Trigger,
    /// Bit 11, bits 19:18, and the destination field.
    pub destination: Destination,
}

impl Icr {
    /// Delivery status, bit 12 of the low half in xAPIC mode: the last IPI has not been sent yet.
    pub const DELIVERY_PENDING: u32 = 1 << 12;

    #[inline]
    const fn new(vector: u8, delivery: Delivery, destination: Destination) -> Self {
        Self {
            vector,
            delivery,
            assert: true,
            trigger: Trigger::Edge,
            destination,
        }
    }

    /// A fixed interrupt with this vector.
    #[must_use]
    #[inline]
    pub const fn fixed(vector: u8, destination: Destination) -> Self {
        Self::new(vector, Delivery::Fixed, destination)
    }

    /// A non-maskable interrupt.
    #[must_use]
    pub const fn nmi(destination: Destination) -> Self {
        Self::new(0, Delivery::Nmi, destination)
    }

    /// INIT, asserted, edge-triggered: the first step of starting a CPU (SDM vol. 3A, 10.4.4.1).
    #[must_use]
    pub const fn init(destination: Destination) -> Self {
        Self::new(0, Delivery::Init, destination)
    }

    /// The start-up IPI for code at `address`.
    ///
    /// # Errors
    ///
    /// [`EncodingError::StartUpAddress`] unless the address is that of a 4 KiB page below 1 MiB
    /// (SDM vol. 3A, 10.4.4.1, and 12.6.1 under "Start-Up").
    pub const fn start_up(address: u64, destination: Destination) -> Result<Self, EncodingError> {
        if address & 0xfff != 0 || address >= 1 << 20 {
            return Err(EncodingError::StartUpAddress(address));
        }
        Ok(Self::new(
            (address >> 12) as u8,
            Delivery::StartUp,
            destination,
        ))
    }

    /// The bits that are the same in both modes.
    #[inline]
    const fn low(self) -> Result<u32, EncodingError> {
        if matches!(self.delivery, Delivery::ExtInt) {
            return Err(EncodingError::Delivery(self.delivery as u8));
        }
        if self.delivery.uses_vector() && self.vector < 16 {
            return Err(EncodingError::Vector(self.vector));
        }
        let (logical, shorthand) = match self.destination {
            Destination::Physical(_) => (0, 0),
            Destination::Logical(_) => (1, 0),
            Destination::Myself => (0, 1),
            Destination::All => (0, 2),
            Destination::Others => (0, 3),
        };
        // Valid combinations: SDM vol. 3A, tables 12-3 and 12-4.
        if matches!(shorthand, 1 | 2) && !matches!(self.delivery, Delivery::Fixed) {
            return Err(EncodingError::Shorthand(self.delivery));
        }
        let bits = self.vector as u64
            | self.delivery.field()
            | logical << 11
            | (self.assert as u64) << 14
            | self.trigger.bit() << 15
            | shorthand << 18;
        Ok(bits as u32)
    }

    /// Encodes the two halves for xAPIC mode, in the order in which they must be written: `[high,
    /// low]`. The destination is in bits 63:56 of the register, bits 31:24 of the high half.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Destination`] for a physical ID above 254 or a logical ID above 255,
    /// [`EncodingError::Vector`] below 16 for fixed and lowest-priority delivery,
    /// [`EncodingError::Delivery`] and [`EncodingError::Shorthand`] for combinations that the ICR
    /// cannot send.
    #[inline]
    pub const fn encode_xapic(self) -> Result<[u32; 2], EncodingError> {
        let low = match self.low() {
            Ok(low) => low,
            Err(error) => return Err(error),
        };
        let (id, max) = match self.destination {
            Destination::Physical(ApicId(id)) => (id, ApicId::XAPIC_MAX.0),
            Destination::Logical(id) => (id, 0xff),
            _ => (0, 0xff),
        };
        if id > max {
            return Err(EncodingError::Destination { id, max });
        }
        Ok([id << 24, low])
    }

    /// Encodes the value of MSR 830h for x2APIC mode, with the destination in bits 63:32.
    ///
    /// # Errors
    ///
    /// As [`Icr::encode_xapic`], except that every ID fits but the physical ID of 32 ones, which
    /// would address all CPUs.
    #[inline]
    pub const fn encode_x2apic(self) -> Result<u64, EncodingError> {
        let low = match self.low() {
            Ok(low) => low,
            Err(error) => return Err(error),
        };
        let id = match self.destination {
            Destination::Physical(ApicId(id)) => {
                if id > ApicId::X2APIC_MAX.0 {
                    let max = ApicId::X2APIC_MAX.0;
                    return Err(EncodingError::Destination { id, max });
                }
                id
            }
            Destination::Logical(id) => id,
            _ => 0,
        };
        Ok((id as u64) << 32 | low as u64)
    }

    /// Decodes the two halves of the xAPIC register, `[high, low]`.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Delivery`] for mode 3 and `ExtINT`, [`EncodingError::Reserved`] for
    /// reserved bits.
    pub const fn decode_xapic([high, low]: [u32; 2]) -> Result<Self, EncodingError> {
        if high & 0x00ff_ffff != 0 {
            return Err(EncodingError::Reserved(((high & 0x00ff_ffff) as u64) << 32));
        }
        Self::decode(high >> 24, low & !Self::DELIVERY_PENDING)
    }

    /// Decodes the x2APIC register.
    ///
    /// # Errors
    ///
    /// As [`Icr::decode_xapic`].
    pub const fn decode_x2apic(value: u64) -> Result<Self, EncodingError> {
        Self::decode((value >> 32) as u32, value as u32)
    }

    const fn decode(id: u32, low: u32) -> Result<Self, EncodingError> {
        // Bits 12, 13, 17:16 and 31:20.
        const RESERVED: u32 = 0xfff3_3000;
        let delivery = match Delivery::from_field(low as u64) {
            Some(Delivery::ExtInt) | None => {
                return Err(EncodingError::Delivery((low >> 8) as u8 & 7));
            }
            Some(mode) => mode,
        };
        if low & RESERVED != 0 {
            return Err(EncodingError::Reserved((low & RESERVED) as u64));
        }
        let destination = match (low >> 18 & 3, low >> 11 & 1) {
            (0, 0) => Destination::Physical(ApicId(id)),
            (0, _) => Destination::Logical(id),
            (1, _) => Destination::Myself,
            (2, _) => Destination::All,
            _ => Destination::Others,
        };
        Ok(Self {
            vector: low as u8,
            delivery,
            assert: low & 1 << 14 != 0,
            trigger: Trigger::from_bit(low & 1 << 15 != 0),
            destination,
        })
    }
}

impl fmt::Display for Icr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.delivery)?;
        match self.delivery {
            Delivery::Fixed | Delivery::LowestPriority => {
                write!(f, " vector {:#04x}", self.vector)?;
            }
            Delivery::StartUp => write!(f, " at {:#x}", u32::from(self.vector) << 12)?,
            _ => {}
        }
        write!(f, " to {}", self.destination)
    }
}

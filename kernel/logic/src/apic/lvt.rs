//! The entries of the local vector table (SDM vol. 3A, 12.5.1, figure 12-8).
//!
//! While the local APIC is disabled by software, the CPU keeps the mask bit of every entry set and
//! ignores attempts to clear it (12.4.7.2). Software must set the enable bit of the SVR before it
//! unmasks an entry.

use super::{Delivery, EncodingError, Polarity, Trigger};
use core::fmt;

/// The timer mode (SDM vol. 3A, 12.5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TimerMode {
    /// Counts down once.
    #[default]
    OneShot = 0,
    /// Counts down repeatedly.
    Periodic = 1,
    /// Fires when the TSC reaches the value of the deadline MSR. Requires CPUID.01H:ECX\[24\].
    TscDeadline = 2,
}

impl fmt::Display for TimerMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OneShot => "one-shot",
            Self::Periodic => "periodic",
            Self::TscDeadline => "TSC-deadline",
        })
    }
}

/// An LVT entry. Not every entry has all fields: the timer and error entries have no delivery mode,
/// only LINT0 and LINT1 have polarity, trigger mode and remote IRR, and only the timer has a timer
/// mode. Missing fields are 0.
///
/// ```
/// # use tocsin_logic::apic::{Lvt, TimerMode};
/// assert_eq!(Lvt::timer(0x20, TimerMode::Periodic).encode(), 0x0002_0020);
/// assert_eq!(Lvt::MASKED.encode(), 0x0001_0000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lvt {
    /// Bits 7:0.
    pub vector: u8,
    /// Bits 10:8: fixed, SMI, NMI, INIT or `ExtINT`.
    pub delivery: Delivery,
    /// Delivery status, bit 12, read-only: sent, but not yet accepted by the CPU.
    pub pending: bool,
    /// Bit 13; LINT0 and LINT1 only.
    pub polarity: Polarity,
    /// Remote IRR, bit 14, read-only: a level-triggered interrupt was accepted and its EOI is
    /// outstanding.
    pub remote_irr: bool,
    /// Bit 15; LINT0 and LINT1 with fixed delivery only.
    pub trigger: Trigger,
    /// Bit 16.
    pub masked: bool,
    /// Bits 18:17; timer only.
    pub timer_mode: TimerMode,
}

impl Lvt {
    /// The value of an entry after reset: masked, all other bits 0.
    pub const MASKED: Self = Self {
        vector: 0,
        delivery: Delivery::Fixed,
        pending: false,
        polarity: Polarity::High,
        remote_irr: false,
        trigger: Trigger::Edge,
        masked: true,
        timer_mode: TimerMode::OneShot,
    };

    /// An unmasked entry that delivers `vector`, for the error, CMCI, performance and thermal
    /// entries.
    #[must_use]
    pub const fn fixed(vector: u8) -> Self {
        Self {
            vector,
            masked: false,
            ..Self::MASKED
        }
    }

    /// An unmasked entry for the timer.
    #[must_use]
    pub const fn timer(vector: u8, timer_mode: TimerMode) -> Self {
        Self {
            timer_mode,
            ..Self::fixed(vector)
        }
    }

    /// An unmasked entry for a LINT pin to which NMI is wired. The CPU treats NMI as edge-triggered
    /// regardless of the trigger-mode bit (12.5.1).
    #[must_use]
    pub const fn nmi(polarity: Polarity) -> Self {
        Self {
            delivery: Delivery::Nmi,
            polarity,
            ..Self::fixed(0)
        }
    }

    /// An unmasked entry for a LINT pin to which the 8259 is wired.
    #[must_use]
    pub const fn ext_int() -> Self {
        Self {
            delivery: Delivery::ExtInt,
            ..Self::fixed(0)
        }
    }

    /// Returns the entry with the mask bit set or clear.
    #[must_use]
    pub const fn with_mask(self, masked: bool) -> Self {
        Self { masked, ..self }
    }

    /// Whether `value` is an entry that delivers SMIs, regardless of its other bits.
    #[must_use]
    pub const fn is_smi(value: u32) -> bool {
        value >> 8 & 7 == Delivery::Smi as u32
    }

    /// Encodes the register. The two read-only bits are 0.
    #[must_use]
    pub const fn encode(self) -> u32 {
        let bits = self.vector as u64
            | self.delivery.field()
            | self.polarity.bit() << 13
            | self.trigger.bit() << 15
            | (self.masked as u64) << 16
            | (self.timer_mode as u64) << 17;
        bits as u32
    }

    /// Decodes an entry of any kind.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Delivery`] for modes that no entry supports (lowest priority, start-up and
    /// 3), [`EncodingError::Reserved`] for timer mode 3 and for other reserved bits.
    pub const fn decode(value: u32) -> Result<Self, EncodingError> {
        const RESERVED: u32 = 0xfff8_0800;
        let bits = value as u64;
        let delivery = match Delivery::from_field(bits) {
            Some(Delivery::LowestPriority | Delivery::StartUp) | None => {
                return Err(EncodingError::Delivery((value >> 8) as u8 & 7));
            }
            Some(mode) => mode,
        };
        let timer_mode = match value >> 17 & 3 {
            0 => TimerMode::OneShot,
            1 => TimerMode::Periodic,
            2 => TimerMode::TscDeadline,
            _ => return Err(EncodingError::Reserved(3 << 17)),
        };
        if value & RESERVED != 0 {
            return Err(EncodingError::Reserved((value & RESERVED) as u64));
        }
        Ok(Self {
            vector: value as u8,
            delivery,
            pending: value & 1 << 12 != 0,
            polarity: Polarity::from_bit(value & 1 << 13 != 0),
            remote_irr: value & 1 << 14 != 0,
            trigger: Trigger::from_bit(value & 1 << 15 != 0),
            masked: value & 1 << 16 != 0,
            timer_mode,
        })
    }
}

impl fmt::Display for Lvt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.delivery {
            Delivery::Fixed => write!(f, "vector {:#04x}", self.vector)?,
            other => write!(f, "{other}")?,
        }
        if self.timer_mode != TimerMode::OneShot {
            write!(f, ", {}", self.timer_mode)?;
        }
        if self.polarity == Polarity::Low {
            f.write_str(", active low")?;
        }
        if self.trigger == Trigger::Level {
            f.write_str(", level")?;
        }
        for (set, text) in [
            (self.remote_irr, ", remote IRR"),
            (self.pending, ", pending"),
            (self.masked, ", masked"),
        ] {
            if set {
                f.write_str(text)?;
            }
        }
        Ok(())
    }
}

//! `IA32_APIC_BASE`: the mode of the local APIC and its legal transitions (SDM vol. 3A, 12.4.3,
//! 12.4.4 and 12.12.1; the transitions are those of 12.12.5 and its figure 12-27).

use arrayvec::ArrayVec;
use core::fmt;

/// The number of the MSR.
pub const IA32_APIC_BASE: u32 = 0x1b;

/// BSP, bit 8: this CPU is the bootstrap processor.
const BSP: u64 = 1 << 8;
/// EXTD, bit 10: x2APIC mode.
const EXTD: u64 = 1 << 10;
/// EN, bit 11: APIC global enable.
const EN: u64 = 1 << 11;

/// The mode of the local APIC, determined by EN and EXTD (SDM vol. 3A, table 12-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// EN 0, EXTD 0: disabled, as if the CPU had no local APIC.
    Disabled,
    /// EN 1, EXTD 0: xAPIC mode, with memory-mapped registers.
    XApic,
    /// EN 1, EXTD 1: x2APIC mode, with MSRs.
    X2Apic,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Disabled, Self::XApic, Self::X2Apic];

    const fn bits(self) -> u64 {
        match self {
            Self::Disabled => 0,
            Self::XApic => EN,
            Self::X2Apic => EN | EXTD,
        }
    }

    /// Returns whether a single write may change this state to `next`.
    ///
    /// Writing the current state is legal and changes nothing. An illegal transition raises #GP:
    /// x2APIC mode can be entered only from xAPIC mode, and left only to the disabled state.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`].
    pub const fn transition(self, next: Self) -> Result<(), IllegalTransition> {
        match (self, next) {
            (Self::Disabled, Self::X2Apic) | (Self::X2Apic, Self::XApic) => {
                Err(IllegalTransition {
                    from: self,
                    to: next,
                })
            }
            _ => Ok(()),
        }
    }

    /// The states to write one after the other to reach `target` by legal transitions; empty if
    /// `self` is already `target`.
    #[must_use]
    pub fn path(self, target: Self) -> ArrayVec<Self, 2> {
        let mut path = ArrayVec::new();
        if self == target {
            return path;
        }
        match (self, target) {
            (Self::Disabled, Self::X2Apic) => path.push(Self::XApic),
            (Self::X2Apic, Self::XApic) => path.push(Self::Disabled),
            _ => {}
        }
        path.push(target);
        path
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Disabled => "disabled",
            Self::XApic => "xapic",
            Self::X2Apic => "x2apic",
        })
    }
}

/// A state transition for which the CPU raises #GP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IllegalTransition {
    /// The current state.
    pub from: State,
    /// The requested state.
    pub to: State,
}

impl fmt::Display for IllegalTransition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the local APIC cannot go from {} to {} in one step",
            self.from, self.to
        )
    }
}

impl core::error::Error for IllegalTransition {}

/// The decoded register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApicBase {
    /// The physical address of the xAPIC page, bits 51:12.
    pub address: u64,
    /// Whether this CPU is the bootstrap processor.
    pub bsp: bool,
    /// The state that EN and EXTD encode.
    pub state: State,
}

/// An invalid value of the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseError {
    /// EXTD is set without EN (SDM vol. 3A, table 12-5).
    Invalid,
    /// Reserved bits are set: 7:0, 9 or above 51. Each bit of the mask is one of them.
    Reserved(u64),
    /// The address is not 4 KiB-aligned, or not below 2^52.
    Address(u64),
}

impl fmt::Display for BaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid => f.write_str("IA32_APIC_BASE: EXTD is set without EN"),
            Self::Reserved(mask) => {
                write!(f, "IA32_APIC_BASE: reserved bits are set ({mask:#x})")
            }
            Self::Address(address) => {
                write!(
                    f,
                    "IA32_APIC_BASE: {address:#x} is not the address of a page below 2^52"
                )
            }
        }
    }
}

impl core::error::Error for BaseError {}

impl ApicBase {
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

    /// Decodes the register.
    ///
    /// # Errors
    ///
    /// [`BaseError::Invalid`] and [`BaseError::Reserved`].
    pub const fn decode(value: u64) -> Result<Self, BaseError> {
        let reserved = value & !(Self::ADDRESS | BSP | EXTD | EN);
        if reserved != 0 {
            return Err(BaseError::Reserved(reserved));
        }
        let state = match (value & EN != 0, value & EXTD != 0) {
            (false, false) => State::Disabled,
            (true, false) => State::XApic,
            (true, true) => State::X2Apic,
            (false, true) => return Err(BaseError::Invalid),
        };
        Ok(Self {
            address: value & Self::ADDRESS,
            bsp: value & BSP != 0,
            state,
        })
    }

    /// Encodes the register.
    ///
    /// # Errors
    ///
    /// [`BaseError::Address`].
    pub const fn encode(self) -> Result<u64, BaseError> {
        if self.address & !Self::ADDRESS != 0 {
            return Err(BaseError::Address(self.address));
        }
        let bsp = if self.bsp { BSP } else { 0 };
        Ok(self.address | bsp | self.state.bits())
    }

    /// Returns the same value with another state.
    #[must_use]
    pub const fn with_state(self, state: State) -> Self {
        Self { state, ..self }
    }
}

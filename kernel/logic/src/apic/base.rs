//! `IA32_APIC_BASE`: which form the local APIC is in, and how it may change
//! (SDM vol. 3A, 12.4.3, 12.4.4 and 12.12.1; the transitions are those of 12.12.5
//! and its figure 12-27).

use arrayvec::ArrayVec;
use core::fmt;

/// The number of the MSR.
pub const IA32_APIC_BASE: u32 = 0x1b;

/// BSP, bit 8: this CPU is the one that the machine started with.
const BSP: u64 = 1 << 8;
/// EXTD, bit 10: x2APIC mode.
const EXTD: u64 = 1 << 10;
/// EN, bit 11: the APIC is on.
const EN: u64 = 1 << 11;

/// The state of the local APIC as EN and EXTD give it (SDM vol. 3A, table 12-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// EN 0, EXTD 0: off, as if the CPU had none.
    Disabled,
    /// EN 1, EXTD 0: the memory-mapped form.
    XApic,
    /// EN 1, EXTD 1: the MSR form.
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

    /// Whether one write may take the APIC from this state to `next`.
    ///
    /// To stay is no change, and legal. What is not legal raises #GP: x2APIC mode
    /// is entered from xAPIC mode only, and left to disabled only.
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

    /// The states to write one after the other to come from this state to
    /// `target` by legal transitions; empty if it is there already.
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

/// A change of state that the CPU answers with #GP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IllegalTransition {
    /// The state it is in.
    pub from: State,
    /// The state that was asked for.
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

/// The register's value taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApicBase {
    /// The physical address of the xAPIC's page, bits 51:12.
    pub address: u64,
    /// Whether this is the CPU that the machine started with.
    pub bsp: bool,
    /// EN and EXTD.
    pub state: State,
}

/// A value of the register that the CPU cannot have or take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseError {
    /// EXTD is set without EN (SDM vol. 3A, table 12-5).
    Invalid,
    /// Reserved bits are set: 7:0, 9 or above 51; one bit each.
    Reserved(u64),
    /// The address is not that of a page below 2^52.
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

    /// Takes the value apart.
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

    /// The register's value.
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

    /// The same with another state.
    #[must_use]
    pub const fn with_state(self, state: State) -> Self {
        Self { state, ..self }
    }
}

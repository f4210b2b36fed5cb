//! Which form of the local APIC to use.
//!
//! All CPUs are in the same form (SDM vol. 3A, 12.12.8.2), so this is decided
//! once, before the first AP starts.

use super::ApicId;
use core::fmt;

/// The form of the local APIC that the kernel uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The memory-mapped form. CPUs with an ID of 255 or above cannot be reached.
    XApic,
    /// The MSR form.
    X2Apic,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::XApic => "xapic",
            Self::X2Apic => "x2apic",
        })
    }
}

/// The value of the option `apic=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModeOption {
    /// x2APIC where the CPU has it, else xAPIC.
    #[default]
    Auto,
    /// The memory-mapped form.
    XApic,
    /// The MSR form.
    X2Apic,
}

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are independent facts about the machine"
)]
pub struct Situation {
    /// The command line's `apic=`.
    pub option: ModeOption,
    /// CPUID.01H:ECX\[21\]: the CPU has the x2APIC.
    pub has_x2apic: bool,
    /// The ID of the CPU that the machine started with.
    pub bsp: ApicId,
    /// The highest ID among the CPUs that are to be used.
    pub highest: ApicId,
    /// The BSP was in x2APIC mode when the kernel got it.
    pub firmware_x2apic: bool,
    /// `IA32_XAPIC_DISABLE_STATUS` (MSR 0BDh) bit 0: x2APIC mode cannot be left.
    /// The MSR exists where `IA32_ARCH_CAPABILITIES` (MSR 10Ah) bit 21 is set.
    pub locked: bool,
    /// The DMAR table's flags bit 1: firmware asks not to use the x2APIC.
    pub opt_out: bool,
}

/// The form, and why it was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The form to use.
    pub mode: Mode,
    /// Why.
    pub reason: Reason,
    /// CPUs with an ID of 255 or above exist, and this form cannot reach them:
    /// [`Topology::restrict_to`](crate::topology::Topology::restrict_to) leaves them out.
    pub leaves_out_cpus: bool,
}

/// Why a form was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The command line says so.
    Option,
    /// The command line says so, though firmware asks not to use the x2APIC.
    OptionAgainstOptOut,
    /// The CPU has no x2APIC.
    NoX2Apic,
    /// The CPU has the x2APIC, and nothing speaks against it.
    HasX2Apic,
    /// Firmware has set x2APIC mode already.
    FirmwareX2Apic,
    /// Firmware asks not to use the x2APIC.
    OptOut,
    /// Firmware asks not to use the x2APIC, but has CPUs that need it.
    IdsAgainstOptOut,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Option => "the command line says so",
            Self::OptionAgainstOptOut => {
                "the command line says so, though firmware asks not to use x2apic"
            }
            Self::NoX2Apic => "the CPU has no x2apic",
            Self::HasX2Apic => "the CPU has it",
            Self::FirmwareX2Apic => "firmware has set it already",
            Self::OptOut => "firmware asks not to use x2apic",
            Self::IdsAgainstOptOut => {
                "firmware asks not to use it, but there are APIC IDs above 254"
            }
        })
    }
}

/// Why the form that the command line asks for cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `apic=x2apic`, but the CPU has none.
    NoX2Apic,
    /// `apic=xapic`, but the CPU does not let x2APIC mode be left.
    Locked,
    /// xAPIC mode, but the BSP's own ID does not fit in it.
    BspId(ApicId),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoX2Apic => f.write_str("apic=x2apic: the CPU has no x2apic; use apic=auto"),
            Self::Locked => {
                f.write_str("apic=xapic: firmware has locked x2apic mode; use apic=auto")
            }
            Self::BspId(id) => write!(
                f,
                "xapic mode: the boot CPU's APIC ID {id} is above 254; use apic=auto"
            ),
        }
    }
}

impl core::error::Error for Refusal {}

/// Chooses the form.
///
/// # Errors
///
/// [`Refusal`]. [`Refusal::NoX2Apic`] and [`Refusal::Locked`] only where the
/// command line asks for a form; `auto` is then always possible.
pub fn choose_mode(situation: &Situation) -> Result<Choice, Refusal> {
    let s = situation;
    let large = s.highest > ApicId::XAPIC_MAX;
    let (mode, reason) = match s.option {
        ModeOption::X2Apic if !s.has_x2apic => return Err(Refusal::NoX2Apic),
        ModeOption::X2Apic if s.opt_out => (Mode::X2Apic, Reason::OptionAgainstOptOut),
        ModeOption::X2Apic => (Mode::X2Apic, Reason::Option),
        ModeOption::XApic if s.locked => return Err(Refusal::Locked),
        ModeOption::XApic => (Mode::XApic, Reason::Option),
        ModeOption::Auto if !s.has_x2apic => (Mode::XApic, Reason::NoX2Apic),
        ModeOption::Auto if s.firmware_x2apic || s.locked => (Mode::X2Apic, Reason::FirmwareX2Apic),
        ModeOption::Auto if !s.opt_out => (Mode::X2Apic, Reason::HasX2Apic),
        ModeOption::Auto if large => (Mode::X2Apic, Reason::IdsAgainstOptOut),
        ModeOption::Auto => (Mode::XApic, Reason::OptOut),
    };
    if mode == Mode::XApic && s.bsp > ApicId::XAPIC_MAX {
        return Err(Refusal::BspId(s.bsp));
    }
    Ok(Choice {
        mode,
        reason,
        leaves_out_cpus: mode == Mode::XApic && large,
    })
}

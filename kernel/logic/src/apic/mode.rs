//! Selection of the local APIC mode.
//!
//! All CPUs use the same mode (SDM vol. 3A, 12.12.8.2), so the kernel selects it once, before it
//! starts the first AP.

use super::ApicId;
use core::fmt;

/// The mode of the local APIC that the kernel uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// xAPIC mode, with memory-mapped registers. CPUs with an ID of 255 or above cannot be
    /// addressed.
    XApic,
    /// x2APIC mode, with MSRs.
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

/// The value of the `apic=` option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModeOption {
    /// x2APIC mode if the CPU supports it, otherwise xAPIC mode.
    #[default]
    Auto,
    /// xAPIC mode.
    XApic,
    /// x2APIC mode.
    X2Apic,
}

/// The facts on which the selection depends.
#[derive(Clone, Copy, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are independent facts about the machine"
)]
pub struct Situation {
    /// The `apic=` option of the command line.
    pub option: ModeOption,
    /// CPUID.01H:ECX\[21\]: the CPU supports x2APIC mode.
    pub has_x2apic: bool,
    /// The APIC ID of the bootstrap processor.
    pub bsp: ApicId,
    /// The highest APIC ID of the CPUs to be used.
    pub highest: ApicId,
    /// The BSP was in x2APIC mode when firmware passed control to the kernel.
    pub firmware_x2apic: bool,
    /// `IA32_XAPIC_DISABLE_STATUS` (MSR 0BDh) bit 0: software cannot leave x2APIC mode. The MSR
    /// exists if `IA32_ARCH_CAPABILITIES` (MSR 10Ah) bit 21 is set.
    pub locked: bool,
    /// Firmware requests that the OS not use x2APIC mode:
    /// [`Dmar::opts_out_of_x2apic`](crate::acpi::dmar::Dmar::opts_out_of_x2apic).
    pub opt_out: bool,
}

/// The selected mode and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The mode to use.
    pub mode: Mode,
    /// The reason.
    pub reason: Reason,
    /// There are CPUs with an ID of 255 or above, which this mode cannot address;
    /// [`Topology::restrict_to`](crate::topology::Topology::restrict_to) excludes them.
    pub leaves_out_cpus: bool,
}

/// The reason for the selection of a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The command line requests it.
    Option,
    /// The command line requests x2APIC mode, although firmware requests not to use it.
    OptionAgainstOptOut,
    /// The CPU does not support x2APIC mode.
    NoX2Apic,
    /// The CPU supports x2APIC mode, and there is no objection.
    HasX2Apic,
    /// Firmware has enabled x2APIC mode already, or the CPU cannot leave it.
    FirmwareX2Apic,
    /// Firmware requests not to use x2APIC mode.
    OptOut,
    /// Firmware requests not to use x2APIC mode, but there are CPUs that require it.
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

/// The reason why the requested mode cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `apic=x2apic`, but the CPU does not support it.
    NoX2Apic,
    /// `apic=xapic`, but the CPU cannot leave x2APIC mode.
    Locked,
    /// xAPIC mode, but the APIC ID of the BSP does not fit.
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

/// Selects the mode.
///
/// # Errors
///
/// [`Refusal`]. [`Refusal::NoX2Apic`] and [`Refusal::Locked`] occur only if the command line
/// requests a mode; `auto` is then always possible.
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

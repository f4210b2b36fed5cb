//! The fixed ACPI description table (ACPI, 5.2.9): the fields that the kernel uses.
//!
//! The size of the table depends on the version: 116 bytes in ACPI 1.0, 244 in 2.0 to 4.0, 268 in
//! 5.0, 276 since 6.0; some firmware uses other sizes. A field beyond the end of the table reads as
//! zero. The length decides which fields exist, not the revision, except for the boot architecture
//! flags, which were reserved before revision 2.

use super::sdt::{self, Header};
use super::{AddressSpace, Error, ErrorKind, GenericAddress, Signature, u16_at, u32_at};
use core::fmt;

/// The size of the ACPI 1.0 table, in bytes.
const SIZE_V1: usize = 116;

/// The highest port at which a 32-bit register can start.
const LAST_PORT: u64 = 0xfffc;

/// Offsets of the fields that the kernel uses.
mod offset {
    pub const SCI_INT: usize = 46;
    pub const PM_TMR_BLK: usize = 76;
    pub const PM_TMR_LEN: usize = 91;
    pub const CENTURY: usize = 108;
    pub const IAPC_BOOT_ARCH: usize = 109;
    pub const FLAGS: usize = 112;
    pub const RESET_REG: usize = 116;
    pub const RESET_VALUE: usize = 128;
    pub const X_PM_TMR_BLK: usize = 208;
}

/// The fields of a FADT that the kernel uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fadt {
    /// The table header.
    pub header: Header,
    /// `SCI_INT`: the system control interrupt, which signals ACPI events. An ISA interrupt on
    /// machines with 8259s, otherwise a GSI.
    pub sci_interrupt: u16,
    /// The PM timer, if the machine has one.
    pub pm_timer: Option<PmTimer>,
    /// The boot architecture flags, which list the legacy PC devices that are present. `None` for
    /// tables before revision 2: machines of that age have all of these devices.
    pub boot_architecture: Option<BootArchitecture>,
    /// The fixed feature flags.
    pub flags: Flags,
    /// The reset register, if [`Flags::RESET_SUPPORTED`] is set.
    pub reset: Option<Reset>,
    /// The index of the century in the RTC's CMOS RAM; 0 if there is none.
    pub century: u8,
}

/// The ACPI PM timer, which counts up at 3.579545 MHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PmTimer {
    /// The 32-bit register, in I/O or memory space.
    pub register: GenericAddress,
    /// Whether the counter is 32 bits wide; otherwise 24.
    pub wide: bool,
}

/// The reset register and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// The 8-bit register.
    pub register: GenericAddress,
    /// The value that resets the machine.
    pub value: u8,
}

/// The boot architecture flags, `IAPC_BOOT_ARCH` (ACPI, table 5.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootArchitecture(pub u16);

impl BootArchitecture {
    /// Bit 0: there are devices on an LPC or ISA bus.
    #[must_use]
    pub const fn has_legacy_devices(self) -> bool {
        self.0 & 1 != 0
    }

    /// Bit 2, inverted: the kernel may probe for VGA.
    #[must_use]
    pub const fn may_probe_vga(self) -> bool {
        self.0 & 1 << 2 == 0
    }

    /// Bit 3, inverted: message-signalled interrupts are supported.
    #[must_use]
    pub const fn msi_supported(self) -> bool {
        self.0 & 1 << 3 == 0
    }

    /// Bit 5, inverted: there is a CMOS RTC.
    #[must_use]
    pub const fn has_cmos_rtc(self) -> bool {
        self.0 & 1 << 5 == 0
    }
}

/// The fixed feature flags (ACPI, table 5.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// `TMR_VAL_EXT`: the PM timer is 32 bits wide.
    pub const TIMER_32_BIT: u32 = 1 << 8;
    /// `RESET_REG_SUP`: the reset register is supported.
    pub const RESET_SUPPORTED: u32 = 1 << 10;
    /// `HW_REDUCED_ACPI`: there is no PM timer, nor any other fixed hardware.
    pub const HARDWARE_REDUCED: u32 = 1 << 20;

    /// Whether `flag` is set.
    #[must_use]
    pub const fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}

/// Reads a FADT. The second value of the result is an error in the PM timer's fields:
/// [`ErrorKind::TimerLength`], [`ErrorKind::Space`], [`ErrorKind::Address`] or
/// [`ErrorKind::NoAddress`]. The other fields are valid nevertheless, and [`Fadt::pm_timer`] is
/// then `None`.
///
/// # Errors
///
/// The errors of [`sdt::check`], [`ErrorKind::Signature`], and [`ErrorKind::Length`] below 116
/// bytes.
pub fn parse(bytes: &[u8]) -> Result<(Fadt, Option<Error>), Error> {
    let (header, table) = sdt::expect(bytes, Signature::FADT, SIZE_V1)?;
    let flags = Flags(u32_at(table, offset::FLAGS).unwrap_or_default());
    let (pm_timer, problem) = match pm_timer(table, flags) {
        Ok(timer) => (timer, None),
        Err(error) => (None, Some(error)),
    };
    let fadt = Fadt {
        header,
        sci_interrupt: u16_at(table, offset::SCI_INT).unwrap_or_default(),
        pm_timer,
        boot_architecture: (header.revision >= 2)
            .then(|| u16_at(table, offset::IAPC_BOOT_ARCH).map(BootArchitecture))
            .flatten(),
        flags,
        reset: reset(table, flags),
        century: table[offset::CENTURY],
    };
    Ok((fadt, problem))
}

/// The PM timer at its extended address, or at its port if the extended address is 0 or missing.
fn pm_timer(table: &[u8], flags: Flags) -> Result<Option<PmTimer>, Error> {
    let error = |offset, kind| Err(Error::new(Signature::FADT, offset, kind));
    if flags.has(Flags::HARDWARE_REDUCED) {
        return Ok(None);
    }
    match table[offset::PM_TMR_LEN] {
        0 => return Ok(None),
        4 => {}
        length => return error(offset::PM_TMR_LEN, ErrorKind::TimerLength(length)),
    }
    let wide = flags.has(Flags::TIMER_32_BIT);
    let extended = GenericAddress::read(table, offset::X_PM_TMR_BLK);
    if let Some(register) = extended.filter(|register| register.address != 0) {
        return match register.space {
            AddressSpace::Io if register.address > LAST_PORT => error(
                offset::X_PM_TMR_BLK + 4,
                ErrorKind::Address(register.address),
            ),
            AddressSpace::Memory | AddressSpace::Io => Ok(Some(PmTimer { register, wide })),
            space => error(offset::X_PM_TMR_BLK, ErrorKind::Space(space.number())),
        };
    }
    match u32_at(table, offset::PM_TMR_BLK) {
        None | Some(0) => error(offset::PM_TMR_BLK, ErrorKind::NoAddress),
        Some(port) if u64::from(port) > LAST_PORT => {
            error(offset::PM_TMR_BLK, ErrorKind::Address(port.into()))
        }
        Some(port) => Ok(Some(PmTimer {
            register: GenericAddress {
                space: AddressSpace::Io,
                bit_width: 32,
                bit_offset: 0,
                access_size: 3,
                address: port.into(),
            },
            wide,
        })),
    }
}

fn reset(table: &[u8], flags: Flags) -> Option<Reset> {
    if !flags.has(Flags::RESET_SUPPORTED) {
        return None;
    }
    let register = GenericAddress::read(table, offset::RESET_REG)?;
    let value = *table.get(offset::RESET_VALUE)?;
    let usable = match register.space {
        // In configuration space, address 0 is valid: bus 0, device 0, function 0, register 0.
        AddressSpace::PciConfiguration => true,
        AddressSpace::Memory | AddressSpace::Io => register.address != 0,
        AddressSpace::Other(_) => false,
    };
    usable.then_some(Reset { register, value })
}

impl fmt::Display for PmTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.wide { 32 } else { 24 };
        write!(f, "{}, {bits} bits", self.register)
    }
}

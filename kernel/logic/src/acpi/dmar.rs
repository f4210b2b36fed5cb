//! The flags of the DMA remapping table (VT-d specification 4.1, 8.1).

use super::sdt::{self, Header};
use super::{Error, Signature};

/// The size of the part before the first remapping structure, in bytes.
const FIXED_SIZE: usize = 48;

/// A DMAR table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dmar {
    /// The table header.
    pub header: Header,
    /// The flags.
    pub flags: u8,
}

impl Dmar {
    /// `INTR_REMAP`, bit 0: the platform supports interrupt remapping.
    pub const INTERRUPT_REMAPPING: u8 = 1 << 0;
    /// `X2APIC_OPT_OUT`, bit 1.
    pub const X2APIC_OPT_OUT: u8 = 1 << 1;

    /// Whether firmware asks the OS not to use x2APIC mode. Without interrupt remapping the bit has
    /// no meaning, but some firmware sets it.
    #[must_use]
    pub const fn opts_out_of_x2apic(&self) -> bool {
        let both = Self::INTERRUPT_REMAPPING | Self::X2APIC_OPT_OUT;
        self.flags & both == both
    }
}

/// Reads a DMAR table.
///
/// # Errors
///
/// The errors of [`sdt::check`], [`ErrorKind::Signature`](super::ErrorKind::Signature), and
/// [`ErrorKind::Length`](super::ErrorKind::Length) below 48 bytes.
pub fn parse(bytes: &[u8]) -> Result<Dmar, Error> {
    let (header, table) = sdt::expect(bytes, Signature::DMAR, FIXED_SIZE)?;
    Ok(Dmar {
        header,
        flags: table[37],
    })
}

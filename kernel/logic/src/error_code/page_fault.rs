//! The error code of #PF (SDM vol. 3A, 5.7; bit 31: APM vol. 2, 8.4.2).

use super::reserved_bits;
use core::fmt;

/// The access that caused a page fault, and the reason.
///
/// `Display`: `0x0003: protection violation, write, supervisor, data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFaultErrorCode(pub u32);

/// The bits that report an additional cause, and their meaning.
const CAUSES: [(u8, &str); 6] = [
    (3, "reserved bit set in a paging entry"),
    (5, "protection key"),
    (6, "shadow-stack access"),
    (7, "HLAT paging"),
    (15, "SGX access control"),
    (31, "RMP check"),
];

impl PageFaultErrorCode {
    const fn bit(self, bit: u8) -> bool {
        self.0 >> bit & 1 != 0
    }

    /// P, bit 0: the page is present, and the access violates its protection. Clear: a
    /// paging-structure entry used for the translation is not present.
    #[must_use]
    pub const fn present(self) -> bool {
        self.bit(0)
    }

    /// W/R, bit 1: a write. Clear: a read or an instruction fetch.
    #[must_use]
    pub const fn write(self) -> bool {
        self.bit(1)
    }

    /// U/S, bit 2: a user-mode access. Clear: a supervisor-mode access.
    #[must_use]
    pub const fn user(self) -> bool {
        self.bit(2)
    }

    /// RSVD, bit 3: a reserved bit is set in a paging-structure entry used for the translation.
    #[must_use]
    pub const fn reserved_bit(self) -> bool {
        self.bit(3)
    }

    /// I/D, bit 4: an instruction fetch (reported only if NX or SMEP is enabled).
    #[must_use]
    pub const fn fetch(self) -> bool {
        self.bit(4)
    }

    /// PK, bit 5: a protection-key violation.
    #[must_use]
    pub const fn protection_key(self) -> bool {
        self.bit(5)
    }

    /// SS, bit 6: a shadow-stack access.
    #[must_use]
    pub const fn shadow_stack(self) -> bool {
        self.bit(6)
    }

    /// HLAT, bit 7: the fault occurred during HLAT paging (hypervisor-managed linear-address
    /// translation).
    #[must_use]
    pub const fn hlat(self) -> bool {
        self.bit(7)
    }

    /// SGX, bit 15: a violation of SGX access control, not of paging.
    #[must_use]
    pub const fn sgx(self) -> bool {
        self.bit(15)
    }

    /// RMP, bit 31: a violation of AMD's reverse map table.
    #[must_use]
    pub const fn rmp(self) -> bool {
        self.bit(31)
    }

    /// The bits that are reserved.
    #[must_use]
    pub const fn reserved(self) -> u32 {
        self.0 & 0x7fff_7f00
    }
}

impl fmt::Display for PageFaultErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let choose = |bit: bool, set, clear| if bit { set } else { clear };
        write!(
            f,
            "{:#06x}: {}, {}, {}, {}",
            self.0,
            choose(self.present(), "protection violation", "page not present"),
            choose(self.write(), "write", "read"),
            choose(self.user(), "user", "supervisor"),
            choose(self.fetch(), "instruction fetch", "data"),
        )?;
        for (bit, cause) in CAUSES {
            if self.bit(bit) {
                write!(f, ", {cause}")?;
            }
        }
        reserved_bits(u64::from(self.reserved()), f)
    }
}

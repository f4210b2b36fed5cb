//! The error code of #PF (SDM vol. 3A, 5.7; bit 31: APM vol. 2, 8.4.2).

use super::reserved_bits;
use core::fmt;

/// What the access was that paging refused, and why.
///
/// `Display`: `0x0003: protection violation, write, supervisor, data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFaultErrorCode(pub u32);

/// The bits that add a cause, with what they mean.
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

    /// P, bit 0: the page is present, and the access violates its protection.
    /// Clear: some entry on the way to the page is not present.
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

    /// RSVD, bit 3: a reserved bit is set in an entry on the way to the page.
    #[must_use]
    pub const fn reserved_bit(self) -> bool {
        self.bit(3)
    }

    /// I/D, bit 4: an instruction fetch (reported only where NX or SMEP is on).
    #[must_use]
    pub const fn fetch(self) -> bool {
        self.bit(4)
    }

    /// PK, bit 5: refused by a protection key.
    #[must_use]
    pub const fn protection_key(self) -> bool {
        self.bit(5)
    }

    /// SS, bit 6: a shadow-stack access.
    #[must_use]
    pub const fn shadow_stack(self) -> bool {
        self.bit(6)
    }

    /// HLAT, bit 7: met during the walk of hypervisor-managed paging structures.
    #[must_use]
    pub const fn hlat(self) -> bool {
        self.bit(7)
    }

    /// SGX, bit 15: refused by SGX, not by paging.
    #[must_use]
    pub const fn sgx(self) -> bool {
        self.bit(15)
    }

    /// RMP, bit 31: refused by AMD's reverse map table.
    #[must_use]
    pub const fn rmp(self) -> bool {
        self.bit(31)
    }

    /// The bits that have no meaning yet.
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

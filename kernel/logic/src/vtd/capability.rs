//! The capability registers (11.4.2 and 11.4.3).

use core::fmt;

/// The number of levels of second-stage page tables, and so the size of device addresses (3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Levels {
    /// 39 bits.
    Three = 3,
    /// 48 bits.
    Four = 4,
    /// 57 bits.
    Five = 5,
}

impl Levels {
    /// All, in the order of preference: four levels reach all memory of today's machines, three
    /// make shorter walks, five longer ones.
    pub const PREFERRED: [Self; 3] = [Self::Four, Self::Three, Self::Five];

    /// The number of levels.
    #[must_use]
    pub const fn count(self) -> u8 {
        self as u8
    }

    /// The number of address bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        12 + 9 * self.count()
    }

    /// The address width field of a context entry, AW (9.3); also the bit in SAGAW.
    #[must_use]
    pub const fn field(self) -> u8 {
        self.count() - 2
    }

    /// The levels with this address width field.
    #[must_use]
    pub const fn from_field(field: u8) -> Option<Self> {
        match field {
            1 => Some(Self::Three),
            2 => Some(Self::Four),
            3 => Some(Self::Five),
            _ => None,
        }
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} levels, {} bits", self.count(), self.bits())
    }
}

/// The capability register, `CAP_REG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability(pub u64);

impl Capability {
    const fn bit(self, bit: u32) -> bool {
        self.0 >> bit & 1 != 0
    }

    const fn field(self, low: u32, width: u32) -> u64 {
        self.0 >> low & ((1 << width) - 1)
    }

    /// ND: the number of domain IDs, 16 to 65536. The field's value 7 is reserved, and is read as
    /// 6.
    #[must_use]
    pub const fn domains(self) -> u32 {
        let field = self.field(0, 3);
        1 << (4 + 2 * if field > 6 { 6 } else { field })
    }

    /// RWBF: changes of tables need a flush of the write buffer (6.8).
    #[must_use]
    pub const fn needs_write_flush(self) -> bool {
        self.bit(4)
    }

    /// CM: the unit may cache entries that are not present, so that they must be invalidated when
    /// they become present (6.1).
    #[must_use]
    pub const fn caching_mode(self) -> bool {
        self.bit(7)
    }

    /// SAGAW: whether second-stage page tables may have this number of levels.
    #[must_use]
    pub const fn supports(self, levels: Levels) -> bool {
        self.bit(8 + levels.field() as u32)
    }

    /// The number of levels to use; `None` if the unit supports none.
    #[must_use]
    pub fn levels(self) -> Option<Levels> {
        Levels::PREFERRED.into_iter().find(|&it| self.supports(it))
    }

    /// MGAW: the number of bits of device addresses. Higher addresses are blocked.
    #[must_use]
    pub const fn address_bits(self) -> u8 {
        self.field(16, 6) as u8 + 1
    }

    /// FRO and NFR: the offset of the fault records in bytes, and their number.
    #[must_use]
    pub const fn fault_records(self) -> (u64, u16) {
        (self.field(24, 10) * 16, self.field(40, 8) as u16 + 1)
    }

    /// SSLPS, bit 34: second-stage page tables may map pages of 2 MiB.
    #[must_use]
    pub const fn maps_2m(self) -> bool {
        self.bit(34)
    }

    /// SSLPS, bit 35: second-stage page tables may map pages of 1 GiB.
    #[must_use]
    pub const fn maps_1g(self) -> bool {
        self.bit(35)
    }

    /// PSI and MAMV: the greatest logarithm of the number of pages that one command can invalidate;
    /// `None` if only whole domains can be invalidated.
    #[must_use]
    pub const fn page_mask(self) -> Option<u8> {
        if self.bit(39) {
            Some(self.field(48, 6) as u8)
        } else {
            None
        }
    }

    /// ESIRTPS: setting the address of the interrupt table invalidates the interrupt entry cache.
    #[must_use]
    pub const fn interrupt_pointer_invalidates(self) -> bool {
        self.bit(62)
    }
}

/// The extended capability register, `ECAP_REG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended(pub u64);

impl Extended {
    const fn bit(self, bit: u32) -> bool {
        self.0 >> bit & 1 != 0
    }

    /// C: accesses to tables snoop the caches of the CPUs.
    #[must_use]
    pub const fn coherent(self) -> bool {
        self.bit(0)
    }

    /// QI: queued invalidation.
    #[must_use]
    pub const fn queues(self) -> bool {
        self.bit(1)
    }

    /// DT: device-TLBs.
    #[must_use]
    pub const fn device_tlbs(self) -> bool {
        self.bit(2)
    }

    /// IR: interrupt remapping.
    #[must_use]
    pub const fn remaps_interrupts(self) -> bool {
        self.bit(3)
    }

    /// EIM: interrupt remapping with 32-bit APIC IDs.
    #[must_use]
    pub const fn extended_interrupts(self) -> bool {
        self.bit(4)
    }

    /// PT: pass-through in context entries.
    #[must_use]
    pub const fn pass_through(self) -> bool {
        self.bit(6)
    }

    /// MHMV: the greatest logarithm of the number of interrupt entries that one command can
    /// invalidate.
    #[must_use]
    pub const fn interrupt_mask(self) -> u8 {
        (self.0 >> 20 & 0xf) as u8
    }

    /// SMTS: scalable mode.
    #[must_use]
    pub const fn scalable(self) -> bool {
        self.bit(43)
    }
}

/// The names of what a unit supports, in the order of the `iommu` command.
#[must_use]
pub const fn features(capability: Capability, extended: Extended) -> [(&'static str, bool); 11] {
    [
        ("queued invalidation", extended.queues()),
        ("interrupt remapping", extended.remaps_interrupts()),
        ("32-bit APIC IDs", extended.extended_interrupts()),
        ("coherent tables", extended.coherent()),
        ("caching mode", capability.caching_mode()),
        ("write-buffer flush", capability.needs_write_flush()),
        ("2 MiB pages", capability.maps_2m()),
        ("1 GiB pages", capability.maps_1g()),
        ("pass-through", extended.pass_through()),
        ("device-TLBs", extended.device_tlbs()),
        ("scalable mode", extended.scalable()),
    ]
}

//! The commands of the invalidation queue (6.5.2).

use super::{DomainId, PAGE, SourceId};

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Invalidates all cached context entries.
    AllContexts,
    /// Invalidates the cached context entry of a source, which is tagged with the domain.
    Context(SourceId, DomainId),
    /// Invalidates all cached translations.
    AllDomains,
    /// Invalidates the cached translations of a domain.
    Domain(DomainId),
    /// Invalidates the cached translations of the `1 << mask` pages at `address`, a multiple of
    /// their size.
    Pages {
        /// The domain.
        domain: DomainId,
        /// The device address of the first page.
        address: u64,
        /// The logarithm of the number of pages.
        mask: u8,
        /// IH: only entries of the last level have changed.
        leaf_only: bool,
    },
    /// Invalidates the translations in the device-TLB of a function: of the `1 << mask` pages at
    /// `address`.
    DeviceTlb {
        /// The function.
        source: SourceId,
        /// The device address of the first page.
        address: u64,
        /// The logarithm of the number of pages; 52 for all.
        mask: u8,
        /// The number of invalidations that the function accepts at once, minus 1.
        depth: u8,
    },
    /// Invalidates all cached interrupt entries.
    AllInterrupts,
    /// Invalidates the `1 << mask` cached interrupt entries at `index`.
    Interrupts {
        /// The index of the first entry.
        index: u16,
        /// The logarithm of the number of entries.
        mask: u8,
    },
    /// Writes `value` to memory when all earlier commands have been completed.
    Wait {
        /// Physical address of the 32-bit word.
        address: u64,
        /// The value.
        value: u32,
    },
}

/// The granularity of a context or IOTLB invalidation.
const GLOBAL: u64 = 1 << 4;
const DOMAIN: u64 = 2 << 4;
const SELECTIVE: u64 = 3 << 4;
/// DR and DW: wait for reads and writes in progress. Units without draining ignore them.
const DRAIN: u64 = 3 << 6;

impl Command {
    /// The two words of the command.
    #[must_use]
    pub const fn encode(self) -> [u64; 2] {
        match self {
            Self::AllContexts => [1 | GLOBAL, 0],
            Self::Context(source, domain) => [
                1 | SELECTIVE | (domain.0 as u64) << 16 | (source.0 as u64) << 32,
                0,
            ],
            Self::AllDomains => [2 | GLOBAL | DRAIN, 0],
            Self::Domain(domain) => [2 | DOMAIN | DRAIN | (domain.0 as u64) << 16, 0],
            Self::Pages {
                domain,
                address,
                mask,
                leaf_only,
            } => [
                2 | SELECTIVE | DRAIN | (domain.0 as u64) << 16,
                address & !(PAGE - 1) | (leaf_only as u64) << 6 | mask as u64 & 0x3f,
            ],
            Self::DeviceTlb {
                source,
                address,
                mask,
                depth,
            } => [
                3 | (depth as u64 & 0x1f) << 16 | (source.0 as u64) << 32,
                device_range(address, mask),
            ],
            Self::AllInterrupts => [4, 0],
            Self::Interrupts { index, mask } => [
                4 | 1 << 4 | (mask as u64 & 0x1f) << 27 | (index as u64) << 32,
                0,
            ],
            Self::Wait { address, value } => [5 | 1 << 5 | (value as u64) << 32, address & !3],
        }
    }

    /// Reads a command; `None` if a unit rejects it, or if the kernel does not use it.
    #[must_use]
    pub fn decode([low, high]: [u64; 2]) -> Option<Self> {
        let domain = DomainId((low >> 16) as u16);
        let source = SourceId((low >> 32) as u16);
        let command = match (low & 0xf, low & SELECTIVE) {
            (1, GLOBAL) => Self::AllContexts,
            (1, SELECTIVE) => Self::Context(source, domain),
            (2, GLOBAL) => Self::AllDomains,
            (2, DOMAIN) => Self::Domain(domain),
            (2, SELECTIVE) => Self::Pages {
                domain,
                address: high & !(PAGE - 1),
                mask: high as u8 & 0x3f,
                leaf_only: high & 1 << 6 != 0,
            },
            (3, _) => Self::device_tlb(source, low, high),
            (4, 0) => Self::AllInterrupts,
            (4, GLOBAL) => Self::Interrupts {
                index: (low >> 32) as u16,
                mask: (low >> 27) as u8 & 0x1f,
            },
            (5, _) => Self::Wait {
                address: high & !3,
                value: (low >> 32) as u32,
            },
            _ => return None,
        };
        // Reserved bits are 0 in what is encoded again.
        (command.encode() == [low, high]).then_some(command)
    }

    fn device_tlb(source: SourceId, low: u64, high: u64) -> Self {
        let (address, mask) = if high & 1 == 0 {
            (high & !(PAGE - 1), 0)
        } else {
            // The lowest 0 from bit 12 on gives the size.
            let mask = (high >> 12).trailing_ones() as u8 + 1;
            (high & !(PAGE - 1) & !size_bits(mask), mask)
        };
        Self::DeviceTlb {
            source,
            address,
            mask,
            depth: (low >> 16) as u8 & 0x1f,
        }
    }

    /// The pages of an aligned block that contains all of `pages` pages at `address`: the address
    /// of the block and the logarithm of its size. `None` if it exceeds `1 << most` pages.
    #[must_use]
    pub fn block(address: u64, pages: u64, most: u8) -> Option<(u64, u8)> {
        let first = address / PAGE;
        let last = first.checked_add(pages.checked_sub(1)?)?;
        let mask = (u64::BITS - (first ^ last).leading_zeros()) as u8;
        (mask <= most).then(|| (first >> mask << mask << 12, mask))
    }
}

/// The address word of a device-TLB invalidation: bits below the size are 1, the highest of them is
/// 0, and S is set (6.5.2.5).
const fn device_range(address: u64, mask: u8) -> u64 {
    let base = address & !(PAGE - 1);
    match mask {
        0 => base,
        52.. => 0x7fff_ffff_ffff_f001,
        _ => base & !size_bits(mask) | size_bits(mask) >> 1 & !(PAGE - 1) | 1,
    }
}

/// The address bits within a block of `1 << mask` pages, from bit 12 on.
const fn size_bits(mask: u8) -> u64 {
    if mask >= 52 {
        !(PAGE - 1)
    } else {
        ((1 << mask) - 1) << 12
    }
}

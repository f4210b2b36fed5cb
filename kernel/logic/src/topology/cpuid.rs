//! Which socket, core and thread an APIC ID is.
//!
//! An APIC ID is a number of bits for each level, threads lowest, and CPUID says
//! how many bits each has. The answer is the same on all CPUs of a machine, so
//! that the boot CPU's tells the place of every other before it runs.
//!
//! | source | where |
//! |---|---|
//! | leaf 1Fh, then 0Bh | SDM vol. 3A, 10.9.1; AMD has 0Bh since Zen 2 |
//! | leaves `8000_0008h` and `8000_001Eh` | older AMD (APM vol. 3, E.4.7 and E.4.15) |
//! | leaves 1 and 4 | older Intel (SDM vol. 3A, 10.9.2) |

use crate::apic::ApicId;
use crate::registers::Cpuid;
use core::fmt;

/// Where a CPU sits. The numbers are bits of the APIC ID: unique, but they need not
/// be without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The socket.
    pub socket: u32,
    /// The core in the socket. Levels between core and socket (module, tile, die)
    /// are part of its number.
    pub core: u32,
    /// The thread in the core.
    pub thread: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.socket, self.core, self.thread)
    }
}

/// How an APIC ID is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdLayout {
    /// The bits of the thread, the lowest; 0 to 31.
    pub thread_bits: u8,
    /// The bits of thread and core together; [`IdLayout::thread_bits`] to 31. The
    /// rest is the socket.
    pub socket_shift: u8,
    /// Where it is from.
    pub source: Source,
}

/// What a layout is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Leaf 1Fh.
    Leaf1F,
    /// Leaf 0Bh.
    Leaf0B,
    /// Leaves `8000_0008h` and `8000_001Eh`.
    AmdLeaves,
    /// Leaves 1 and 4.
    LegacyLeaves,
    /// Nothing says it: each ID is taken as a socket of its own.
    Nothing,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Leaf1F => "CPUID 1Fh",
            Self::Leaf0B => "CPUID 0Bh",
            Self::AmdLeaves => "CPUID 80000008h",
            Self::LegacyLeaves => "CPUID 1 and 4",
            Self::Nothing => "nothing",
        })
    }
}

impl IdLayout {
    /// Asks CPUID, given as a function of leaf and subleaf.
    #[must_use]
    pub fn detect(mut cpuid: impl FnMut(u32, u32) -> Cpuid) -> Self {
        let (highest, b, c, d) = cpuid(0, 0);
        let amd = matches!((b, d, c), (AUTH, ENTI, CAMD) | (HYGO, NGEN, UINE));
        for (leaf, source) in [(0x1f, Source::Leaf1F), (0x0b, Source::Leaf0B)] {
            if highest >= leaf
                && let Some((thread_bits, socket_shift)) = extended(leaf, &mut cpuid)
            {
                return Self::new(thread_bits, socket_shift, source);
            }
        }
        if amd {
            return amd_leaves(&mut cpuid);
        }
        legacy_leaves(highest, &mut cpuid)
    }

    fn new(thread_bits: u8, socket_shift: u8, source: Source) -> Self {
        Self {
            thread_bits: thread_bits.min(socket_shift),
            socket_shift,
            source,
        }
    }

    /// Where the CPU with this APIC ID sits.
    #[must_use]
    pub const fn place(self, id: ApicId) -> Place {
        let below_socket = id.0 & !(u32::MAX << self.socket_shift);
        Place {
            socket: id.0 >> self.socket_shift,
            core: below_socket >> self.thread_bits,
            thread: id.0 & !(u32::MAX << self.thread_bits),
        }
    }
}

// The vendor's name in EBX, EDX and ECX: "AuthenticAMD" and "HygonGenuine".
const AUTH: u32 = u32::from_le_bytes(*b"Auth");
const ENTI: u32 = u32::from_le_bytes(*b"enti");
const CAMD: u32 = u32::from_le_bytes(*b"cAMD");
const HYGO: u32 = u32::from_le_bytes(*b"Hygo");
const NGEN: u32 = u32::from_le_bytes(*b"nGen");
const UINE: u32 = u32::from_le_bytes(*b"uine");

/// Leaves 0Bh and 1Fh: the bits of the thread, and those below the socket.
///
/// Each subleaf has the type of its level in ECX\[15:8\] (0 ends the list, 1 is the
/// thread), the CPUs in EBX\[15:0\], and in EAX\[4:0\] the bits up to and with it.
fn extended(leaf: u32, cpuid: &mut impl FnMut(u32, u32) -> Cpuid) -> Option<(u8, u8)> {
    const THREAD: u32 = 1;
    // The specification has six levels; whatever answers more is not believed.
    const MAX_LEVELS: u32 = 8;
    let mut thread_bits = 0;
    let mut socket_shift = None;
    for subleaf in 0..MAX_LEVELS {
        let (eax, ebx, ecx, _) = cpuid(leaf, subleaf);
        let level = ecx >> 8 & 0xff;
        // A CPU that has the leaf's number but not the leaf gives zeros.
        if level == 0 || (subleaf == 0 && ebx as u16 == 0) {
            break;
        }
        let bits = (eax & 0x1f) as u8;
        if level == THREAD {
            thread_bits = bits;
        }
        socket_shift = socket_shift.max(Some(bits));
    }
    Some((thread_bits, socket_shift?))
}

fn amd_leaves(cpuid: &mut impl FnMut(u32, u32) -> Cpuid) -> IdLayout {
    const TOPOLOGY_EXTENSIONS: u32 = 1 << 22;
    let (highest, ..) = cpuid(0x8000_0000, 0);
    if highest < 0x8000_0008 {
        return IdLayout::new(0, 0, Source::Nothing);
    }
    let (_, _, sizes, _) = cpuid(0x8000_0008, 0);
    // ApicIdSize, or the count of threads where that is 0.
    let socket_shift = match (sizes >> 12 & 0xf) as u8 {
        0 => bits_for((sizes & 0xff) + 1),
        bits => bits,
    };
    let (_, _, features, _) = cpuid(0x8000_0001, 0);
    let thread_bits = if highest >= 0x8000_001e && features & TOPOLOGY_EXTENSIONS != 0 {
        let (_, threads, ..) = cpuid(0x8000_001e, 0);
        bits_for((threads >> 8 & 0xff) + 1)
    } else {
        0
    };
    IdLayout::new(thread_bits, socket_shift, Source::AmdLeaves)
}

fn legacy_leaves(highest: u32, cpuid: &mut impl FnMut(u32, u32) -> Cpuid) -> IdLayout {
    const HTT: u32 = 1 << 28;
    if highest < 1 {
        return IdLayout::new(0, 0, Source::Nothing);
    }
    let (_, ebx, _, edx) = cpuid(1, 0);
    // Without HTT the field does not count, and the socket has one CPU.
    let threads = if edx & HTT == 0 { 1 } else { ebx >> 16 & 0xff };
    let socket_shift = bits_for(threads);
    let cores = if highest < 4 {
        1
    } else {
        let (caches, ..) = cpuid(4, 0);
        // No cache, no leaf.
        if caches % 32 == 0 {
            1
        } else {
            (caches >> 26) + 1
        }
    };
    let thread_bits = socket_shift.saturating_sub(bits_for(cores));
    IdLayout::new(thread_bits, socket_shift, Source::LegacyLeaves)
}

/// The bits that numbers from 0 to below `count` need.
fn bits_for(count: u32) -> u8 {
    count.max(1).next_power_of_two().trailing_zeros() as u8
}

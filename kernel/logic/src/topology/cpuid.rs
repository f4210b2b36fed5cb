//! CPU topology: the socket, core and thread of an APIC ID.
//!
//! An APIC ID has a bit field for each level, threads lowest, and CPUID reports the width of each.
//! The result is the same on all CPUs of a machine, so the CPUID of the boot CPU gives the location
//! of every other CPU before it runs.
//!
//! | source | where |
//! |---|---|
//! | leaf 1Fh, then 0Bh | SDM vol. 3A, 10.9.1; AMD has 0Bh since Zen 2 |
//! | leaves `8000_0008h` and `8000_001Eh` | older AMD (APM vol. 3, E.4.7 and E.4.15) |
//! | leaves 1 and 4 | older Intel (SDM vol. 3A, 10.9.2) |

use crate::apic::ApicId;
use crate::registers::Cpuid;
use core::fmt;

/// The location of a CPU. The numbers are fields of the APIC ID: unique, but not necessarily
/// without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The socket.
    pub socket: u32,
    /// The core in the socket. Levels between core and socket (module, tile, die) are included in
    /// its number.
    pub core: u32,
    /// The thread in the core.
    pub thread: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.socket, self.core, self.thread)
    }
}

/// The layout of an APIC ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdLayout {
    /// The width of the thread field, the lowest; 0 to 31.
    pub thread_bits: u8,
    /// The width of the thread and core fields together; [`IdLayout::thread_bits`] to 31. The
    /// remaining bits are the socket.
    pub socket_shift: u8,
    /// The source of the layout.
    pub source: Source,
}

/// The source of a layout.
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
    /// No source: each ID is taken as a separate socket.
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
    /// Reads the layout from CPUID, given as a function of leaf and subleaf.
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

    /// The location of the CPU with this APIC ID.
    #[must_use]
    pub const fn location(self, id: ApicId) -> Location {
        let below_socket = id.0 & !(u32::MAX << self.socket_shift);
        Location {
            socket: id.0 >> self.socket_shift,
            core: below_socket >> self.thread_bits,
            thread: id.0 & !(u32::MAX << self.thread_bits),
        }
    }
}

// The vendor string in EBX, EDX and ECX: "AuthenticAMD" and "HygonGenuine".
const AUTH: u32 = u32::from_le_bytes(*b"Auth");
const ENTI: u32 = u32::from_le_bytes(*b"enti");
const CAMD: u32 = u32::from_le_bytes(*b"cAMD");
const HYGO: u32 = u32::from_le_bytes(*b"Hygo");
const NGEN: u32 = u32::from_le_bytes(*b"nGen");
const UINE: u32 = u32::from_le_bytes(*b"uine");

/// Leaves 0Bh and 1Fh: the width of the thread field, and that of all fields below the socket.
///
/// Each subleaf has the type of its level in ECX\[15:8\] (0 ends the list, 1 is the thread), the
/// number of CPUs in EBX\[15:0\], and in EAX\[4:0\] the number of bits up to and including it.
fn extended(leaf: u32, cpuid: &mut impl FnMut(u32, u32) -> Cpuid) -> Option<(u8, u8)> {
    const THREAD: u32 = 1;
    // The specification defines six levels; a longer list is rejected.
    const MAX_LEVELS: u32 = 8;
    let mut thread_bits = 0;
    let mut socket_shift = None;
    for subleaf in 0..MAX_LEVELS {
        let (eax, ebx, ecx, _) = cpuid(leaf, subleaf);
        let level = ecx >> 8 & 0xff;
        // A CPU whose maximum leaf includes this one but that does not implement it returns zeros.
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
    // ApicIdSize, or the number of threads if that is 0.
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
    // Without HTT the field is not valid, and the socket has one CPU.
    let threads = if edx & HTT == 0 { 1 } else { ebx >> 16 & 0xff };
    let socket_shift = bits_for(threads);
    let cores = if highest < 4 {
        1
    } else {
        let (caches, ..) = cpuid(4, 0);
        // Without a cache, the leaf is not implemented.
        if caches % 32 == 0 {
            1
        } else {
            (caches >> 26) + 1
        }
    };
    let thread_bits = socket_shift.saturating_sub(bits_for(cores));
    IdLayout::new(thread_bits, socket_shift, Source::LegacyLeaves)
}

/// The number of bits for values from 0 to `count` - 1.
fn bits_for(count: u32) -> u8 {
    count.max(1).next_power_of_two().trailing_zeros() as u8
}

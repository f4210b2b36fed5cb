//! The layout of APIC IDs, on machines described by hand.

use crate::apic::ApicId;
use crate::registers::Cpuid;
use crate::topology::cpuid::{IdLayout, Location, Source};
use std::collections::BTreeSet;
use std::string::ToString;

const INTEL: Cpuid = (0, 0x756e_6547, 0x6c65_746e, 0x4965_6e69);
const AMD: Cpuid = (0, 0x6874_7541, 0x444d_4163, 0x6974_6e65);
const HYGON: Cpuid = (0, 0x6f67_7948, 0x656e_6975, 0x6e65_476e);

/// The layout of a machine, given its vendor, its highest basic and extended leaf, and the values
/// of (leaf, subleaf) pairs. Other leaves return 0, like unimplemented leaves within a CPU's range.
/// A leaf above the highest must not be read.
fn detect(vendor: Cpuid, highest: u32, extended: u32, leaves: &[(u32, u32, Cpuid)]) -> IdLayout {
    IdLayout::detect(|leaf, subleaf| match leaf {
        0 => (highest, vendor.1, vendor.2, vendor.3),
        0x8000_0000 => (extended, 0, 0, 0),
        _ => {
            assert!(leaf <= highest || leaf >= 0x8000_0000 && leaf <= extended);
            leaves
                .iter()
                .find(|known| (known.0, known.1) == (leaf, subleaf))
                .map_or((0, 0, 0, 0), |known| known.2)
        }
    })
}

fn layout(thread_bits: u8, socket_shift: u8, source: Source) -> IdLayout {
    IdLayout {
        thread_bits,
        socket_shift,
        source,
    }
}

fn location(socket: u32, core: u32, thread: u32) -> Location {
    Location {
        socket,
        core,
        thread,
    }
}

/// A level of leaf 0Bh or 1Fh: width, CPUs, number and type.
const fn level(bits: u32, cpus: u32, number: u32, kind: u32) -> Cpuid {
    (bits, cpus, kind << 8 | number, 0)
}

/// Two sockets, 10 cores with gaps in their numbers, two threads: 1 + 4 bits.
#[test]
fn intel_with_leaf_0b() {
    let machine = [
        (0x0b, 0, level(1, 2, 0, 1)),
        (0x0b, 1, level(5, 20, 1, 2)),
        (0x0b, 2, level(0, 0, 2, 0)),
    ];
    let found = detect(INTEL, 0x0d, 0x8000_0008, &machine);
    assert_eq!(found, layout(1, 5, Source::Leaf0B));
    assert_eq!(found.location(ApicId(0)), location(0, 0, 0));
    assert_eq!(found.location(ApicId(0x19)), location(0, 12, 1));
    assert_eq!(found.location(ApicId(0x70)), location(3, 8, 0));
    assert_eq!(found.location(ApicId(0x70)).to_string(), "3/8/0");
}

/// Threads, cores, modules and dies: the levels between are part of the core.
#[test]
fn intel_with_leaf_1f() {
    let machine = [
        (0x1f, 0, level(1, 2, 0, 1)),
        (0x1f, 1, level(3, 8, 1, 2)),
        (0x1f, 2, level(5, 32, 2, 3)),
        (0x1f, 3, level(7, 64, 3, 5)),
        // Leaf 0Bh lacks the dies, and must not be read.
        (0x0b, 0, level(1, 2, 0, 1)),
        (0x0b, 1, level(5, 32, 1, 2)),
    ];
    let found = detect(INTEL, 0x20, 0x8000_0008, &machine);
    assert_eq!(found, layout(1, 7, Source::Leaf1F));
    assert_eq!(found.location(ApicId(0x1_b5)), location(3, 0x1a, 1));
    // If leaf 1Fh is in range but not implemented, 0Bh is used.
    let found = detect(INTEL, 0x20, 0x8000_0008, &machine[4..]);
    assert_eq!(found, layout(1, 5, Source::Leaf0B));
}

/// A level with fewer bits than one below it cannot be the total.
#[test]
fn levels_that_shrink() {
    let machine = [
        (0x0b, 0, level(1, 2, 0, 1)),
        (0x0b, 1, level(4, 16, 1, 2)),
        (0x0b, 2, level(0, 16, 2, 3)),
    ];
    let found = detect(INTEL, 0x0d, 0x8000_0008, &machine);
    assert_eq!(found, layout(1, 4, Source::Leaf0B));
}

/// No threads: the level has 0 bits, or is absent.
#[test]
fn cores_without_threads() {
    let machine = [(0x0b, 0, level(0, 1, 0, 1)), (0x0b, 1, level(3, 6, 1, 2))];
    let found = detect(INTEL, 0x16, 0x8000_0008, &machine);
    assert_eq!(found, layout(0, 3, Source::Leaf0B));
    assert_eq!(found.location(ApicId(9)), location(1, 1, 0));
    let machine = [(0x0b, 0, level(3, 6, 0, 2))];
    let found = detect(INTEL, 0x16, 0x8000_0008, &machine);
    assert_eq!(found, layout(0, 3, Source::Leaf0B));
}

/// QEMU's `-smp 6,sockets=2,cores=3`: two bits of core, IDs 0 to 2 and 4 to 6.
#[test]
fn qemu_with_three_cores() {
    let machine = [(0x0b, 0, level(0, 1, 0, 1)), (0x0b, 1, level(2, 3, 1, 2))];
    let found = detect(AMD, 0x10, 0x8000_0028, &machine);
    let locations: [Location; 6] = [0, 1, 2, 4, 5, 6].map(|id| found.location(ApicId(id)));
    assert_eq!(
        locations,
        [
            location(0, 0, 0),
            location(0, 1, 0),
            location(0, 2, 0),
            location(1, 0, 0),
            location(1, 1, 0),
            location(1, 2, 0),
        ]
    );
}

/// Zen: `ApicIdSize` of 6 bits, two threads in a core.
#[test]
fn amd_with_topology_extensions() {
    let machine = [
        (0x8000_0001, 0, (0, 0, 1 << 22, 0)),
        (0x8000_0008, 0, (0, 0, 0x601f, 0)),
        (0x8000_001e, 0, (7, 0x0103, 0, 0)),
    ];
    for vendor in [AMD, HYGON] {
        let found = detect(vendor, 0x0d, 0x8000_001f, &machine);
        assert_eq!(found, layout(1, 6, Source::AmdLeaves));
        assert_eq!(found.location(ApicId(0x7f)), location(1, 31, 1));
    }
    // Without the feature bit, the leaf has another meaning.
    let found = detect(AMD, 0x0d, 0x8000_001f, &machine[1..]);
    assert_eq!(found, layout(0, 6, Source::AmdLeaves));
}

/// Barcelona to Bulldozer: `ApicIdSize`, or the number of cores without it.
#[test]
fn older_amd() {
    let sizes = |ecx| [(0x8000_0008, 0, (0, 0, ecx, 0))];
    let found = detect(AMD, 5, 0x8000_001b, &sizes(0x300b));
    assert_eq!(found, layout(0, 3, Source::AmdLeaves));
    for (cores, bits) in [(0, 0), (1, 1), (2, 2), (3, 2), (5, 3), (0xff, 8)] {
        let found = detect(AMD, 1, 0x8000_0008, &sizes(cores));
        assert_eq!(found, layout(0, bits, Source::AmdLeaves));
    }
    let found = detect(AMD, 1, 0x8000_0007, &[]);
    assert_eq!(found, layout(0, 0, Source::Nothing));
    assert_eq!(found.location(ApicId(5)), location(5, 0, 0));
}

/// Leaves 1 and 4: the Pentium 4's threads, the Core 2's cores.
#[test]
fn older_intel() {
    const HTT: u32 = 1 << 28;
    let machine = |ids: u32, cores: u32| {
        [
            (1, 0, (0, ids << 16, 0, HTT)),
            (4, 0, ((cores - 1) << 26 | 0x121, 0, 0, 0)),
        ]
    };
    for (ids, cores, thread_bits, socket_shift) in [
        (2, 1, 1, 1),
        (2, 2, 0, 1),
        (4, 4, 0, 2),
        (16, 8, 1, 4),
        (6, 3, 1, 3),
        // More cores than IDs is impossible.
        (2, 4, 0, 1),
    ] {
        let found = detect(INTEL, 0x0a, 0x8000_0008, &machine(ids, cores));
        assert_eq!(
            found,
            layout(thread_bits, socket_shift, Source::LegacyLeaves)
        );
    }
    // The Pentium 4 before it had leaf 4.
    let found = detect(INTEL, 2, 0x8000_0004, &machine(2, 1)[..1]);
    assert_eq!(found, layout(1, 1, Source::LegacyLeaves));
    // Without HTT, the number of IDs is not valid.
    let found = detect(INTEL, 2, 0x8000_0004, &[(1, 0, (0, 0xff << 16, 0, 0))]);
    assert_eq!(found, layout(0, 0, Source::LegacyLeaves));
    let found = detect(INTEL, 0, 0, &[]);
    assert_eq!(found, layout(0, 0, Source::Nothing));
}

/// Every layout splits every ID without loss, so that no two CPUs have the same location.
#[test]
fn places_are_unique() {
    for socket_shift in 0..=31 {
        for thread_bits in 0..=socket_shift {
            let found = layout(thread_bits, socket_shift, Source::Leaf0B);
            let ids = (0..32).flat_map(|bit| [0, 1, 1 << bit, u32::MAX >> bit]);
            for id in ids {
                let Location {
                    socket,
                    core,
                    thread,
                } = found.location(ApicId(id));
                let whole = u64::from(socket) << socket_shift
                    | u64::from(core) << thread_bits
                    | u64::from(thread);
                assert_eq!(whole, u64::from(id));
            }
        }
    }
    let found = layout(1, 3, Source::Leaf0B);
    let locations: BTreeSet<_> = (0..4096)
        .map(|id| found.location(ApicId(id)).to_string())
        .collect();
    assert_eq!(locations.len(), 4096);
}

/// Leaves of all ones, as from a broken hypervisor: detection terminates without a panic.
#[test]
fn nonsense() {
    for vendor in [INTEL, AMD] {
        let found = IdLayout::detect(|leaf, _| match leaf {
            0 => (u32::MAX, vendor.1, vendor.2, vendor.3),
            _ => (u32::MAX, u32::MAX, u32::MAX, u32::MAX),
        });
        let _ = found.location(ApicId(u32::MAX));
        assert!(found.thread_bits <= found.socket_shift && found.socket_shift <= 31);
    }
}

//! The walk of the buses.

use super::fake::{Space, at};
use crate::pci::Address;
use crate::pci::walk::{Found, WalkProblem, walk};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::string::ToString;
use std::vec::Vec;

fn all(space: &mut Space) -> Vec<Result<Found, WalkProblem>> {
    walk(0, 0..=255, |address, offset| space.read(address, offset)).collect()
}

/// The addresses and their bridges, from a walk without problems.
fn locations(space: &mut Space) -> Vec<(Address, Option<Address>)> {
    let found = all(space).into_iter().map(Result::unwrap);
    found.map(|it| (it.address, it.bridge)).collect()
}

#[test]
fn functions_are_read_only_where_they_can_exist() {
    let mut space = Space::default();
    // Functions 1 and 3 of a multifunction device; function 2 of a single-function device is
    // ignored.
    space
        .device(at(0, 0, 0), 0)
        .device(at(0, 0, 2), 0)
        .device(at(0, 31, 0), 0x80)
        .device(at(0, 31, 1), 0)
        .device(at(0, 31, 3), 0x80)
        .device(at(0, 7, 1), 0x80);
    let found = locations(&mut space);
    let expected = [at(0, 0, 0), at(0, 31, 0), at(0, 31, 1), at(0, 31, 3)];
    assert_eq!(found, expected.map(|address| (address, None)));
    // Function 0 of every device of every bus, and seven more of one device.
    assert_eq!(space.read.len(), 256 * 32 + 7);
}

#[test]
fn functions_behind_a_bridge_follow_it() {
    let mut space = Space::default();
    let (outer, inner, other) = (at(0, 1, 0), at(1, 2, 0), at(0, 1, 3));
    space
        .bridge(outer, 1, 2)
        .set(outer, 0x0c, 0x0081_0000)
        .device(at(1, 0, 0), 0)
        .bridge(inner, 2, 2)
        .device(at(2, 5, 0), 0)
        .device(at(1, 9, 0), 0)
        .bridge(other, 3, 3)
        .device(at(3, 0, 0), 0)
        .device(at(0, 2, 0), 0);
    assert_eq!(
        locations(&mut space),
        [
            (outer, None),
            (at(1, 0, 0), Some(outer)),
            (inner, Some(outer)),
            (at(2, 5, 0), Some(inner)),
            (at(1, 9, 0), Some(outer)),
            (other, None),
            (at(3, 0, 0), Some(other)),
            (at(0, 2, 0), None),
        ]
    );
}

#[test]
fn further_root_buses_are_found() {
    let mut space = Space::default();
    let bridge = at(0x80, 0, 0);
    space
        .device(at(0, 0, 0), 0)
        .bridge(bridge, 0x81, 0x81)
        .device(at(0x81, 0, 0), 0);
    assert_eq!(
        locations(&mut space),
        [
            (at(0, 0, 0), None),
            (bridge, None),
            (at(0x81, 0, 0), Some(bridge))
        ]
    );
}

#[test]
fn a_segment_may_begin_at_any_bus() {
    let mut space = Space::default();
    let address = |bus| Address::new(7, bus, 0, 0).unwrap();
    space
        .device(address(0x40), 0)
        .bridge(address(0x41), 0x42, 0x42)
        .device(address(0x43), 0);
    let found = walk(7, 0x40..=0x42, |address, offset| {
        space.read(address, offset)
    });
    let found: Vec<_> = found.map(|it| it.unwrap().address).collect();
    assert_eq!(found, [address(0x40), address(0x41)]);
    assert!(
        space
            .read
            .iter()
            .all(|it| (0x40..=0x42).contains(&it.bus()))
    );
}

#[test]
fn problems_follow_their_function() {
    let mut space = Space::default();
    let bridges = [at(0, 0, 0), at(0, 1, 0), at(0, 2, 0), at(0, 3, 0)];
    space
        .bridge(bridges[0], 0, 0)
        .bridge(bridges[1], 1, 1)
        .bridge(bridges[2], 1, 1)
        .bridge(bridges[3], 9, 9)
        .device(at(0, 4, 0), 0x33);
    let steps = walk(0, 0..=8, |address, offset| space.read(address, offset));
    let steps: Vec<_> = steps.map(|it| it.map(|found| found.address)).collect();
    let [none, first, second, outside] = bridges;
    assert_eq!(
        steps,
        [
            Ok(none),
            Err(WalkProblem::NoBus(none)),
            Ok(first),
            Ok(second),
            Err(WalkProblem::BusTwice {
                bridge: second,
                bus: 1
            }),
            Ok(outside),
            Err(WalkProblem::BusOutside {
                bridge: outside,
                bus: 9
            }),
            Ok(at(0, 4, 0)),
            Err(WalkProblem::HeaderType {
                function: at(0, 4, 0),
                kind: 0x33
            }),
        ]
    );
}

#[test]
fn a_bridge_to_its_own_bus_is_not_followed() {
    let mut space = Space::default();
    let (up, down) = (at(0, 1, 0), at(1, 0, 0));
    space.bridge(up, 1, 1).bridge(down, 1, 1);
    let steps = all(&mut space);
    assert_eq!(steps.len(), 3);
    let bridge = down;
    assert_eq!(steps[2], Err(WalkProblem::BusTwice { bridge, bus: 1 }));
}

#[test]
fn the_deepest_chain_is_walked() {
    // 256 buses, each with only the bridge to the next.
    let mut space = Space::default();
    for bus in 0..255 {
        space.bridge(at(bus, 0, 0), bus + 1, 255);
    }
    space.device(at(255, 31, 0), 0);
    let found = locations(&mut space);
    assert_eq!(found.len(), 256);
    assert_eq!(found[255], (at(255, 31, 0), Some(at(254, 0, 0))));
}

/// A space where every function of every device may have any contents: the walk reads registers
/// that are computed from the address alone.
fn noise(seed: u64, address: Address, offset: u16) -> u32 {
    let mut bits = seed ^ u64::from(address.requester_id()) << 20 ^ u64::from(offset);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let value = (bits ^ bits >> 31) as u32;
    match offset {
        // Few devices, and many bridges among them.
        0 if value & 7 != 0 => u32::MAX,
        0x0c if value & 1 != 0 => value & 0xff80_ffff | 1 << 16,
        _ => value,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_machine_is_walked_once(seed: u64) {
        let mut visited = BTreeSet::new();
        let mut twice = false;
        let read = |address, offset| {
            if offset == 0 {
                twice |= !visited.insert(address);
            }
            noise(seed, address, offset)
        };
        let mut found = BTreeSet::new();
        for step in walk(0, 0..=255, read) {
            match step {
                Ok(function) => {
                    prop_assert!(found.insert(function.address));
                    if let Some(bridge) = function.bridge {
                        prop_assert!(found.contains(&bridge), "bridge first");
                    }
                }
                Err(problem) => prop_assert!(!problem.to_string().is_empty()),
            }
        }
        prop_assert!(!twice, "a function was read twice");
        // Function 0 of every device was read.
        prop_assert_eq!(visited.iter().filter(|it| it.function() == 0).count(), 256 * 32);
    }
}

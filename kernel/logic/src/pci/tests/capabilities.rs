//! Both capability lists, valid and hostile.

use super::fake::{Space, at};
use crate::pci::Address;
use crate::pci::capability::capabilities;
use crate::pci::express::{ExpressCapability, port_type, source_behind};
use crate::pci::extended::extended;
use crate::pci::{Capability, CapabilityError};
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

fn walk(first: u8, registers: &[(u16, u32)]) -> Vec<Result<Capability, CapabilityError>> {
    let mut space = Space::default();
    for &(offset, value) in registers {
        space.set(at(0, 0, 0), offset, value);
    }
    capabilities(first, |offset| space.read(at(0, 0, 0), offset)).collect()
}

fn capability(id: u8, offset: u8) -> Capability {
    Capability { id, offset }
}

#[test]
fn the_list_is_followed_to_its_end() {
    // Backwards and forwards; only the four registers may be read.
    let list = [
        (0x98, 0x0000_8411),
        (0x84, 0x0000_7009),
        (0x70, 0x0000_fc09),
        (0xfc, 0x0000_0005),
    ];
    let expected = [
        Ok(capability(0x11, 0x98)),
        Ok(capability(0x09, 0x84)),
        Ok(capability(0x09, 0x70)),
        Ok(capability(0x05, 0xfc)),
    ];
    assert_eq!(walk(0x98, &list), expected);
    assert_eq!(walk(0, &[]), []);
}

#[test]
fn reserved_bits_of_pointers_are_masked() {
    let list = [(0x40, 0x0000_5305), (0x50, 0x0000_0301)];
    assert_eq!(
        walk(0x43, &list),
        [Ok(capability(0x05, 0x40)), Ok(capability(0x01, 0x50))]
    );
    assert_eq!(walk(0x03, &[]), []);
}

#[test]
fn an_invalid_pointer_ends_the_list() {
    let into_header = walk(0x40, &[(0x40, 0x0000_3c05)]);
    assert_eq!(
        into_header,
        [Ok(capability(5, 0x40)), Err(CapabilityError::Pointer(0x3c))]
    );
    assert_eq!(walk(0x04, &[]), [Err(CapabilityError::Pointer(4))]);
    let itself = walk(0x40, &[(0x40, 0x0000_4005)]);
    assert_eq!(
        itself,
        [Ok(capability(5, 0x40)), Err(CapabilityError::Loop(0x40))]
    );
    let ring = walk(0x40, &[(0x40, 0x5005), (0x50, 0x6001), (0x60, 0x5010)]);
    assert_eq!(
        ring,
        [
            Ok(capability(5, 0x40)),
            Ok(capability(1, 0x50)),
            Ok(capability(0x10, 0x60)),
            Err(CapabilityError::Loop(0x50))
        ]
    );
    let absent = walk(0x40, &[(0x40, 0x8005), (0x80, u32::MAX)]);
    assert_eq!(
        absent,
        [Ok(capability(5, 0x40)), Err(CapabilityError::Gone(0x80))]
    );
}

#[test]
fn the_longest_list_has_48() {
    let list: Vec<_> = (0x40..0x100)
        .step_by(4)
        .map(|offset| (offset, (u32::from(offset) + 4) << 8 & 0xff00 | 9))
        .collect();
    let all = walk(0x40, &list);
    assert_eq!(all.len(), 48);
    assert!(all.iter().all(Result::is_ok));
}

fn walk_extended(registers: &[(u16, u32)]) -> Vec<Result<(u16, u8, u16), CapabilityError>> {
    let mut space = Space::default();
    for &(offset, value) in registers {
        space.set(at(0, 0, 0), offset, value);
    }
    extended(|offset| space.read(at(0, 0, 0), offset))
        .map(|item| item.map(|it| (it.id, it.version, it.offset)))
        .collect()
}

#[test]
fn the_extended_list_is_followed() {
    let list = [
        (0x100, 0x1482_0001),
        (0x148, 0xffc1_0002),
        (0xffc, 0x0001_000d),
    ];
    assert_eq!(
        walk_extended(&list),
        [Ok((1, 2, 0x100)), Ok((2, 1, 0x148)), Ok((0xd, 1, 0xffc))]
    );
    // An empty list, in both forms.
    assert_eq!(walk_extended(&[(0x100, 0)]), []);
    assert_eq!(walk_extended(&[(0x100, u32::MAX)]), []);
}

#[test]
fn an_invalid_pointer_ends_the_extended_list() {
    assert_eq!(
        walk_extended(&[(0x100, 0x0fc1_0001)]),
        [
            Ok((1, 1, 0x100)),
            Err(CapabilityError::ExtendedPointer(0xfc))
        ]
    );
    assert_eq!(
        walk_extended(&[(0x100, 0x1031_0001)]),
        [Ok((1, 1, 0x100)), Err(CapabilityError::Loop(0x100))]
    );
    assert_eq!(
        walk_extended(&[(0x100, 0x2001_0001), (0x200, u32::MAX)]),
        [Ok((1, 1, 0x100)), Err(CapabilityError::Gone(0x200))]
    );
}

#[test]
fn ports_with_slots_complete_commands() {
    // QEMU's ioh3420: a root port with a slot.
    let port = ExpressCapability::decode(0x90, 0x0142_6010).unwrap();
    assert!(port.supports_command_completion(0x0000_007f));
    assert!(!port.supports_command_completion(0x0004_007f));
    let locations = (
        port.slot_capabilities(),
        port.slot_control(),
        port.slot_status(),
    );
    assert_eq!(locations, (0xa4, 0xa8, 0xaa));
    // Without a slot; an endpoint; an upstream port; a downstream port.
    for (flags, expected) in [
        (0x0042, false),
        (0x0102, false),
        (0x0152, false),
        (0x0162, true),
    ] {
        let port = ExpressCapability::decode(0x40, flags << 16 | 0x10).unwrap();
        assert_eq!(
            port.supports_command_completion(0),
            expected,
            "{flags:#06x}"
        );
    }
    assert!(ExpressCapability::decode(0xe4, 0x10).is_some());
    assert_eq!(ExpressCapability::decode(0xe8, 0x10), None);
}

proptest! {
    #[test]
    fn any_list_ends(first: u8, registers in prop::collection::vec(any::<u32>(), 64)) {
        let walk = capabilities(first, |offset| registers[usize::from(offset / 4)]);
        let all: Vec<_> = walk.collect();
        prop_assert!(all.len() <= 49);
        let (last, rest) = match all.split_last() {
            Some((last, rest)) => (Some(last), rest),
            None => (None, &[][..]),
        };
        prop_assert!(rest.iter().all(Result::is_ok));
        for capability in all.iter().flatten() {
            prop_assert!(capability.offset >= 0x40 && capability.offset % 4 == 0);
        }
        if let Some(Err(error)) = last {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn any_extended_list_ends(registers in prop::collection::vec(any::<u32>(), 1024)) {
        let mut reads = 0;
        let mut read = |offset: u16| {
            reads += 1;
            assert!((0x100..0x1000).contains(&offset));
            registers[usize::from(offset / 4)]
        };
        let errors = extended(&mut read).filter(Result::is_err).count();
        prop_assert!(errors <= 1);
        prop_assert!(reads <= 960);
    }
}

#[test]
fn sources_behind_bridges() {
    let bridge = Address::new(0, 0, 3, 1).unwrap();
    let behind = |first| source_behind(port_type(first), bridge, 5, 0x0618);
    assert_eq!(behind(None), 0x0019, "a conventional bridge");
    assert_eq!(behind(Some(0x0082_0010)), 0x0019, "from PCI to PCI Express");
    assert_eq!(behind(Some(0x0072_0010)), 0x0500, "from PCI Express to PCI");
    for kind in [4, 5, 6] {
        assert_eq!(behind(Some(0x0002_0010 | kind << 20)), 0x0618, "a port");
    }
}

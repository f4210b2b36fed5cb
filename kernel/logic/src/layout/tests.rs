use super::{
    AddressKind, DIRECT_MAP, DIRECT_MAP_SIZE, KERNEL, MAPPINGS, MAPPINGS_SIZE, MAX_CPUS, PAGE_SIZE,
    STACKS, StackKind, describe, guard_range, stack_range,
};
use proptest::prelude::*;
use std::collections::HashSet;
use std::string::ToString;
use std::vec::Vec;

const CPUS: [u32; 7] = [0, 1, 2, 3, 255, 256, MAX_CPUS - 1];

#[test]
fn stack_sizes_and_names() {
    let table = [
        (StackKind::Thread, 64, None, "thread"),
        (
            StackKind::Interrupt,
            if cfg!(debug_assertions) { 112 } else { 48 },
            None,
            "interrupt",
        ),
        (StackKind::DoubleFault, 16, Some(1), "double-fault"),
        (StackKind::Nmi, 16, Some(2), "NMI"),
        (StackKind::MachineCheck, 16, Some(3), "machine-check"),
        (StackKind::Debug, 16, Some(4), "debug"),
    ];
    assert_eq!(StackKind::ALL, table.map(|(kind, ..)| kind));
    for (kind, kibibytes, ist, name) in table {
        assert_eq!(kind.size(), kibibytes << 10);
        assert_eq!(kind.ist(), ist);
        assert_eq!(kind.name(), name);
        assert_eq!(kind.to_string(), name);
    }
}

#[test]
fn stacks_have_their_size_a_guard_right_below_and_page_alignment() {
    for cpu in CPUS {
        for kind in StackKind::ALL {
            let (stack, guard) = (stack_range(cpu, kind), guard_range(cpu, kind));
            assert_eq!(stack.end - stack.start, kind.size());
            assert_eq!(guard.end, stack.start);
            assert!(guard.end - guard.start >= PAGE_SIZE);
            for bound in [stack.start, stack.end, guard.start] {
                assert!(bound.is_multiple_of(PAGE_SIZE));
            }
        }
    }
}

#[test]
fn the_first_slots_are_as_documented() {
    assert_eq!(
        stack_range(0, StackKind::Thread),
        STACKS + 0x1_0000..STACKS + 0x2_0000
    );
    assert_eq!(guard_range(0, StackKind::Thread), STACKS..STACKS + 0x1_0000);
    assert_eq!(stack_range(0, StackKind::Interrupt).end, STACKS + 0x4_0000);
    assert_eq!(
        stack_range(0, StackKind::DoubleFault).end,
        STACKS + 0x5_0000
    );
    assert_eq!(stack_range(0, StackKind::Debug).end, STACKS + 0x8_0000);
    assert_eq!(stack_range(1, StackKind::Thread).end, STACKS + 0xa_0000);
}

#[test]
fn no_two_stacks_or_guards_overlap() {
    let mut ranges: Vec<_> = (0..MAX_CPUS)
        .flat_map(|cpu| StackKind::ALL.map(|kind| (cpu, kind)))
        .flat_map(|(cpu, kind)| [guard_range(cpu, kind), stack_range(cpu, kind)])
        .collect();
    ranges.sort_by_key(|range| range.start);
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
    assert_eq!(ranges[0].start, STACKS);
    assert!(ranges.last().unwrap().end <= KERNEL);
}

#[test]
fn every_edge_of_every_stack_is_distinguished() {
    for cpu in CPUS {
        for kind in StackKind::ALL {
            let (stack, guard) = (stack_range(cpu, kind), guard_range(cpu, kind));
            let on = |offset| AddressKind::Stack { cpu, kind, offset };
            assert_eq!(describe(stack.start), on(0));
            assert_eq!(describe(stack.end - 1), on(kind.size() - 1));
            assert_eq!(describe(guard.start), AddressKind::StackGuard { cpu, kind });
            assert_eq!(
                describe(guard.end - 1),
                AddressKind::StackGuard { cpu, kind }
            );
            assert_ne!(describe(stack.end), on(kind.size()));
        }
    }
}

#[test]
fn beyond_the_last_stack_nothing_is_used() {
    let last = stack_range(MAX_CPUS - 1, StackKind::Debug).end;
    assert_eq!(describe(last), AddressKind::Unused);
    assert_eq!(
        describe(STACKS + (u64::from(MAX_CPUS) << 19)),
        AddressKind::Unused
    );
    assert_eq!(describe(STACKS - 1), AddressKind::Unused);
    assert_eq!(describe(KERNEL - 1), AddressKind::Unused);
}

#[test]
#[should_panic(expected = "CPUs 0 to 4095")]
fn there_is_no_stack_for_cpu_4096() {
    let _ = stack_range(MAX_CPUS, StackKind::Thread);
}

#[test]
fn edges_of_the_address_space() {
    for (address, kind) in [
        (0, AddressKind::NullPage),
        (0xfff, AddressKind::NullPage),
        (0x1000, AddressKind::LowerHalf),
        (0x0000_7fff_ffff_ffff, AddressKind::LowerHalf),
        (0x0000_8000_0000_0000, AddressKind::NonCanonical),
        (0xffff_7fff_ffff_ffff, AddressKind::NonCanonical),
        (DIRECT_MAP, AddressKind::DirectMap { phys: 0 }),
        (
            DIRECT_MAP + 0xfee0_0000,
            AddressKind::DirectMap { phys: 0xfee0_0000 },
        ),
        (
            DIRECT_MAP + DIRECT_MAP_SIZE - 1,
            AddressKind::DirectMap {
                phys: DIRECT_MAP_SIZE - 1,
            },
        ),
        (DIRECT_MAP + DIRECT_MAP_SIZE, AddressKind::Unused),
        (KERNEL, AddressKind::Kernel),
        (KERNEL + 0x20_0000, AddressKind::Kernel),
        (u64::MAX, AddressKind::Kernel),
    ] {
        assert_eq!(describe(address), kind, "{address:#x}");
    }
}

#[test]
fn descriptions() {
    for (address, text) in [
        (0, "null page"),
        (0x5000, "lower half, where nothing of the kernel is"),
        (1 << 47, "non-canonical address"),
        (
            DIRECT_MAP + 0xb8000,
            "direct map of physical address 0xb8000",
        ),
        (
            stack_range(0, StackKind::Nmi).start + 16,
            "CPU 0's NMI stack, 0x10 bytes above its bottom",
        ),
        (
            guard_range(3, StackKind::Thread).end - 8,
            "guard page of CPU 3's thread stack",
        ),
        (KERNEL + 0x20_0000, "kernel image"),
        (MAPPINGS, "region for mappings that come and go"),
        (
            MAPPINGS + MAPPINGS_SIZE - 1,
            "region for mappings that come and go",
        ),
        (MAPPINGS - 1, "unused part of the kernel's address space"),
        (
            MAPPINGS + MAPPINGS_SIZE,
            "unused part of the kernel's address space",
        ),
        (STACKS - 8, "unused part of the kernel's address space"),
    ] {
        assert_eq!(describe(address).to_string(), text);
    }
}

#[test]
fn each_ist_stack_has_an_index_of_its_own() {
    let indices: Vec<u8> = StackKind::ALL
        .iter()
        .filter_map(|kind| kind.ist())
        .collect();
    assert!(indices.iter().all(|ist| (1..=7).contains(ist)));
    assert_eq!(indices.iter().collect::<HashSet<_>>().len(), indices.len());
}

proptest! {
    /// Every address is classified as the ranges require.
    #[test]
    fn describe_agrees_with_the_ranges(
        address in prop_oneof![any::<u64>(), STACKS..STACKS + (1 << 32), any::<u64>().prop_map(|a| a >> 16 | 0xffff << 48)],
    ) {
        let canonical = (address.cast_signed() << 16 >> 16).cast_unsigned() == address;
        let kind = describe(address);
        prop_assert_eq!(kind == AddressKind::NonCanonical, !canonical);
        match kind {
            AddressKind::Stack { cpu, kind, offset } => {
                let range = stack_range(cpu, kind);
                prop_assert!(range.contains(&address));
                prop_assert_eq!(range.start + offset, address);
            }
            AddressKind::StackGuard { cpu, kind } => {
                prop_assert!(guard_range(cpu, kind).contains(&address));
            }
            AddressKind::DirectMap { phys } => prop_assert_eq!(DIRECT_MAP + phys, address),
            AddressKind::NullPage => prop_assert!(address < PAGE_SIZE),
            AddressKind::LowerHalf => prop_assert!((PAGE_SIZE..1 << 47).contains(&address)),
            AddressKind::Mapping => {
                prop_assert!((MAPPINGS..MAPPINGS + MAPPINGS_SIZE).contains(&address));
            }
            AddressKind::Kernel => prop_assert!(address >= KERNEL),
            AddressKind::NonCanonical | AddressKind::Unused => {}
        }
    }
}

#[test]
fn the_exceptions_with_a_stack_of_their_own() {
    for vector in 0..=u8::MAX {
        let mnemonic = crate::exception::exception(vector).map(|it| it.mnemonic);
        let expected = match mnemonic {
            Some("#DB") => Some(StackKind::Debug),
            Some("NMI") => Some(StackKind::Nmi),
            Some("#DF") => Some(StackKind::DoubleFault),
            Some("#MC") => Some(StackKind::MachineCheck),
            _ => None,
        };
        assert_eq!(StackKind::of(vector), expected, "{mnemonic:?}");
        assert!(StackKind::of(vector).is_none_or(|kind| kind.ist().is_some()));
    }
}

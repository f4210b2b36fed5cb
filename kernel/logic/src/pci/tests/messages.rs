//! MSI, MSI-X, and the structures of virtio devices.

use crate::apic::msi::Message;
use crate::apic::{ApicId, Msi};
use crate::pci::msi::MsiError;
use crate::pci::msix::{self, Location};
use crate::pci::virtio::{Structure, StructureLocation};
use crate::pci::{Capability, CapabilityError, MsiCapability, MsixCapability};
use proptest::prelude::*;

const MESSAGE: Message = Message {
    address: 0xfee0_1000,
    data: 0x60,
};

/// The first register of an MSI capability.
fn control(control: u32) -> u32 {
    control << 16 | 0x0005
}

#[test]
fn the_four_layouts_of_msi() {
    // PCI, figure 6-9: address, data, masks and pending bits.
    for (bits, data, masks, pending) in [
        (0x000, 0x48, None, None),
        (0x080, 0x4c, None, None),
        (0x100, 0x48, Some(0x4c), Some(0x50)),
        (0x180, 0x4c, Some(0x50), Some(0x54)),
    ] {
        let msi = MsiCapability::decode(0x40, control(bits)).unwrap();
        assert_eq!(
            (msi.control(), msi.address(), msi.data()),
            (0x40, 0x44, data)
        );
        assert_eq!((msi.masks(), msi.pending()), (masks, pending));
        assert_eq!(msi.is_64_bit(), bits & 0x80 != 0);
        let writes = msi.writes(MESSAGE, 1).unwrap();
        let expected: &[_] = if msi.is_64_bit() {
            &[(0x44, 0xfee0_1000), (0x48, 0), (0x4c, 0x60)]
        } else {
            &[(0x44, 0xfee0_1000), (0x48, 0x60)]
        };
        assert_eq!(&writes[..], expected);
    }
}

#[test]
fn msi_that_does_not_fit_is_an_error() {
    // The largest layout has 24 bytes, the smallest 12.
    assert!(MsiCapability::decode(0xe8, control(0x180)).is_ok());
    assert_eq!(
        MsiCapability::decode(0xec, control(0x180)),
        Err(CapabilityError::Truncated {
            capability: Capability {
                id: 5,
                offset: 0xec
            },
            size: 24
        })
    );
    assert!(MsiCapability::decode(0xf4, control(0)).is_ok());
    assert!(MsiCapability::decode(0xf8, control(0)).is_err());
}

#[test]
fn the_number_of_messages() {
    for log2 in 0..=5 {
        let msi = MsiCapability::decode(0x40, control(log2 << 1)).unwrap();
        assert_eq!(msi.messages(), 1 << log2);
    }
    for reserved in [6, 7] {
        assert_eq!(
            MsiCapability::decode(0x40, control(reserved << 1)),
            Err(CapabilityError::Messages(reserved as u8))
        );
    }
    let msi = MsiCapability::decode(0x40, control(3 << 1)).unwrap();
    // Enabled with four of eight; the other bits of the register are preserved.
    let register = control(0x0086 | 0x70);
    assert_eq!(msi.enabled(register, 4), Ok(control(0x0086 | 0x21)));
    assert_eq!(msi.enabled(register, 1), Ok(control(0x0087)));
    assert_eq!(msi.enabled(register, 3), Err(MsiError::NotPowerOfTwo(3)));
    assert_eq!(msi.enabled(register, 0), Err(MsiError::NotPowerOfTwo(0)));
    let too_many = MsiError::TooMany { wanted: 16, max: 8 };
    assert_eq!(msi.enabled(register, 16), Err(too_many));
    assert_eq!(msi.writes(MESSAGE, 16), Err(too_many));
    assert!(MsiCapability::is_enabled(control(1)));
    assert_eq!(MsiCapability::disabled(control(0x0021)), control(0x0020));
}

#[test]
fn a_block_of_messages_is_aligned() {
    let msi = MsiCapability::decode(0x40, control(5 << 1)).unwrap();
    for (data, count, fine) in [
        (0x60, 32, true),
        (0x50, 32, false),
        (0x50, 16, true),
        (0x61, 1, true),
        (0x61, 2, false),
    ] {
        let message = Message { data, ..MESSAGE };
        let result = msi.writes(message, count);
        let error = Err(MsiError::Unaligned {
            data,
            messages: count,
        });
        assert!(
            result.is_ok() == fine && (fine || result == error),
            "{data:#x} {count}"
        );
    }
    let wide = Message {
        data: 0x1_0000,
        ..MESSAGE
    };
    assert_eq!(msi.writes(wide, 1), Err(MsiError::Data(0x1_0000)));
}

#[test]
fn msix_table_location() {
    // QEMU's virtio-rng-pci: two messages, table and pending bits in register 1.
    let msix = MsixCapability::decode(0x98, [0x0001_8411, 0x0000_0001, 0x0000_0801]).unwrap();
    assert_eq!(msix.messages(), 2);
    assert_eq!(msix.control(), 0x98);
    assert_eq!(msix.table, Location { bar: 1, offset: 0 });
    assert_eq!(
        msix.pending,
        Location {
            bar: 1,
            offset: 0x800
        }
    );
    assert_eq!((msix.table_size(), msix.pending_size()), (32, 8));
    assert!(MsixCapability::fits(msix.pending, 8, 0x808));
    assert!(!MsixCapability::fits(msix.pending, 8, 0x807));

    // All 2048, and the reserved bits of the control preserved.
    let full = MsixCapability::decode(0x40, [0x3fff_0011, 0xffff_fff8, 5]).unwrap();
    assert_eq!(full.messages(), 2048);
    assert_eq!((full.table_size(), full.pending_size()), (32768, 256));
    assert!(!MsixCapability::fits(
        full.table,
        full.table_size(),
        1 << 32
    ));
}

#[test]
fn msix_registers_are_found_in_a_part_of_a_bar() {
    // Two messages: the table is the first 0x20 bytes of BAR 1, the pending bits are at 0x800 of
    // BAR 2.
    let msix = MsixCapability::decode(0x70, [0x0001_0011, 0x0001, 0x0802]).unwrap();
    for (bar, part, expected) in [
        (1, 0..0x1000, Some(0..0x20)),
        (1, 0x18..0x30, Some(0x18..0x20)),
        (1, 0x20..0x1000, None),
        (1, 0x800..0x808, None),
        (2, 0..0x1000, Some(0x800..0x808)),
        (2, 0..0x800, None),
        (2, 0x7f8..0x804, Some(0x800..0x804)),
        (2, 0x808..0x1000, None),
        (0, 0..0x1000, None),
        (1, 0..0, None),
    ] {
        assert_eq!(msix.reserved_in(bar, &part), expected, "{bar} {part:x?}");
    }
}

#[test]
fn invalid_msix_is_an_error() {
    let decode = |table, pending| MsixCapability::decode(0x40, [0x11, table, pending]);
    assert_eq!(decode(6, 0), Err(CapabilityError::Register(6)));
    assert_eq!(decode(0, 7), Err(CapabilityError::Register(7)));
    assert!(MsixCapability::decode(0xf4, [0x11, 0, 0]).is_ok());
    assert!(matches!(
        MsixCapability::decode(0xf8, [0x11, 0, 0]),
        Err(CapabilityError::Truncated { size: 12, .. })
    ));
}

#[test]
fn msix_control_bits() {
    let register = 0x0040_8411;
    assert_eq!(MsixCapability::with(register, true, true), 0xc040_8411);
    assert_eq!(MsixCapability::with(0xc040_8411, true, false), 0x8040_8411);
    assert_eq!(MsixCapability::with(0xc040_8411, false, false), register);
    assert!(MsixCapability::is_enabled(1 << 31) && !MsixCapability::is_enabled(1 << 30));
    assert!(MsixCapability::is_masked(1 << 30) && !MsixCapability::is_masked(1 << 31));
}

#[test]
fn an_entry_is_masked_while_it_changes() {
    // Bits 31:16 are steering tags, which must be preserved.
    for before in [0xabcd_0000, 0xabcd_0001] {
        let writes = msix::entry_writes(MESSAGE, before);
        let expected = [
            (12, 0xabcd_0001),
            (0, 0xfee0_1000),
            (4, 0),
            (8, 0x60),
            (12, before),
        ];
        assert_eq!(writes, expected);
    }
    assert_eq!(msix::with_mask(0xabcd_0001, false), 0xabcd_0000);
    assert!(msix::is_masked(1) && !msix::is_masked(0xffff_fffe));
}

#[test]
fn virtio_structures_are_found() {
    // QEMU's virtio-rng-pci.
    let common = StructureLocation::decode([0x0110_6009, 4, 0, 0x1000]).unwrap();
    assert_eq!((common.structure, common.bar), (Structure::Common, 4));
    assert_eq!((common.offset, common.length), (0, 0x1000));
    let notify = StructureLocation::decode([0x0214_4009, 4, 0x3000, 0x1000]).unwrap();
    assert_eq!(
        (notify.structure, notify.offset),
        (Structure::Notify, 0x3000)
    );
    // The interrupt status; an unknown structure; a base address register that does not exist.
    assert_eq!(
        StructureLocation::decode([0x0310_6009, 4, 0x1000, 0x1000]),
        None
    );
    assert_eq!(StructureLocation::decode([0x0910_6009, 4, 0, 0x1000]), None);
    assert_eq!(StructureLocation::decode([0x0110_6009, 6, 0, 0x1000]), None);
}

proptest! {
    #[test]
    fn any_msi_stays_in_configuration_space(offset: u8, first: u32, count: u8) {
        let offset = offset & !3;
        let Ok(msi) = MsiCapability::decode(offset, first) else { return Ok(()) };
        let message = Msi::fixed(0x60, ApicId(3), false).unwrap().encode().unwrap();
        let last = msi.pending().unwrap_or(msi.data());
        prop_assert!(last + 4 <= 0x100);
        match msi.writes(message, count) {
            Ok(writes) => {
                prop_assert!(count <= msi.messages());
                for (register, _) in writes {
                    prop_assert!(register > u16::from(offset) && register <= last);
                }
                let control = msi.enabled(first, count).unwrap();
                prop_assert!(MsiCapability::is_enabled(control));
                // Only bits 0 and 6:4 of the control change.
                prop_assert_eq!((control ^ first) & !(0x71 << 16), 0);
                prop_assert_eq!(1 << (control >> 20 & 7), u32::from(count));
            }
            Err(_) => prop_assert!(msi.enabled(first, count).is_err() || 0x60 % u32::from(count) != 0),
        }
    }

    #[test]
    fn any_msix_has_a_sound_table(offset: u8, registers: [u32; 3]) {
        let Ok(msix) = MsixCapability::decode(offset & !3, registers) else { return Ok(()) };
        prop_assert!((1..=2048).contains(&msix.messages()));
        for location in [msix.table, msix.pending] {
            prop_assert!(location.bar <= 5 && location.offset.is_multiple_of(8));
        }
    }
}

//! Addresses, headers, classes and the command register.

use super::fake::{Space, at};
use crate::pci::{Address, AddressError, Class, Header, Layout, Pin, command};
use proptest::prelude::*;
use std::format;
use std::string::ToString;

#[test]
fn addresses_have_limits() {
    assert!(Address::new(0xffff, 255, 31, 7).is_some());
    assert_eq!(Address::new(0, 0, 32, 0), None);
    assert_eq!(Address::new(0, 0, 0, 8), None);
}

#[test]
fn ports_select_by_bus_device_function_and_register() {
    assert_eq!(at(0, 0, 0).port_value(0), Ok(0x8000_0000));
    assert_eq!(at(0, 31, 2).port_value(0x3c), Ok(0x8000_fa3c));
    assert_eq!(at(255, 31, 7).port_value(0xfc), Ok(0x80ff_fffc));
    let far = Address::new(1, 0, 0, 0).unwrap();
    assert_eq!(far.port_value(0), Err(AddressError::Segment(1)));
    assert_eq!(at(0, 0, 0).port_value(2), Err(AddressError::Offset(2)));
    assert_eq!(
        at(0, 0, 0).port_value(0x100),
        Err(AddressError::Offset(0x100))
    );
}

#[test]
fn addresses_parse_in_the_usual_forms() {
    assert_eq!("0000:00:1f.2".parse(), Ok(at(0, 31, 2)));
    assert_eq!("ff:1F.7".parse(), Ok(at(255, 31, 7)));
    assert_eq!(
        "12ab:0:0.0".parse(),
        Ok(Address::new(0x12ab, 0, 0, 0).unwrap())
    );
    for wrong in [
        "",
        ":",
        ".",
        "0",
        "0:0",
        "0.0",
        "0:0:0:0.0",
        "x:0.0",
        "00:1f.",
        ":1f.2",
        "00:.2",
        "000:00.0",
        "00:001.0",
        "00000:00:00.0",
        "+0:0.0",
        "0:+1.0",
        "00:1f.2 ",
    ] {
        assert_eq!(wrong.parse::<Address>(), Err(AddressError::Form), "{wrong}");
    }
    assert_eq!("00:20.0".parse::<Address>(), Err(AddressError::Range));
    assert_eq!("00:00.8".parse::<Address>(), Err(AddressError::Range));
    assert_eq!(format!("[{:>14}]", at(0, 31, 2)), "[  0000:00:1f.2]");
}

#[test]
fn only_the_vendor_of_an_absent_function_is_read() {
    // The space panics on a read of any other register.
    let mut space = Space::default();
    assert_eq!(Header::read(|offset| space.read(at(0, 3, 0), offset)), None);
    for nothing in [0x0000_0000, 0x0000_ffff, 0x1234_ffff] {
        space.set(at(0, 3, 0), 0, nothing);
        assert_eq!(Header::read(|offset| space.read(at(0, 3, 0), offset)), None);
    }
}

#[test]
fn a_device_as_qemu_shows_it() {
    // The SATA controller of QEMU's q35.
    let mut space = Space::default();
    let address = at(0, 31, 2);
    space
        .set(address, 0x00, 0x2922_8086)
        .set(address, 0x04, 0x0010_0103)
        .set(address, 0x08, 0x0106_0102)
        .set(address, 0x0c, 0x0080_0000)
        .set(address, 0x2c, 0x1100_1af4)
        .set(address, 0x34, 0x0000_0080)
        .set(address, 0x3c, 0x0000_010a);
    let header = Header::read(|offset| space.read(address, offset)).unwrap();
    assert_eq!(
        header,
        Header {
            vendor: 0x8086,
            device: 0x2922,
            revision: 2,
            class: Class {
                base: 1,
                sub: 6,
                interface: 1
            },
            multifunction: true,
            layout: Layout::Device {
                subsystem_vendor: 0x1af4,
                subsystem: 0x1100
            },
            capabilities: Some(0x80),
            pin: Some(Pin::A),
            line: Some(10),
        }
    );
    assert_eq!(header.class.name(), "SATA controller");
    assert_eq!(header.class.number(), 0x0106);
    assert_eq!(header.layout.bars(), 6);
}

#[test]
fn every_type_of_header_has_its_own_registers() {
    for (kind, layout, pointer) in [
        (
            1,
            Layout::Bridge {
                primary: 3,
                secondary: 4,
                subordinate: 9,
            },
            Some(0x34),
        ),
        (2, Layout::CardBus, Some(0x14)),
        (0x7f, Layout::Reserved(0x7f), None),
    ] {
        let mut space = Space::default();
        let address = at(3, 1, 0);
        space.device(address, kind).set(address, 0x04, 0x0010_0000);
        if kind == 1 {
            space.set(address, 0x18, 0x0009_0403);
        }
        // The other pointer is not declared, so that reading it panics.
        if let Some(pointer) = pointer {
            space.set(address, pointer, 0xdc);
        }
        let header = Header::read(|offset| space.read(address, offset)).unwrap();
        assert_eq!(header.layout, layout);
        assert_eq!(header.capabilities, pointer.map(|_| 0xdc));
    }
}

#[test]
fn without_the_status_bit_there_are_no_capabilities() {
    let mut space = Space::default();
    let address = at(0, 1, 0);
    // The pointer is not declared.
    space.device(address, 0).set(address, 0x3c, 0x0500_09ff);
    let header = Header::read(|offset| space.read(address, offset)).unwrap();
    assert_eq!(header.capabilities, None);
    // Pin 9 is reserved, line 255 means no line.
    assert_eq!((header.pin, header.line), (None, None));
}

#[test]
fn the_command_changes_and_the_status_is_not_cleared() {
    // Writing a 1 to a status bit would clear it.
    let register = 0xf910_0103;
    let written = command::changed(register, command::BUS_MASTER, command::IO);
    assert_eq!(written, 0x0000_0106);
    assert_eq!(
        command::changed(0xffff_ffff, 0, command::INTX_DISABLE),
        0x0000_fbff
    );
}

#[test]
fn classes_have_names() {
    for (register, name) in [
        (0x0600_0000, "host bridge"),
        (0x0604_0001, "PCI bridge"),
        (0x0601_0002, "ISA bridge"),
        (0x0200_0000, "Ethernet adapter"),
        (0x0280_0000, "network adapter"),
        (0x00ff_0010, "unclassified"),
        (0xff00_0000, "unknown class"),
    ] {
        assert_eq!(Class::from_register(register).name(), name);
    }
}

proptest! {
    #[test]
    fn an_address_is_read_back(segment: u16, bus: u8, device in 0_u8..32, function in 0_u8..8) {
        let address = Address::new(segment, bus, device, function).unwrap();
        prop_assert_eq!(address.to_string().parse(), Ok(address));
        let id = address.requester_id();
        let back = Address::new(segment, (id >> 8) as u8, (id >> 3) as u8 & 31, id as u8 & 7);
        prop_assert_eq!(back, Some(address));
    }

    #[test]
    fn any_text_is_an_address_or_an_error(text in "[0-9a-f:.x ]{0,16}") {
        if let Ok(address) = text.parse::<Address>() {
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn any_registers_are_a_header(registers: [u32; 16]) {
        let header = Header::read(|offset| registers[usize::from(offset / 4)]);
        let nothing = registers[0] as u16 == 0xffff || registers[0] == 0;
        prop_assert_eq!(header.is_none(), nothing);
    }
}

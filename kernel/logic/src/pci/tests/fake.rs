//! A fake configuration space that checks every read.

use crate::pci::Address;
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

/// Registers that a test has declared. A function without any is absent: its first register reads
/// as all ones, and a read of any other is a bug in the code under test, as is a read of an
/// undeclared register of a present function.
#[derive(Debug, Default)]
pub struct Space {
    registers: BTreeMap<(Address, u16), u32>,
    present: BTreeSet<Address>,
    /// The functions whose first register was read, in order.
    pub read: Vec<Address>,
}

pub fn at(bus: u8, device: u8, function: u8) -> Address {
    Address::new(0, bus, device, function).unwrap()
}

impl Space {
    pub fn set(&mut self, address: Address, offset: u16, value: u32) -> &mut Self {
        assert!(offset.is_multiple_of(4) && offset < 0x1000);
        self.registers.insert((address, offset), value);
        self.present.insert(address);
        self
    }

    /// Declares a device with the minimum for a header. `kind` is the header type.
    pub fn device(&mut self, address: Address, kind: u8) -> &mut Self {
        self.set(address, 0x00, 0x11e8_1234)
            .set(address, 0x04, 0)
            .set(address, 0x08, 0x00ff_0010)
            .set(address, 0x0c, u32::from(kind) << 16)
            .set(address, 0x3c, 0);
        match kind & 0x7f {
            0 => self.set(address, 0x2c, 0x1100_1af4),
            1 => self.set(address, 0x18, 0),
            _ => self,
        }
    }

    /// Declares a bridge to the buses from `secondary` to `subordinate`.
    pub fn bridge(&mut self, address: Address, secondary: u8, subordinate: u8) -> &mut Self {
        let buses = u32::from_le_bytes([address.bus(), secondary, subordinate, 0]);
        self.device(address, 1)
            .set(address, 0x08, 0x0604_0000)
            .set(address, 0x18, buses)
    }

    pub fn read(&mut self, address: Address, offset: u16) -> u32 {
        if offset == 0 {
            self.read.push(address);
        }
        if offset == 0 && !self.present.contains(&address) {
            return u32::MAX;
        }
        let value = self.registers.get(&(address, offset));
        *value.unwrap_or_else(|| panic!("{address}: nobody declared register {offset:#x}"))
    }
}

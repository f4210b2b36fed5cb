//! The registers of the I/O APIC except the redirection entries, for which see [`Rte`] (82093AA
//! data sheet, 3.1 and 3.2; the EOI register: data sheet of any ICH since ICH2).
//!
//! The driver writes the index to [`SELECT`], then reads or writes the value at [`WINDOW`]; both
//! are 32 bits wide. The pair is one shared resource and must be protected by a lock.

use super::{Lvt, Rte, Trigger};
use arrayvec::ArrayVec;
use core::fmt;

/// Offset of the index register (IOREGSEL), in bytes.
pub const SELECT: u64 = 0x00;
/// Offset of the data register (IOWIN), in bytes.
pub const WINDOW: u64 = 0x10;
/// Offset of the EOI register, in bytes. Present from version 20h. Writing a vector clears remote
/// IRR in every entry with that vector.
pub const EOI: u64 = 0x40;

/// Index of the ID register.
pub const ID: u8 = 0x00;
/// Index of the version register.
pub const VERSION: u8 = 0x01;

/// The highest pin whose redirection entry has an index, because indices are 8 bits wide.
pub const MAX_PIN: u8 = 119;

/// The indices of a pin's redirection entry, `[low, high]`; `None` above [`MAX_PIN`].
#[must_use]
pub const fn rte_indices(pin: u8) -> Option<[u8; 2]> {
    if pin > MAX_PIN {
        return None;
    }
    let low = 0x10 + 2 * pin;
    Some([low, low + 1])
}

/// The version register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApicVersion(pub u32);

impl IoApicVersion {
    /// Bits 7:0: 11h for the 82093AA, 20h for I/O APICs with an EOI register.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0 as u8
    }

    /// The number of pins, 1 to 120: bits 23:16 plus 1. The field could hold larger values, but
    /// only 120 pins have an index.
    #[must_use]
    pub const fn pins(self) -> u8 {
        let last = (self.0 >> 16) as u8;
        if last > MAX_PIN {
            MAX_PIN + 1
        } else {
            last + 1
        }
    }

    /// Whether there is an EOI register.
    #[must_use]
    pub const fn has_eoi(self) -> bool {
        self.number() >= 0x20
    }

    /// Whether this can be the value of a version register. Reads of an address without a device
    /// return all ones, on some buses all zeros; bits 31:24 and 14:8 are reserved.
    #[must_use]
    const fn is_plausible(self) -> bool {
        !matches!(self.number(), 0 | u8::MAX) && self.0 & 0xff00_7f00 == 0
    }
}

/// The registers at an address that may belong to an I/O APIC.
pub trait Registers {
    /// Reads the 32-bit register at `offset`.
    fn read(&self, offset: u64) -> u32;
    /// Writes the 32-bit register at `offset`.
    fn write(&self, offset: u64, value: u32);
}

/// Reads the register with this index.
fn read_indexed(registers: &impl Registers, index: u8) -> u32 {
    registers.write(SELECT, index.into());
    registers.read(WINDOW)
}

/// Returns the version of the I/O APIC with these registers; `None` if there is no I/O APIC. Memory
/// and ROM are rejected too: the index register of an I/O APIC retains the written index, and the
/// index selects the register in the window. Only the index register is written.
pub fn identify(registers: &impl Registers) -> Option<IoApicVersion> {
    let selects = |index: u8| {
        let value = read_indexed(registers, index);
        let kept = registers.read(SELECT) as u8 == index;
        kept.then_some(value)
    };
    let version = selects(VERSION)?;
    let id = selects(ID)?;
    let found = IoApicVersion(version);
    (found.is_plausible() && id != version && selects(VERSION)? == version).then_some(found)
}

/// The pins that firmware has configured to deliver SMIs, one bit each. The kernel does not use
/// them.
pub fn smi_pins(registers: &impl Registers, version: IoApicVersion) -> u128 {
    let is_smi = |pin: &u8| {
        rte_indices(*pin).is_some_and(|[low, _]| Lvt::is_smi(read_indexed(registers, low)))
    };
    let pins = (0..version.pins()).filter(is_smi);
    pins.fold(0, |bits, pin| bits | 1 << pin)
}

/// A write of a [`reset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Write the redirection entry.
    Entry(Rte),
    /// Write this vector to the [`EOI`] register.
    Eoi(u8),
}

/// Returns the writes that reset a masked redirection entry, whose current value is `entry`, to
/// [`Rte::MASKED`] with remote IRR clear.
///
/// **Remote IRR** is read-only, and remains set if the EOI that would clear it never arrives,
/// because the previous owner of the pin did not send it, or sent it after the entry had lost its
/// vector (82093AA data sheet, 3.2.4; SDM vol. 3A, 12.8.5). While it is set, the pin sends no
/// interrupts. On an I/O APIC with an EOI register, the entry is made level-triggered with its old
/// vector, and that vector is written to the EOI register; edge-triggered entries ignore an EOI. If
/// another pin of the I/O APIC has the same vector, its level may be sent once more. On older I/O
/// APICs, a change from edge to level clears the bit.
#[must_use]
pub fn reset(entry: Rte, version: IoApicVersion) -> ArrayVec<Write, 3> {
    let with = |trigger| {
        Write::Entry(Rte {
            vector: entry.vector,
            trigger,
            ..Rte::MASKED
        })
    };
    let mut writes = ArrayVec::new();
    if entry.remote_irr && version.has_eoi() {
        writes.push(with(Trigger::Level));
        writes.push(Write::Eoi(entry.vector));
    } else if entry.remote_irr {
        writes.push(with(Trigger::Edge));
        writes.push(with(Trigger::Level));
    }
    writes.push(Write::Entry(Rte::MASKED));
    writes
}

impl fmt::Display for IoApicVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {:#04x}, {} pins", self.number(), self.pins())
    }
}

/// Returns the ID from the ID register: bits 31:24, of which the 82093AA implements four.
#[must_use]
pub const fn id(register: u32) -> u8 {
    (register >> 24) as u8
}

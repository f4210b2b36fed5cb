//! Errors of PCI functions and their drivers.

use core::fmt;
use core::ops::Range;

use tocsin_logic::apic::EncodingError;
use tocsin_logic::pci::Address;
use tocsin_logic::pci::msi::MsiError;

use crate::line::LineError;
use crate::memory::MemoryError;

/// The reason why an operation on a function failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PciError {
    /// No function with these vendor and device IDs.
    NotFound(u16, u16),
    /// No two unclaimed functions with these IDs have their pins at one input.
    NoPair(u16, u16),
    /// No unclaimed PCI Express port supports command completion for its slot and can mask its MSI.
    NoPort,
    /// Another driver has claimed the function.
    Claimed(Address),
    /// The base address register has no range of this type.
    NoRange(Address, u8),
    /// The base address register refers to registers of an interrupt controller or the HPET, or to
    /// configuration space.
    Controller(Address, u8),
    /// These bytes behind the base address register are the MSI-X table or its pending bits.
    MessageTable(Address, u8, Range<u64>),
    /// The range is empty, does not begin at a multiple of 8, or is not behind this base address
    /// register.
    BadPart(Address, u8, Range<u64>),
    /// Firmware assigned no address to the base address register.
    Unassigned(Address, u8),
    /// The range cannot be mapped.
    Memory(Address, MemoryError),
    /// No memory for the device's buffers.
    Buffers(Address, MemoryError),
    /// The function lacks this kind of message; contains the capability's name.
    NoMessages(Address, &'static str),
    /// The function's messages are already claimed.
    MessagesClaimed(Address),
    /// The message table or the pending bits do not fit into their range.
    TableOutside(Address),
    /// The function has no message of this number.
    NoMessage {
        /// The function.
        address: Address,
        /// The number.
        message: u16,
        /// Number of messages of the function.
        messages: u16,
    },
    /// The message cannot be set.
    Message(Address, MsiError),
    /// The function cannot mask its messages individually.
    CannotMask(Address),
    /// Address and data of an unmaskable message would both change, and the device could send a
    /// message with the old value of one and the new value of the other. Change them one after the
    /// other.
    Torn(Address),
    /// The message cannot address the CPU.
    Target(EncodingError),
    /// No line can be created for the interrupt.
    Line(LineError),
    /// The function has no interrupt pin.
    NoPin(Address),
    /// The route of the function's pin is unknown; contains the interrupt line register.
    NoRoute(Address, Option<u8>),
    /// The device violates its specification; contains the observation.
    Device(Address, &'static str),
    /// Interrupts were lost or duplicated.
    Count {
        /// The function.
        address: Address,
        /// Number of interrupts requested.
        sent: u64,
        /// Number of interrupts received.
        received: u64,
    },
}

impl fmt::Display for PciError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(vendor, device) => write!(
                f,
                "no function {vendor:04x}:{device:04x} (`pci` lists the functions)"
            ),
            Self::NoPair(vendor, device) => write!(
                f,
                "no two unclaimed functions {vendor:04x}:{device:04x} with their pins at one input \
                 (QEMU: `-device edu,addr=4 -device edu,addr=8`)"
            ),
            Self::NoPort => {
                f.write_str("no unclaimed PCI Express port with a slot and a maskable MSI")
            }
            Self::Claimed(address) => write!(f, "function {address}: claimed by another driver"),
            Self::NoRange(address, bar) => {
                write!(f, "function {address}: BAR {bar}: no memory range")
            }
            Self::Controller(address, bar) => write!(
                f,
                "function {address}: BAR {bar} has registers that are the kernel's (an interrupt controller's, the \
                 HPET's or configuration space; it is not mapped)"
            ),
            Self::MessageTable(address, bar, range) => write!(
                f,
                "pci: {address}: BAR {bar}: {:#x} to {:#x} is the MSI-X table or its pending bits (map the parts \
                 around it with `map_part`; `msix` sets messages)",
                range.start,
                range.end - 1
            ),
            Self::BadPart(address, bar, range) => write!(
                f,
                "pci: {address}: BAR {bar}: no part from {:#x} up to {:#x} (it must not be empty, must begin at a \
                 multiple of 8, and lie within the BAR)",
                range.start, range.end
            ),
            Self::Unassigned(address, bar) => write!(
                f,
                "function {address}: BAR {bar}: no address assigned by firmware (this kernel assigns none)"
            ),
            Self::Memory(address, error) => write!(f, "function {address}: {error}"),
            Self::Buffers(address, error) => {
                write!(f, "function {address}: no memory for its buffers: {error}")
            }
            Self::NoMessages(address, kind) => {
                write!(f, "function {address} has no usable {kind} capability")
            }
            Self::MessagesClaimed(address) => {
                write!(f, "function {address}: its messages are already in use")
            }
            Self::TableOutside(address) => write!(
                f,
                "function {address}: its MSI-X table or pending bits are outside of their BAR"
            ),
            Self::NoMessage {
                address,
                message,
                messages,
            } => write!(
                f,
                "function {address} has {messages} messages, from 0 on; no message {message}"
            ),
            Self::Message(address, error) => write!(f, "function {address}: {error}"),
            Self::CannotMask(address) => {
                write!(f, "function {address} cannot mask its messages")
            }
            Self::Torn(address) => write!(
                f,
                "function {address} cannot mask its messages (change address and data one after the other)"
            ),
            Self::Target(error) => write!(f, "no message can address the CPU: {error}"),
            Self::Line(error) => error.fmt(f),
            Self::NoPin(address) => write!(f, "function {address} has no interrupt pin"),
            Self::NoRoute(address, None) => write!(
                f,
                "function {address}: the route of its interrupt pin is unknown (interrupt line 255; only \
                 AML describes it)"
            ),
            Self::NoRoute(address, Some(line)) => write!(
                f,
                "function {address}: its interrupt line register has {line}, which is not an ISA interrupt"
            ),
            Self::Device(address, what) => write!(f, "function {address}: {what}"),
            Self::Count {
                address,
                sent,
                received,
            } => write!(
                f,
                "function {address}: {sent} interrupts were sent and {received} received"
            ),
        }
    }
}

impl core::error::Error for PciError {}

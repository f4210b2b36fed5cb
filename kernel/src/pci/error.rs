//! What can go wrong between a driver and its device.

use core::fmt;
use core::ops::Range;

use tocsin_logic::apic::EncodingError;
use tocsin_logic::pci::Address;
use tocsin_logic::pci::msi::MsiError;

use crate::line::LineError;
use crate::memory::MemoryError;

/// Why something cannot be had of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PciError {
    /// No function with these vendor and device IDs.
    NotFound(u16, u16),
    /// No two free functions with these IDs have their pins at one input.
    NoPair(u16, u16),
    /// No free PCI Express port that completes commands to its slot and can mask its MSI.
    NoPort,
    /// Somebody else has the function.
    Claimed(Address),
    /// There is no range of this kind behind this base address register.
    NoRange(Address, u8),
    /// Behind this base address register are registers of an interrupt controller or the HPET, or configuration
    /// space.
    Controller(Address, u8),
    /// These bytes behind this base address register are the MSI-X table or its pending bits.
    MessageTable(Address, u8, Range<u64>),
    /// The range is empty, does not begin at a multiple of 8, or is not behind this base address register.
    BadPart(Address, u8, Range<u64>),
    /// Firmware gave the base address register no address.
    Unassigned(Address, u8),
    /// The range cannot be mapped.
    Memory(Address, MemoryError),
    /// No memory for what the device shall read and write.
    Buffers(Address, MemoryError),
    /// The function sends no messages of this kind; holds the capability's name.
    NoMessages(Address, &'static str),
    /// The function's messages are set up already.
    MessagesTaken(Address),
    /// The table of messages or the pending bits do not fit into the range that they shall be in.
    TableOutside(Address),
    /// The function has no message of this number.
    NoMessage {
        /// The function.
        address: Address,
        /// The number.
        message: u16,
        /// How many it has.
        messages: u16,
    },
    /// The message cannot be set.
    Message(Address, MsiError),
    /// The function cannot mask its messages one by one.
    CannotMask(Address),
    /// Address and data of a message that cannot be masked would change at once, and a message in
    /// between would be a mixture of old and new. Change one, then the other.
    Torn(Address),
    /// The message cannot name the CPU.
    Target(EncodingError),
    /// There is no line to answer the interrupt.
    Line(LineError),
    /// The function has no interrupt pin.
    NoPin(Address),
    /// Where the function's pin arrives is not known: the interrupt line register holds this.
    NoRoute(Address, Option<u8>),
    /// The device does not behave as its specification says; holds what was seen.
    Device(Address, &'static str),
    /// Interrupts were lost or doubled.
    Count {
        /// The function.
        address: Address,
        /// How many it was made to send.
        sent: u64,
        /// How many came.
        received: u64,
    },
}

impl fmt::Display for PciError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(vendor, device) => write!(
                f,
                "there is no function {vendor:04x}:{device:04x}; `pci` lists those there are"
            ),
            Self::NoPair(vendor, device) => write!(
                f,
                "there are no two free functions {vendor:04x}:{device:04x} with their pins at one input; \
                 QEMU has them with `-device edu,addr=4 -device edu,addr=8`"
            ),
            Self::NoPort => f.write_str(
                "there is no free PCI Express port with a slot and an MSI that can be masked",
            ),
            Self::Claimed(address) => write!(f, "function {address} belongs to another driver"),
            Self::NoRange(address, bar) => {
                write!(f, "function {address} has no memory behind BAR {bar}")
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
                "function {address}: firmware gave BAR {bar} no address, and this kernel assigns none"
            ),
            Self::Memory(address, error) => write!(f, "function {address}: {error}"),
            Self::Buffers(address, error) => {
                write!(f, "function {address}: no memory for its buffers: {error}")
            }
            Self::NoMessages(address, kind) => {
                write!(f, "function {address} has no usable {kind} capability")
            }
            Self::MessagesTaken(address) => {
                write!(f, "function {address}: its messages are set up already")
            }
            Self::TableOutside(address) => write!(
                f,
                "function {address}: its MSI-X table or pending bits are not in the memory it names"
            ),
            Self::NoMessage {
                address,
                message,
                messages,
            } => write!(
                f,
                "function {address} has {messages} messages, from 0 on, and so no message {message}"
            ),
            Self::Message(address, error) => write!(f, "function {address}: {error}"),
            Self::CannotMask(address) => {
                write!(f, "function {address} cannot mask its messages")
            }
            Self::Torn(address) => write!(
                f,
                "function {address} cannot mask its messages: change address and data one after the other"
            ),
            Self::Target(error) => write!(f, "no message can name the CPU: {error}"),
            Self::Line(error) => error.fmt(f),
            Self::NoPin(address) => write!(f, "function {address} has no interrupt pin"),
            Self::NoRoute(address, None) => write!(
                f,
                "function {address}: where its interrupt pin arrives is not known (interrupt line 255); \
                 only ACPI's language could tell"
            ),
            Self::NoRoute(address, Some(line)) => write!(
                f,
                "function {address}: its interrupt line register holds {line}, which is no ISA interrupt"
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

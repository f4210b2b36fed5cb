//! Interrupt messages by MSI-X: a table in the device's memory, with a separate address, data and
//! mask bit for each message.
//!
//! Each message has its own owner, so that each can belong to a different driver queue and CPU.
//! Masking a message takes no lock, and handlers may do it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use tocsin_logic::pci::msix::{self, ENTRY_SIZE, Location, VECTOR_CONTROL};
use tocsin_logic::pci::{MsixCapability, command};

use super::device::{Claim, Device};
use super::{PciError, Window};
use crate::line::{MessageTarget, Messages};

/// The MSI-X messages of a device. MSI-X is disabled when this and all messages claimed from it are
/// dropped.
#[derive(Debug)]
pub struct Msix {
    table: Arc<Table>,
}

#[derive(Debug)]
struct Table {
    claim: Arc<Claim>,
    capability: MsixCapability,
    entries: Window,
    pending: Window,
    claimed: Box<[AtomicBool]>,
}

/// One MSI-X message, masked until a line is [attached](crate::line::Line::attach) to it. Dropping
/// it masks the message.
#[derive(Debug)]
pub struct MsixMessage {
    table: Arc<Table>,
    index: u16,
}

impl Msix {
    pub(super) fn new(claim: &Arc<Claim>, device: &Device) -> Result<Self, PciError> {
        let function = claim.function;
        let capability = function
            .msix
            .ok_or(PciError::NoMessages(function.address, "MSI-X"))?;
        let window = |location: Location, bytes| {
            let (_, size) = device.range(location.bar)?;
            if !MsixCapability::fits(location, bytes, size) {
                return Err(PciError::TableOutside(function.address));
            }
            let start = u64::from(location.offset);
            device.map_any(location.bar, start..start + u64::from(bytes))
        };
        let entries = window(capability.table, capability.table_size())?;
        let pending = window(capability.pending, capability.pending_size())?;
        claim.claim_messages()?;
        // From here on, dropping the table reverts all changes.
        let table = Table {
            claim: Arc::clone(claim),
            capability,
            entries,
            pending,
            claimed: (0..capability.messages())
                .map(|_| AtomicBool::new(false))
                .collect(),
        };
        function.change(command::OFFSET, |register| {
            command::changed(register, command::INTX_DISABLE, 0)
        });
        // On some devices the table exists only while MSI-X is enabled. MSI-X is therefore enabled
        // with the function mask set, then each message is masked, and only then is the function
        // mask cleared.
        table.set_control(true, true);
        for index in 0..capability.messages() {
            table.set_masked(index, true);
        }
        table.set_control(true, false);
        Ok(Self {
            table: Arc::new(table),
        })
    }

    /// Number of messages that the device can send: 1 to 2048.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn messages(&self) -> u16 {
        self.table.capability.messages()
    }

    /// Takes message `index`, which is masked.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`PciError::NoMessage`]; [`PciError::MessagesClaimed`], if it is already claimed.
    pub fn claim(&self, index: u16) -> Result<MsixMessage, PciError> {
        let address = self.table.claim.function.address;
        let claimed = self.table.claimed.get(usize::from(index));
        let claimed = claimed.ok_or(PciError::NoMessage {
            address,
            message: index,
            messages: self.messages(),
        })?;
        if claimed.swap(true, Ordering::Acquire) {
            return Err(PciError::MessagesClaimed(address));
        }
        Ok(MsixMessage {
            table: Arc::clone(&self.table),
            index,
        })
    }
}

impl Table {
    fn set_control(&self, enabled: bool, masked: bool) {
        let control = self.capability.control();
        self.claim.function.change(control, |register| {
            MsixCapability::with(register, enabled, masked)
        });
    }

    /// Offset of an entry's register in its window.
    fn location(index: u16, register: u32) -> u64 {
        u64::from(u32::from(index) * ENTRY_SIZE + register)
    }

    fn vector_control(&self, index: u16) -> u32 {
        self.entries.read(Self::location(index, VECTOR_CONTROL))
    }

    fn set_masked(&self, index: u16, masked: bool) {
        let value = msix::with_mask(self.vector_control(index), masked);
        self.entries
            .write(Self::location(index, VECTOR_CONTROL), value);
    }
}

impl MsixMessage {
    /// The index of the message.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.index
    }
}

impl Messages for MsixMessage {
    fn can_mask(&self) -> bool {
        true
    }

    /// The message is masked while it changes; the device sends a pending message after the unmask.
    fn set(&mut self, target: &MessageTarget) -> Result<(), String> {
        let table = &self.table;
        if target.count() != 1 {
            return Err(format!(
                "pci: {self}: one message, but the line has {} vectors (take one vector, or MSI)",
                target.count()
            ));
        }
        let control = table.vector_control(self.index);
        for (register, value) in msix::entry_writes(target.first(), control) {
            table
                .entries
                .write(Table::location(self.index, register), value);
        }
        self.flush();
        Ok(())
    }

    fn set_masked(&mut self, masked: bool) {
        self.table.set_masked(self.index, masked);
        self.flush();
    }

    fn is_pending(&self) -> bool {
        let table = &self.table;
        let word = u64::from(self.index / 32) * 4;
        table.pending.read::<u32>(word) >> (self.index % 32) & 1 != 0
    }

    /// A read completion is ordered after earlier writes of the device (PCI, 3.2.5).
    fn flush(&self) {
        self.table.vector_control(self.index);
    }
}

impl fmt::Display for MsixMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.table.claim.function.address;
        write!(f, "MSI-X {} of {address}", self.index)
    }
}

impl Drop for MsixMessage {
    fn drop(&mut self) {
        self.table.set_masked(self.index, true);
        self.flush();
        self.table.claimed[usize::from(self.index)].store(false, Ordering::Release);
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.set_control(false, true);
        self.claim.release_messages();
    }
}

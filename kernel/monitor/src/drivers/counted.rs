//! The common part of the drivers in this folder. Their devices have little use by themselves: the
//! drivers verify that every interrupt of a device is received once, at the right time and on the
//! right CPU.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use tocsin_logic::vector::PriorityClass;

use super::TIMEOUT;
use tocsin::line::{Line, Messages, Request, Source};
use tocsin::pci::PciError;
use tocsin::time;

/// The maximum number of messages of one line.
const MESSAGES: usize = 16;

/// A line for messages that only counts them.
#[derive(Debug)]
pub struct CountedLine {
    line: Line,
    /// The number of times each message was received.
    received: Arc<[AtomicU64; MESSAGES]>,
    /// The message that the driver waits for.
    number: u8,
}

/// The result of a message that was masked when the device had a reason to send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskedMessage {
    /// Whether the device set the message's pending bit.
    pub pending: bool,
    /// The number of messages that were received although the message was masked.
    pub received_masked: u64,
    /// Whether the message was received when it was unmasked.
    pub received_unmasked: bool,
}

impl MaskedMessage {
    /// Returns whether masking worked.
    ///
    /// Context: any.
    #[must_use]
    pub fn is_right(self) -> bool {
        self.pending && self.received_masked == 0 && self.received_unmasked
    }
}

impl CountedLine {
    /// Creates a line for `count` messages, 1 to 16, of which the driver waits for message
    /// `number`.
    pub(super) fn new(
        name: &'static str,
        class: PriorityClass,
        cpu: u32,
        messages: impl Messages + 'static,
        count: u8,
        number: u8,
    ) -> Result<Self, PciError> {
        let received = Arc::new([const { AtomicU64::new(0) }; MESSAGES]);
        let handler = {
            let received = Arc::clone(&received);
            move |number: u8| {
                received[usize::from(number)].fetch_add(1, Ordering::Release);
            }
        };
        let request = Request {
            name,
            source: Source::Message,
            class,
            cpu,
        };
        let line = Line::block(request, count, handler).map_err(PciError::Line)?;
        line.attach(messages).map_err(PciError::Line)?;
        Ok(Self {
            line,
            received,
            number,
        })
    }

    /// The line.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Returns the number of times the message that the driver waits for was received.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received[usize::from(self.number)].load(Ordering::Acquire)
    }

    /// Returns the number of messages of the line, and the message that the driver waits for.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn number(&self) -> (u8, u8) {
        (self.line.describe().count, self.number)
    }

    /// Waits until more than `before` messages have been received. Returns whether they have.
    pub(super) fn wait_beyond(&self, before: u64) -> bool {
        time::wait_until(TIMEOUT, || self.received() > before)
    }

    /// Masks the message, makes the device send it by calling `cause`, and unmasks it when its
    /// pending bit is set.
    pub(super) fn send_masked(
        &self,
        cause: impl FnOnce() -> Result<(), PciError>,
    ) -> Result<MaskedMessage, PciError> {
        let before = self.received();
        self.line.set_masked(true);
        let caused = cause();
        let pending = caused.is_ok() && time::wait_until(TIMEOUT, || self.line.is_pending());
        let received_masked = self.received() - before;
        self.line.set_masked(false);
        caused?;
        let received_unmasked = self.wait_beyond(before + received_masked);
        Ok(MaskedMessage {
            pending,
            received_masked,
            received_unmasked,
        })
    }
}

//! What the drivers here have in common. Their devices are of little use by themselves: they are
//! there to show that what a device sends is received once, when it should be, and where.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use tocsin_logic::vector::PriorityClass;

use tocsin::line::{Line, Messages, Request, Source};
use tocsin::pci::PciError;
use tocsin::time;

/// How long to wait for a device before what it should do counts as not done, in nanoseconds.
const PATIENCE: u64 = 2_000_000_000;

/// Most messages of one line.
const MESSAGES: usize = 16;

/// A line for messages that only counts them.
#[derive(Debug)]
pub struct CountedLine {
    line: Line,
    /// How often each message has come.
    received: Arc<[AtomicU64; MESSAGES]>,
    /// The message that the driver waits for.
    number: u8,
}

/// What became of a message that was masked when the device had reason to send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whether the device noted it as pending.
    pub pending: bool,
    /// Messages that came although it was masked.
    pub came_masked: u64,
    /// Whether it came when the mask was taken away.
    pub came_after: bool,
}

impl Held {
    /// Whether masking worked.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn is_right(self) -> bool {
        self.pending && self.came_masked == 0 && self.came_after
    }
}

impl CountedLine {
    /// A line that `count` messages make come, 1 to 16, of which the driver waits for message `number`.
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

    /// How often the message that the driver waits for has come.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received[usize::from(self.number)].load(Ordering::Acquire)
    }

    /// How many messages the line has, and which the driver waits for.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn number(&self) -> (u8, u8) {
        (self.line.describe().count, self.number)
    }

    /// Waits until more than `before` messages have come. Returns whether they have.
    pub(super) fn wait_beyond(&self, before: u64) -> bool {
        time::wait_until(PATIENCE, || self.received() > before)
    }

    /// Masks the message, gives the device reason to send it by `cause`, and unmasks it again when it
    /// is noted as pending.
    pub(super) fn hold(
        &self,
        cause: impl FnOnce() -> Result<(), PciError>,
    ) -> Result<Held, PciError> {
        let before = self.received();
        self.line.set_masked(true);
        let caused = cause();
        let pending = caused.is_ok() && time::wait_until(PATIENCE, || self.line.is_pending());
        let came_masked = self.received() - before;
        self.line.set_masked(false);
        caused?;
        let came_after = self.wait_beyond(before + came_masked);
        Ok(Held {
            pending,
            came_masked,
            came_after,
        })
    }
}

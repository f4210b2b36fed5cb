//! The records of the drivers' runs, which `edu`, `port`, `shared` and `virtio` have in common.

use alloc::string::String;
use core::fmt;

use serde::Serialize;
use tocsin_logic::pci::Address;

use crate::commands::lines::RouteRecord;
use crate::drivers::edu::Tally;
use crate::drivers::{CountedLine, MaskedMessage};
use crate::record::as_text;
use tocsin::line::Line;

/// A device whose driver runs.
#[derive(Serialize)]
pub(super) struct DeviceRecord {
    pub(super) device: &'static str,
    #[serde(serialize_with = "as_text")]
    pub(super) address: Address,
    /// The major and the minor version of an `edu` device.
    pub(super) version: Option<(u8, u8)>,
}

impl fmt::Display for DeviceRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = match self.device {
            "virtio_rng" => "virtio entropy device",
            "port" => "PCI Express port",
            device => device,
        };
        write!(f, "{title} {}", self.address)?;
        match self.version {
            Some((major, minor)) => write!(f, ", version {major}.{minor}"),
            None => Ok(()),
        }
    }
}

/// The binding of a device's interrupts to a handler.
#[derive(Serialize)]
pub(super) struct BindingRecord {
    method: &'static str,
    cpu: u32,
    /// The first vector, and the number of messages.
    vector: u8,
    messages: u8,
    /// The message that the device sends.
    message: u8,
    /// The route of a pin.
    route: Option<RouteRecord>,
    #[serde(skip)]
    source: String,
}

impl BindingRecord {
    pub(super) fn of(method: &'static str, line: &Line) -> Self {
        let line = line.describe();
        Self {
            method,
            cpu: line.cpu,
            vector: line.first.get(),
            messages: line.count,
            message: 0,
            route: line.pin.map(RouteRecord::of),
            source: line.source,
        }
    }

    pub(super) fn of_message(method: &'static str, counted: &CountedLine) -> Self {
        let (messages, message) = counted.number();
        Self {
            messages,
            message,
            ..Self::of(method, counted.line())
        }
    }
}

impl fmt::Display for BindingRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            "msi" => "MSI",
            "msix" => "MSI-X",
            method => method,
        };
        let (vector, cpu) = (self.vector, self.cpu);
        write!(f, "  {method}: ")?;
        match self.messages {
            1 => write!(f, "vector {vector:#04x} of CPU {cpu}")?,
            count => write!(
                f,
                "{count} messages, vector {vector:#04x} of CPU {cpu} and up; message {}",
                self.message
            )?,
        }
        match self.route {
            Some(_) => write!(f, ", {}", self.source),
            None => Ok(()),
        }
    }
}

/// Interrupts that an `edu` device sent one after the other, with a value each.
#[derive(Serialize)]
pub(super) struct EduRunRecord {
    #[serde(serialize_with = "as_text")]
    pub(super) address: Address,
    pub(super) run: &'static str,
    /// The computation that the interrupt reports: the number and its factorial.
    pub(super) factorial: Option<(u32, u32)>,
    sent: u64,
    received: u64,
    /// The sums of the values.
    values_sent: u64,
    values_received: u64,
    without_value: u64,
}

impl EduRunRecord {
    pub(super) fn of(address: Address, run: &'static str, tally: &Tally) -> Self {
        Self {
            address,
            run,
            factorial: None,
            sent: tally.sent,
            received: tally.received,
            values_sent: tally.values_sent,
            values_received: tally.values_received,
            without_value: tally.empty,
        }
    }
}

impl fmt::Display for EduRunRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = match self.run {
            "first_alone" => "first alone",
            "second_alone" => "second alone",
            "handler_added_and_removed" => "second, while a handler is added and removed",
            run => run,
        };
        write!(f, "    {title}")?;
        if let Some((number, result)) = self.factorial {
            write!(f, "({number}) = {result}")?;
        }
        write!(
            f,
            ": {} sent, {} received; values {} sent, {} received; {} without value",
            self.sent, self.received, self.values_sent, self.values_received, self.without_value
        )
    }
}

/// Messages that a device sent one after the other.
#[derive(Serialize)]
pub(super) struct MessageRunRecord {
    #[serde(serialize_with = "as_text")]
    pub(super) address: Address,
    pub(super) cpu: u32,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// The bytes that the device returned with them.
    pub(super) bytes: Option<u64>,
}

impl fmt::Display for MessageRunRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, received, .. } = self;
        match self.bytes {
            Some(bytes) => write!(f, "    {sent} requests, {bytes} random bytes")?,
            None => write!(f, "    {sent} commands")?,
        }
        write!(f, ": {received} messages received")
    }
}

/// A message that was masked when the device sent it.
#[derive(Serialize)]
pub(super) struct MaskedRecord {
    #[serde(serialize_with = "as_text")]
    address: Address,
    pending: bool,
    received_masked: u64,
    received_unmasked: bool,
}

impl MaskedRecord {
    pub(super) fn of(address: Address, message: MaskedMessage) -> Self {
        Self {
            address,
            pending: message.pending,
            received_masked: message.received_masked,
            received_unmasked: message.received_unmasked,
        }
    }
}

impl fmt::Display for MaskedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |it| if it { "yes" } else { "no" };
        write!(
            f,
            "    masked: pending {}, {} received; unmasked: received {}",
            yes(self.pending),
            self.received_masked,
            yes(self.received_unmasked)
        )
    }
}

/// Interrupts that two devices with a common input raised while it was masked.
#[derive(Serialize)]
pub(super) struct SharedRunRecord {
    pub(super) rounds: u64,
    pub(super) interrupts: u64,
    /// The interrupts that the handler of each device claimed.
    pub(super) claimed: (u64, u64),
}

impl fmt::Display for SharedRunRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rounds,
            interrupts,
            claimed,
        } = self;
        let (first, second) = claimed;
        write!(
            f,
            "    both at once, {rounds} times: {interrupts} interrupts, {first} for the first, \
             {second} for the second"
        )
    }
}

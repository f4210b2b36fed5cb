//! Drivers of QEMU devices that interrupt on request, for demonstrations and tests of lines and
//! messages.

mod counted;
pub mod edu;
pub mod port;
mod virtio;
pub mod virtio_mmio;
pub mod virtio_rng;

/// The timeout for an interrupt, and for an operation that a device completes immediately, in
/// nanoseconds. It is long because an emulated device may have to wait for its host.
const TIMEOUT: u64 = 2_000_000_000;

pub use counted::{CountedLine, MaskedMessage};

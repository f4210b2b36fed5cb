//! Drivers of QEMU's devices that interrupt when they are told to: demonstrations and tests of lines and messages.

mod counted;
pub mod edu;
pub mod port;
mod virtio;
pub mod virtio_mmio;
pub mod virtio_rng;

/// How long a device may take for what it does at once, in nanoseconds. Long, because an emulated one may have to
/// wait for its host.
const PATIENCE: u64 = 2_000_000_000;

pub use counted::{CountedLine, Held};

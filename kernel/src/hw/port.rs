//! Accesses to I/O ports.
//!
//! The accesses of the `x86_64` crate are declared as not touching memory. A device may read or
//! write memory on an access, so each access here is also a compiler barrier. The CPU itself keeps
//! the order (SDM vol. 1, 18.6).

use core::sync::atomic::{Ordering, compiler_fence};

use x86_64::instructions::port::{Port, PortRead, PortWrite};

/// Reads a port.
///
/// # Safety
///
/// The side effects of the read must be intended.
#[inline]
pub(crate) unsafe fn read<T: PortRead>(port: u16) -> T {
    compiler_fence(Ordering::SeqCst);
    // SAFETY: Passed on to the caller.
    let value = unsafe { Port::new(port).read() };
    compiler_fence(Ordering::SeqCst);
    value
}

/// Writes to a port. Earlier stores are visible to the device.
///
/// # Safety
///
/// The effects of the write must be intended, including the device's accesses to memory.
#[inline]
pub(crate) unsafe fn write<T: PortWrite>(port: u16, value: T) {
    compiler_fence(Ordering::SeqCst);
    // SAFETY: Passed on to the caller.
    unsafe { Port::new(port).write(value) };
    compiler_fence(Ordering::SeqCst);
}

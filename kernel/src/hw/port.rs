//! Accesses to I/O ports.
//!
//! The `x86_64` crate's promise the compiler that they touch no memory. A device does, or reads it: so here
//! each is a barrier for the compiler. The processor keeps the order itself (SDM vol. 1, 18.6).

use core::sync::atomic::{Ordering, compiler_fence};

use x86_64::instructions::port::{Port, PortRead, PortWrite};

/// Reads a port.
///
/// # Safety
///
/// What the read does to the device must be meant.
#[inline]
pub(crate) unsafe fn read<T: PortRead>(port: u16) -> T {
    compiler_fence(Ordering::SeqCst);
    // SAFETY: passed on to the caller.
    let value = unsafe { Port::new(port).read() };
    compiler_fence(Ordering::SeqCst);
    value
}

/// Writes to a port. The device finds what was stored before.
///
/// # Safety
///
/// What the device does must be meant, to memory too.
#[inline]
pub(crate) unsafe fn write<T: PortWrite>(port: u16, value: T) {
    compiler_fence(Ordering::SeqCst);
    // SAFETY: passed on to the caller.
    unsafe { Port::new(port).write(value) };
    compiler_fence(Ordering::SeqCst);
}

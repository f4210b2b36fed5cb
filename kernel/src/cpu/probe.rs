//! Accesses that may fault, and then only say so.
//!
//! A page fault in one of the two instructions here continues at a place that returns the failure. It
//! is for addresses of which nobody knows whether they are mapped, and for tests of the mapping.

use core::arch::global_asm;

use super::entry::TrapFrame;

global_asm!(
    r#"
    .section .text.entry, "ax"
    // rdi: address, rsi: where the value goes. Returns whether it was read.
probe_read:
    mov rax, [rdi]
    mov [rsi], rax
    mov eax, 1
    ret
    // rdi: address, rsi: value. Returns whether it was written.
probe_write:
    mov [rdi], rsi
    mov eax, 1
    ret
    // Raises #UD, with an instruction of two bytes.
    .global probe_undefined
probe_undefined:
    ud2
probe_failed:
    xor eax, eax
    ret
    .text
    "#
);

unsafe extern "C" {
    fn probe_read(address: u64, value: *mut u64) -> bool;
    fn probe_write(address: u64, value: u64) -> bool;
    /// Executes UD2. Returns through the handler of the exception.
    ///
    /// Context: any but NMI.
    #[cfg(feature = "bench")]
    pub fn probe_undefined() -> bool;
    static probe_failed: u8;
}

/// The 8 bytes at `address`; `None` if they are not mapped. Any context but NMI and #MC, whose stacks a
/// fault must not leave by IRET.
///
/// Context: any but NMI.
///
/// # Safety
///
/// If it is mapped, reading there must have no effect.
#[must_use]
pub unsafe fn read(address: u64) -> Option<u64> {
    let mut value = 0;
    // SAFETY: 1. A fault of the access itself is caught. 2. The rest is the caller's to know.
    unsafe { probe_read(address, &raw mut value) }.then_some(value)
}

/// Writes 8 bytes to `address`. Returns whether they are mapped so that this is allowed. Any context
/// but NMI and #MC.
///
/// Context: any but NMI.
///
/// # Safety
///
/// If it is mapped for writing, the memory must be the caller's to write.
#[must_use]
pub unsafe fn write(address: u64, value: u64) -> bool {
    // SAFETY: 1. A fault of the access itself is caught. 2. The rest is the caller's to know.
    unsafe { probe_write(address, value) }
}

/// Executes an undefined instruction, and goes on: for measuring what an exception costs. Any context but
/// NMI and #MC.
///
/// Context: any but NMI.
#[cfg(feature = "bench")]
#[inline]
pub fn undefined() {
    // SAFETY: 1. The fault is caught.
    let _ = unsafe { probe_undefined() };
}

/// Lets a fault of one of the accesses go on where it is reported. Returns whether it was one.
pub(super) fn recover(frame: &mut TrapFrame) -> bool {
    let accesses = [
        #[cfg(feature = "bench")]
        {
            probe_undefined as *const () as u64
        },
        probe_read as *const () as u64,
        probe_write as *const () as u64,
    ];
    let is_access = accesses.contains(&frame.rip);
    if is_access {
        frame.rip = &raw const probe_failed as u64;
    }
    is_access
}

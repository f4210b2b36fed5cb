//! Probing accesses, which return a failure if they fault.
//!
//! A page fault in one of the two access instructions here continues at code that returns the
//! failure. The functions are for addresses that may be unmapped, and for tests of the mapping.

use core::arch::global_asm;

use crate::cpu::trap_frame::TrapFrame;

global_asm!(
    r#"
    .section .text.entry, "ax"
    // Three functions that begin with an instruction that may fault. No other instruction from
    // the first to the third can raise #PF or #UD.
    // rdi: address, rsi: where the value goes. Returns whether it was read.
probe_read:
    mov rax, [rdi]
    jmp 1f
    // rdi: address, rsi: value. Returns whether it was written.
probe_write:
    mov [rdi], rsi
    jmp 2f
    // Raises #UD, with an instruction of two bytes.
    .global probe_undefined
probe_undefined:
    ud2
probe_failed:
    xor eax, eax
    ret
1:  mov [rsi], rax
2:  mov eax, 1
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
    pub fn probe_undefined() -> bool;
    static probe_failed: u8;
}

/// Reads the 8 bytes at `address`; `None` if they are not mapped. NMI and #MC handlers must not
/// call it, because the IRET of a fault would unblock further NMIs.
///
/// Context: any but NMI.
///
/// # Safety
///
/// If the address is mapped, a read there must have no side effect.
#[must_use]
pub unsafe fn read(address: u64) -> Option<u64> {
    let mut value = 0;
    // SAFETY: A fault of the access itself is handled. The caller guarantees the rest.
    unsafe { probe_read(address, &raw mut value) }.then_some(value)
}

/// Writes 8 bytes to `address`. Returns whether the address is mapped as writable. NMI and #MC
/// handlers must not call it.
///
/// Context: any but NMI.
///
/// # Safety
///
/// If the address is mapped as writable, the memory must belong to the caller.
#[must_use]
pub unsafe fn write(address: u64, value: u64) -> bool {
    // SAFETY: A fault of the access itself is handled. The caller guarantees the rest.
    unsafe { probe_write(address, value) }
}

/// Executes an undefined instruction, and returns: for measuring the cost of an exception. NMI and
/// #MC handlers must not call it.
///
/// Context: any but NMI.
#[cfg(feature = "bench")]
#[inline]
pub fn undefined() {
    // SAFETY: The fault is handled.
    let _ = unsafe { probe_undefined() };
}

/// Redirects a fault of one of the three instructions to the code that returns the failure. Returns
/// whether the fault was one of these.
#[inline]
pub(super) fn recover(frame: &mut TrapFrame) -> bool {
    let first = probe_read as *const () as u64;
    let last = probe_undefined as *const () as u64;
    let is_probe = (first..=last).contains(&frame.rip);
    if is_probe {
        frame.rip = &raw const probe_failed as u64;
    }
    is_probe
}

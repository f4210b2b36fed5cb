//! The redirectable stubs of three vectors and of #UD, which jump to an address in memory: by
//! default to the common entry code. Benchmarks redirect them to other entry code, to measure both
//! in the same boot.
//!
//! Only with the feature `bench`: the addresses are writable, and an attacker who changes one
//! executes code in the kernel.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::cpu::handlers::{MEASURED, UNDEFINED};

global_asm!(
    r#"
    .section .text.entry, "ax"
    .global entry_measured_0, entry_measured_1, entry_measured_2, entry_measured_3
entry_measured_0:
    push rsi
    mov esi, {m0}
    jmp entry_interrupt
entry_measured_1:
    push rsi
    mov esi, {m1}
    jmp entry_interrupt
entry_measured_2:
    push rsi
    mov esi, {m2}
    jmp entry_interrupt
entry_measured_3:
    push 0
    push {undefined}
    jmp entry_common

    .pushsection .data.entry_measured, "aw"
    .balign 8
    .global entry_measured
entry_measured:
    .quad entry_measured_0, entry_measured_1, entry_measured_2, entry_measured_3
    .popsection
    .text
    "#,
    m0 = const MEASURED[0],
    m1 = const MEASURED[1],
    m2 = const MEASURED[2],
    undefined = const UNDEFINED,
);

unsafe extern "C" {
    static entry_measured_0: u8;
    static entry_measured_1: u8;
    static entry_measured_2: u8;
    /// The default code of #UD's stub.
    pub static entry_measured_3: u8;
    static entry_measured: [AtomicU64; MEASURED.len() + 1];
}

/// The default code of the stubs of the [`MEASURED`] vectors, followed by that of [`UNDEFINED`].
///
/// Context: any.
///
/// # Panics
///
/// If there is no stub with this index.
#[must_use]
pub fn ordinary(index: usize) -> u64 {
    let own = [
        &raw const entry_measured_0,
        &raw const entry_measured_1,
        &raw const entry_measured_2,
        &raw const entry_measured_3,
    ];
    own[index] as u64
}

/// Redirects the stub of a [`MEASURED`] vector, or with the next index that of [`UNDEFINED`], to
/// the code at an address, on all CPUs.
///
/// Context: any.
///
/// # Panics
///
/// If there is no stub with this index.
///
/// # Safety
///
/// The code must perform the complete interrupt entry, for any code that it may interrupt.
pub unsafe fn set_measured(index: usize, code: u64) {
    // SAFETY: The words exist, and are only accessed as atomics and by the stubs.
    let words = unsafe { &entry_measured };
    words[index].store(code, Ordering::SeqCst);
}

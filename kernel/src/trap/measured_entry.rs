//! The redirectable stubs of three vectors and of #UD, which jump to an address in memory: by
//! default to the common entry code. Benchmarks redirect them to other entry code, to measure both
//! in the same boot.
//!
//! Only with the feature `bench`: the addresses are writable, and an attacker who changes one
//! executes code in the kernel.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use tocsin_logic::apic::Mode;

use super::idt;
use crate::cpu::handlers::{MEASURED, UNDEFINED};

global_asm!(
    r#"
    .section .text.entry, "ax"
    .macro measured_entry mode
entry_measured_0_\mode:
    push rsi
    mov esi, {m0}
    jmp entry_interrupt_\mode
entry_measured_1_\mode:
    push rsi
    mov esi, {m1}
    jmp entry_interrupt_\mode
entry_measured_2_\mode:
    push rsi
    mov esi, {m2}
    jmp entry_interrupt_\mode

    .pushsection .data.entry_measured, "aw"
    .balign 8
    .global entry_measured_\mode
entry_measured_\mode:
    .quad entry_measured_0_\mode, entry_measured_1_\mode, entry_measured_2_\mode
    .quad entry_measured_3
    .popsection

    .pushsection .rodata.entry_measured, "a"
    .balign 8
    .global entry_default_\mode
entry_default_\mode:
    .quad entry_measured_0_\mode, entry_measured_1_\mode, entry_measured_2_\mode
    .quad entry_measured_3
    .popsection
    .endm

    measured_entry x2apic
    measured_entry xapic

    .global entry_measured_3
entry_measured_3:
    push 0
    push {undefined}
    jmp entry_common
    .text
    "#,
    m0 = const MEASURED[0],
    m1 = const MEASURED[1],
    m2 = const MEASURED[2],
    undefined = const UNDEFINED,
);

/// A code address for each stub.
type Codes<T> = [T; MEASURED.len() + 1];

unsafe extern "C" {
    /// The default code of #UD's stub.
    pub static entry_measured_3: u8;
    static entry_measured_x2apic: Codes<AtomicU64>;
    static entry_measured_xapic: Codes<AtomicU64>;
    safe static entry_default_x2apic: Codes<u64>;
    safe static entry_default_xapic: Codes<u64>;
}

/// The default code of the stubs of the [`MEASURED`] vectors, followed by that of [`UNDEFINED`], in
/// the mode of the local APICs.
///
/// Context: any.
///
/// # Panics
///
/// If there is no stub with this index.
#[must_use]
pub fn default_entry(index: usize) -> u64 {
    match idt::mode() {
        Mode::X2Apic => entry_default_x2apic[index],
        Mode::XApic => entry_default_xapic[index],
    }
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
    let words = match idt::mode() {
        // SAFETY: The words exist, and are only accessed as atomics and by the stubs.
        Mode::X2Apic => unsafe { &entry_measured_x2apic },
        // SAFETY: As above.
        Mode::XApic => unsafe { &entry_measured_xapic },
    };
    words[index].store(code, Ordering::SeqCst);
}

//! The interrupt descriptor table: one for all CPUs, in a page of its own, read-only.
//!
//! It is filled before the kernel's page tables exist; those map its page read-only and omit it
//! from the direct map, so from then on no address can change it while CR0.WP is set. A gate is
//! never changed again: the handler of a vector is in tables that the entry code reads.

use core::cell::UnsafeCell;

use tocsin_logic::gate::{Gate64, GateError};
use tocsin_logic::layout::StackKind;
use x86_64::VirtAddr;
use x86_64::instructions::tables::{lidt, sidt};
use x86_64::structures::DescriptorTablePointer;

use super::entry;
use crate::cpu::segments;

/// Vector of the breakpoint exception, the one gate that ring 3 may call.
const BREAKPOINT: u8 = 3;

/// The IDT. Exactly one page, so that no other data shares its permissions.
#[repr(C, align(4096))]
struct Idt(UnsafeCell<[[u64; 2]; 256]>);

// SAFETY: It is written once by `fill`, before a second CPU runs, and read by processors.
unsafe impl Sync for Idt {}

#[unsafe(link_section = ".idt")]
static IDT: Idt = Idt(UnsafeCell::new([[0; 2]; 256]));

/// The gate of `vector`.
///
/// All are interrupt gates (IF is cleared on entry), so that a handler starts with interrupts
/// disabled and decides itself when others may nest. DPL is 0 except for #BP: with DPL 3, ring 3
/// could fake a device's interrupt or a fault by `int n` (SDM vol. 3A, 7.12.1.2).
fn gate(vector: u8) -> Result<Gate64, GateError> {
    let mut gate = Gate64::interrupt(entry::stub(vector), segments::KERNEL_CODE);
    if vector == BREAKPOINT {
        gate = gate.with_dpl(3)?;
    }
    if let Some(ist) = StackKind::of(vector).and_then(StackKind::ist) {
        gate = gate.with_ist(ist)?;
    }
    Ok(gate)
}

/// Writes all 256 gates.
///
/// # Safety
///
/// Must be called once, while the page is still writable and no CPU uses the table.
pub(crate) unsafe fn fill() {
    for vector in 0..=u8::MAX {
        let gate = gate(vector).expect("stub addresses are canonical; DPL and IST are constants");
        // SAFETY: The caller guarantees it. `vector` is within the 256 entries.
        unsafe { (*IDT.0.get())[usize::from(vector)] = gate.to_words() };
    }
}

/// Loads the table into this CPU's IDTR.
pub(crate) fn load() {
    let pointer = DescriptorTablePointer {
        limit: 256 * 16 - 1,
        base: VirtAddr::new(address()),
    };
    // SAFETY: The table is static and its gates lead to the entry stubs.
    unsafe { lidt(&pointer) };
}

/// Address of the table.
///
/// Context: any.
#[must_use]
pub fn address() -> u64 {
    IDT.0.get() as u64
}

/// Base and limit (last valid byte) in this CPU's IDTR.
///
/// Context: any.
#[must_use]
pub fn register() -> (u64, u16) {
    let pointer = sidt();
    (pointer.base.as_u64(), pointer.limit)
}

/// The 16 bytes of `vector`'s gate in memory, low half first.
///
/// Context: any.
#[must_use]
pub fn words(vector: u8) -> [u64; 2] {
    // SAFETY: The table is not written any more. `vector` is within the 256 entries.
    unsafe { (*IDT.0.get())[usize::from(vector)] }
}

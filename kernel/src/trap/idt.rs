//! The interrupt descriptor table: one for all CPUs, in a page of its own, read-only.
//!
//! The entry code of an interrupt contains the EOI, which is a different instruction in each mode
//! of the local APIC. So there is a table for each mode, and all CPUs load the same one. The boot
//! CPU loads it again after it has selected the mode. Until then, interrupts are disabled.
//!
//! Both are filled before the kernel's page tables exist; those map their pages read-only and omit
//! them from the direct map, so from then on no address can change them while CR0.WP is set. A gate
//! is never changed again: the handler of a vector is in tables that the entry code reads.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use tocsin_logic::apic::Mode;
use tocsin_logic::gate::{Gate64, GateError};
use tocsin_logic::layout::StackKind;
use x86_64::VirtAddr;
use x86_64::instructions::tables::{lidt, sidt};
use x86_64::structures::DescriptorTablePointer;

use super::{entry, interrupt, leaf};
use crate::cpu::segments;

/// Vector of the breakpoint exception, the one gate that ring 3 may call.
const BREAKPOINT: u8 = 3;

/// The tables of xAPIC and x2APIC mode. Exactly one page each, so that no other data shares their
/// permissions.
#[repr(C, align(4096))]
struct Tables(UnsafeCell<[[[u64; 2]; 256]; 2]>);

// SAFETY: They are written once by `fill`, before a second CPU runs, and read by processors.
unsafe impl Sync for Tables {}

#[unsafe(link_section = ".idt")]
static TABLES: Tables = Tables(UnsafeCell::new([[[0; 2]; 256]; 2]));

/// Whether the table of x2APIC mode is in use.
static IS_X2APIC: AtomicBool = AtomicBool::new(false);

/// The mode whose table is in use.
pub(crate) fn mode() -> Mode {
    if IS_X2APIC.load(Ordering::Relaxed) {
        Mode::X2Apic
    } else {
        Mode::XApic
    }
}

/// Index of a mode's table.
fn index(mode: Mode) -> usize {
    usize::from(mode == Mode::X2Apic)
}

/// The gate of `vector`.
///
/// All are interrupt gates (IF is cleared on entry), so that a handler starts with interrupts
/// disabled and decides itself when others may nest. DPL is 0 except for #BP: with DPL 3, ring 3
/// could fake a device's interrupt or a fault by `int n` (SDM vol. 3A, 7.12.1.2).
fn gate(mode: Mode, vector: u8) -> Result<Gate64, GateError> {
    let mut gate = Gate64::interrupt(entry_point(mode, vector), segments::KERNEL_CODE);
    if vector == BREAKPOINT {
        gate = gate.with_dpl(3)?;
    }
    if let Some(ist) = StackKind::of(vector).and_then(StackKind::ist) {
        gate = gate.with_ist(ist)?;
    }
    Ok(gate)
}

/// Writes all gates.
///
/// # Safety
///
/// Must be called once, while the pages are still writable and no CPU uses the tables.
pub(super) unsafe fn fill() {
    for mode in [Mode::XApic, Mode::X2Apic] {
        for vector in 0..=u8::MAX {
            let gate = gate(mode, vector);
            let gate = gate.expect("stub addresses are canonical; DPL and IST are constants");
            // SAFETY: The caller guarantees it. Both indices are within bounds.
            unsafe { (*TABLES.0.get())[index(mode)][usize::from(vector)] = gate.to_words() };
        }
    }
}

/// Loads the table of the mode in use into this CPU's IDTR.
pub(super) fn load() {
    let pointer = DescriptorTablePointer {
        limit: 256 * 16 - 1,
        base: VirtAddr::new(address()),
    };
    // SAFETY: The table is static and its gates lead to the entry stubs.
    unsafe { lidt(&pointer) };
}

/// Sets the mode of all local APICs, and loads its table on this CPU. With interrupts disabled.
pub(crate) fn set_mode(mode: Mode) {
    IS_X2APIC.store(mode == Mode::X2Apic, Ordering::Relaxed);
    load();
}

/// Address of the table in use.
///
/// Context: any.
#[must_use]
pub fn address() -> u64 {
    let table = index(mode()) * size_of::<[[u64; 2]; 256]>();
    TABLES.0.get() as u64 + table as u64
}

/// Address of the entry point of `vector`.
///
/// Context: any.
#[must_use]
pub fn stub(vector: u8) -> u64 {
    entry_point(mode(), vector)
}

fn entry_point(mode: Mode, vector: u8) -> u64 {
    leaf::entry(mode, vector)
        .or_else(|| interrupt::entry(mode, vector))
        .unwrap_or_else(|| entry::stub(mode, vector))
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
    // SAFETY: The tables are not written any more. Both indices are within bounds.
    unsafe { (*TABLES.0.get())[index(mode())][usize::from(vector)] }
}

//! INT n and an undefined instruction, to their handlers and back.
//!
//! The rivals of #UD answer only the instruction that [`probe`] has for this; any other goes the usual
//! way. That takes them two instructions to find out, three for the typical one.

use crate::raw;
use core::arch::{asm, naked_asm};
use tocsin::hooks;

use tocsin_logic::vector::Vector;

use super::clock::stamp;
use super::rivals::{self, FLOOR, Installed, TYPICAL, dispatch, saving_all};
use super::runner::Bench;
use tocsin::cpu::interrupts::{self, MEASURED, UNDEFINED};

pub(super) fn run(bench: &mut Bench) {
    let overhead = bench.overhead;
    raw::register(Vector(interrupts::SOFTWARE), rivals::nothing);
    let installed = Installed::new();
    Installed::lead(
        floor_of_int as *const () as u64,
        typical_of_int as *const () as u64,
    );
    let mut ways = installed.ways(
        overhead,
        int::<{ interrupts::SOFTWARE }>,
        int::<{ FLOOR.get() }>,
        int::<{ TYPICAL.get() }>,
    );
    bench.compare("exception.int_n", &[], &mut ways);
    Installed::set_typical_at(UNDEFINED, skip);
    let ordinary = hooks::ordinary(LED);
    let mut ways = installed.ways(
        overhead,
        || undefined(ordinary),
        || undefined(floor_of_undefined as *const () as u64),
        || undefined(typical_of_undefined as *const () as u64),
    );
    bench.compare("exception.ud", &[], &mut ways);
    lead(ordinary);
}

fn int<const VECTOR: u8>() -> u64 {
    let start = stamp();
    // SAFETY: 1. The vector's code preserves all registers, and comes back.
    unsafe { asm!("int {}", const VECTOR) };
    stamp() - start
}

/// An undefined instruction, answered by the code at an address.
fn undefined(code: u64) -> u64 {
    lead(code);
    let start = stamp();
    hooks::undefined();
    stamp() - start
}

/// What [`UNDEFINED`]'s stub is number of.
const LED: usize = MEASURED.len();

fn lead(code: u64) {
    // SAFETY: 1. It is the ordinary code, or one of this module: those preserve all registers, and leave
    // what they do not know to the ordinary one.
    unsafe { hooks::set_measured(LED, code) };
}

/// The floor of INT n: back.
#[unsafe(naked)]
extern "C" fn floor_of_int() {
    naked_asm!("iretq")
}

/// Everything saved, and a look at the table under a lock; no EOI.
#[unsafe(naked)]
extern "C" fn typical_of_int() {
    saving_all!(TYPICAL.get(), dispatch)
}

/// The floor of #UD: past the instruction, back.
#[unsafe(naked)]
extern "C" fn floor_of_undefined() {
    naked_asm!(
        "cmp qword ptr [rsp], offset {undefined}",
        "jne {ordinary}",
        "add qword ptr [rsp], {length}",
        "iretq",
        undefined = sym hooks::probe_undefined,
        ordinary = sym hooks::entry_measured_3,
        length = const LENGTH,
    )
}

#[unsafe(naked)]
extern "C" fn typical_of_undefined() {
    naked_asm!(
        "cmp qword ptr [rsp], offset {undefined}",
        "jne {ordinary}",
        "jmp {saving}",
        undefined = sym hooks::probe_undefined,
        ordinary = sym hooks::entry_measured_3,
        saving = sym save_and_dispatch,
    )
}

#[unsafe(naked)]
extern "C" fn save_and_dispatch() {
    saving_all!(UNDEFINED, dispatch)
}

/// Bytes of the instruction.
const LENGTH: u64 = 2;

/// The typical handler of #UD.
extern "C" fn skip(interrupted: usize, _: u8) {
    let address = interrupted as *mut u64;
    // SAFETY: 1. The entry passes where the frame on this CPU's stack has it.
    unsafe { *address += LENGTH };
}

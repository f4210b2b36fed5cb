//! INT n and an undefined instruction, each from the instruction to its handler and back.
//!
//! The baselines for #UD handle only the instruction that `hooks::undefined` contains for this
//! purpose; any other #UD takes the normal path. This check costs them two instructions, and three
//! in the typical baseline.

use crate::raw;
use core::arch::{asm, naked_asm};
use tocsin::hooks;

use tocsin_logic::vector::Vector;

use super::baselines::{self, FLOOR, Installed, TYPICAL, dispatch, saving_all};
use super::clock::stamp;
use super::runner::Bench;
use tocsin::cpu::handlers::{self, MEASURED, UNDEFINED};

pub(super) fn run(bench: &mut Bench) {
    let overhead = bench.overhead;
    raw::register(Vector(handlers::SOFTWARE), baselines::nothing);
    let installed = Installed::new();
    Installed::set_entry(
        floor_of_int as *const () as u64,
        typical_of_int as *const () as u64,
    );
    let mut variants = installed.variants(
        overhead,
        int::<{ handlers::SOFTWARE }>,
        int::<{ FLOOR.get() }>,
        int::<{ TYPICAL.get() }>,
    );
    bench.compare("exception.int_n", &[], &mut variants);
    Installed::set_typical_at(UNDEFINED, skip);
    let ordinary = hooks::default_entry(UD_STUB);
    let mut variants = installed.variants(
        overhead,
        || undefined(ordinary),
        || undefined(floor_of_undefined as *const () as u64),
        || undefined(typical_of_undefined as *const () as u64),
    );
    bench.compare("exception.ud", &[], &mut variants);
    set_ud_entry(ordinary);
}

fn int<const VECTOR: u8>() -> u64 {
    let start = stamp();
    // SAFETY: The code of the vector preserves all registers and returns.
    unsafe { asm!("int {}", const VECTOR) };
    stamp() - start
}

/// Executes an undefined instruction that the code at the address `code` handles.
fn undefined(code: u64) -> u64 {
    set_ud_entry(code);
    let start = stamp();
    hooks::undefined();
    stamp() - start
}

/// The index of the entry stub of [`UNDEFINED`] among the measured stubs.
const UD_STUB: usize = MEASURED.len();

fn set_ud_entry(code: u64) {
    // SAFETY: The address is the normal entry code or code of this module. Both preserve all
    // registers, and the latter passes every other #UD to the normal entry code.
    unsafe { hooks::set_measured(UD_STUB, code) };
}

/// The floor baseline of INT n: only IRETQ.
#[unsafe(naked)]
extern "C" fn floor_of_int() {
    naked_asm!("iretq")
}

/// The typical baseline of INT n: it saves all registers and looks the handler up under a lock. It
/// sends no EOI.
#[unsafe(naked)]
extern "C" fn typical_of_int() {
    saving_all!(TYPICAL.get(), dispatch)
}

/// Entry code that executes the given instructions if [`hooks::undefined`] raised the exception,
/// and jumps to the normal entry code for any other #UD.
macro_rules! for_probe {
    ($($code:literal),+; $($operand:tt)+) => {
        naked_asm!(
            "cmp qword ptr [rsp], offset {undefined}",
            "jne {ordinary}",
            $($code),+,
            undefined = sym hooks::probe_undefined,
            ordinary = sym hooks::entry_measured_3,
            $($operand)+
        )
    };
}

/// The floor baseline of #UD: it skips the instruction and returns.
#[unsafe(naked)]
extern "C" fn floor_of_undefined() {
    for_probe!("add qword ptr [rsp], {length}", "iretq"; length = const LENGTH)
}

/// The typical baseline of #UD.
#[unsafe(naked)]
extern "C" fn typical_of_undefined() {
    for_probe!("jmp {saving}"; saving = sym save_and_dispatch)
}

#[unsafe(naked)]
extern "C" fn save_and_dispatch() {
    saving_all!(UNDEFINED, dispatch)
}

/// The length of the instruction in bytes.
const LENGTH: u64 = 2;

/// The #UD handler of the typical baseline.
extern "C" fn skip(interrupted: usize, _: u8) {
    let address = interrupted as *mut u64;
    // SAFETY: The entry code passes the address of the saved RIP in the frame on this CPU's stack.
    unsafe { *address += LENGTH };
}

//! How the rivals answer on other CPUs: they count that they were there, or call a function first.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Mutex;

use super::clock::relax;
use super::rivals::EOI;
use tocsin::apic::local;

/// How many have answered.
pub(super) static ANSWERED: AtomicU64 = AtomicU64::new(0);

/// What [`floor_calls`] calls: it changes no register.
static FUNCTION: AtomicU64 = AtomicU64::new(0);

/// What the typical way calls.
static CALL: Mutex<extern "C" fn(usize)> = Mutex::new(nothing);

/// A handler that only counts.
pub(super) extern "C" fn count(_: usize, _: u8) {
    ANSWERED.fetch_add(1, Ordering::Relaxed);
}

/// The function that calls are measured with.
#[unsafe(naked)]
pub(super) extern "C" fn nothing(_: usize) {
    naked_asm!("ret")
}

/// One of the measurements' own data.
static DATA: u64 = 0;

/// Takes the address of [`DATA`] from the CPU's translations. It changes no register.
#[unsafe(naked)]
pub(super) extern "C" fn flush(_: usize) {
    naked_asm!("invlpg [rip + {data}]", "ret", data = sym DATA)
}

/// The floor of an answer: it counts. As [`floor`](super::rivals::floor), it changes RAX, RCX and RDX.
#[unsafe(naked)]
extern "C" fn floor_counts<const BY_REGISTER: u8>() {
    naked_asm!(
        "lock inc qword ptr [rip + {answered}]",
        ".if {by_register}",
        "mov rax, [rip + {eoi}]", "mov dword ptr [rax], 0",
        ".else",
        "mov ecx, 0x80b", "xor eax, eax", "xor edx, edx", "wrmsr",
        ".endif",
        "iretq",
        answered = sym ANSWERED,
        eoi = sym EOI,
        by_register = const BY_REGISTER,
    )
}

/// The floor of a call: it calls the function before.
#[unsafe(naked)]
extern "C" fn floor_calls<const BY_REGISTER: u8>() {
    naked_asm!(
        "call [rip + {function}]",
        "jmp {counts}",
        function = sym FUNCTION,
        counts = sym floor_counts::<BY_REGISTER>,
    )
}

/// The code of the floor that counts, for the mode of the local APICs.
pub(super) fn floor_that_counts() -> u64 {
    let code = if local().is_x2apic() {
        floor_counts::<0>
    } else {
        floor_counts::<1>
    };
    code as *const () as u64
}

/// The code of the floor that calls `function`, which changes no register.
pub(super) fn floor_that_calls(function: extern "C" fn(usize)) -> u64 {
    FUNCTION.store(function as *const () as u64, Ordering::SeqCst);
    let code = if local().is_x2apic() {
        floor_calls::<0>
    } else {
        floor_calls::<1>
    };
    code as *const () as u64
}

/// The typical handler of a call: what is to be called is behind a lock.
pub(super) extern "C" fn call(_: usize, _: u8) {
    let function = *CALL.lock();
    function(0);
    ANSWERED.fetch_add(1, Ordering::Release);
}

/// Sets what [`call`] calls.
pub(super) fn set_call(function: extern "C" fn(usize)) {
    *CALL.lock() = function;
}

/// Waits until so many have answered.
#[inline]
pub(super) fn wait_for(count: u64) {
    while ANSWERED.load(Ordering::Acquire) < count {
        relax();
    }
}

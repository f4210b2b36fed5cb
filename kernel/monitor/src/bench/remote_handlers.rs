//! Handlers of the baselines on remote CPUs: they increment a counter, or call a function first.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Mutex;

use super::baselines::EOI;
use super::clock::relax;
use tocsin::apic::local;
use tocsin::memory::tlb::Translations;

/// The number of interrupts that have been handled.
pub(super) static HANDLED: AtomicU64 = AtomicU64::new(0);

/// The function that [`floor_call`] calls. It preserves all registers.
static FUNCTION: AtomicU64 = AtomicU64::new(0);

/// The function that the typical baseline calls.
static CALL: Mutex<extern "C" fn(usize)> = Mutex::new(nothing);

/// A handler that only increments the counter.
pub(super) extern "C" fn count(_: usize, _: u8) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// The empty function of the call benchmarks.
#[unsafe(naked)]
pub(super) extern "C" fn nothing(_: usize) {
    naked_asm!("ret")
}

/// A variable whose address [`flush`] invalidates.
static DATA: u64 = 0;

/// Returns the page of [`DATA`].
pub(super) fn page() -> Translations {
    let address = &raw const DATA as u64;
    Translations::Of(address..address + 1)
}

/// Invalidates the TLB entry for the address of [`DATA`] on this CPU. It preserves all registers.
#[unsafe(naked)]
pub(super) extern "C" fn flush(_: usize) {
    naked_asm!("invlpg [rip + {data}]", "ret", data = sym DATA)
}

/// The floor baseline that only increments the counter. Like [`floor`](super::baselines::floor), it
/// clobbers RAX, RCX and RDX.
#[unsafe(naked)]
extern "C" fn floor_count<const BY_REGISTER: u8>() {
    naked_asm!(
        "lock inc qword ptr [rip + {handled}]",
        ".if {by_register}",
        "mov rax, [rip + {eoi}]", "mov dword ptr [rax], 0",
        ".else",
        "mov ecx, 0x80b", "xor eax, eax", "xor edx, edx", "wrmsr",
        ".endif",
        "iretq",
        handled = sym HANDLED,
        eoi = sym EOI,
        by_register = const BY_REGISTER,
    )
}

/// The floor baseline of a call: it calls the function before it increments the counter.
#[unsafe(naked)]
extern "C" fn floor_call<const BY_REGISTER: u8>() {
    naked_asm!(
        "call [rip + {function}]",
        "jmp {counts}",
        function = sym FUNCTION,
        counts = sym floor_count::<BY_REGISTER>,
    )
}

/// Returns the address of the counting floor baseline for the mode of the local APICs.
pub(super) fn counting_floor() -> u64 {
    let code = if local().is_x2apic() {
        floor_count::<0>
    } else {
        floor_count::<1>
    };
    code as *const () as u64
}

/// Returns the address of the floor baseline that calls `function`, which must preserve all
/// registers.
pub(super) fn calling_floor(function: extern "C" fn(usize)) -> u64 {
    FUNCTION.store(function as *const () as u64, Ordering::SeqCst);
    let code = if local().is_x2apic() {
        floor_call::<0>
    } else {
        floor_call::<1>
    };
    code as *const () as u64
}

/// The call handler of the typical baseline: a lock protects the function pointer.
pub(super) extern "C" fn call(_: usize, _: u8) {
    let function = *CALL.lock();
    function(0);
    HANDLED.fetch_add(1, Ordering::Release);
}

/// Sets the function that [`call`] calls.
pub(super) fn set_call(function: extern "C" fn(usize)) {
    *CALL.lock() = function;
}

/// Waits until `count` interrupts have been handled.
#[inline]
pub(super) fn wait_for(count: u64) {
    while HANDLED.load(Ordering::Acquire) < count {
        relax();
    }
}

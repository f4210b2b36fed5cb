//! The baselines to which the kernel's own interrupt path is compared: the required minimum, and
//! the design of small kernels. Also the handler that all variants call, which records when it
//! began.
//!
//! The entry stubs of two vectors are reserved for measurements (`trap::interrupt`): one leads
//! to `floor`, the other to `typical`, while an [`Installed`] lives.

use crate::raw;
use core::arch::naked_asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};
use tocsin::hooks;

use alloc::vec::Vec;

use spin::Mutex;
use tocsin_logic::vector::{Vector, fixed};
use x2apic::lapic::{LocalApic as CrateApic, LocalApicBuilder};

use super::runner::Case;
use tocsin::apic::{local, vectors};
use tocsin::cpu;
use tocsin::cpu::handlers::MEASURED;
use tocsin::hw::processor;

/// The vector that the kernel handles in its own way: class 13.
pub(super) const OWN: Vector = fixed::BENCH;

/// The vector that [`floor`] handles.
pub(super) const FLOOR: Vector = Vector(MEASURED[0]);

/// The vector that [`typical`] handles.
pub(super) const TYPICAL: Vector = Vector(MEASURED[1]);

/// The vector that the code set by [`Installed::set_urgent_entry`] handles: class 14.
pub(super) const URGENT: Vector = Vector(MEASURED[2]);

/// The time at which the handler last began; 0 before.
pub(super) static BEGAN: AtomicU64 = AtomicU64::new(0);

/// The time at which [`stamped`] was last entered through a gate.
pub(super) static GATE: AtomicU64 = AtomicU64::new(0);

/// The address to which [`stamped`] jumps.
pub(super) static NEXT: AtomicU64 = AtomicU64::new(0);

/// The offset of the EOI register in the local APIC's page.
const EOI_OFFSET: u64 = 0xb0;

/// The address of the xAPIC's EOI register.
pub(super) static EOI: AtomicU64 = AtomicU64::new(0);

/// The handler, which begins with RDTSC.
#[unsafe(naked)]
pub(super) extern "C" fn note(_: usize, _: u8) {
    naked_asm!(
        "rdtsc", "shl rdx, 32", "or rax, rdx", "mov [rip + {began}], rax", "ret",
        began = sym BEGAN,
    )
}

/// An empty handler.
#[unsafe(naked)]
pub(super) extern "C" fn nothing(_: usize, _: u8) {
    naked_asm!("ret")
}

/// The floor baseline: a timestamp, EOI and IRETQ. It clobbers RAX, RCX and RDX, so it may
/// interrupt only code that expects this.
#[unsafe(naked)]
pub(super) extern "C" fn floor() {
    naked_asm!(
        "rdtsc", "shl rdx, 32", "or rax, rdx", "mov [rip + {began}], rax",
        "mov ecx, 0x80b", "xor eax, eax", "xor edx, edx", "wrmsr",
        "iretq",
        began = sym BEGAN,
    )
}

/// The floor baseline for xAPIC mode.
#[unsafe(naked)]
pub(super) extern "C" fn floor_by_register() {
    naked_asm!(
        "rdtsc", "shl rdx, 32", "or rax, rdx", "mov [rip + {began}], rax",
        "mov rax, [rip + {eoi}]", "mov dword ptr [rax], 0",
        "iretq",
        began = sym BEGAN,
        eoi = sym EOI,
    )
}

/// Records the time at which the gate was entered, and jumps to `NEXT` with all registers
/// preserved.
#[unsafe(naked)]
pub(super) extern "C" fn stamped() {
    naked_asm!(
        "push rax", "push rdx",
        "rdtsc", "shl rdx, 32", "or rax, rdx", "mov [rip + {gate}], rax",
        "pop rdx", "pop rax",
        "jmp qword ptr [rip + {next}]",
        gate = sym GATE,
        next = sym NEXT,
    )
}

/// Entry code that saves all general-purpose registers, and calls a function with the vector and
/// the address of the saved RIP on the stack.
macro_rules! saving_all {
    ($vector:expr, $function:expr) => {
        core::arch::naked_asm!(
            "push rax", "push rcx", "push rdx", "push rbx", "push rbp", "push rsi", "push rdi",
            "push r8", "push r9", "push r10", "push r11", "push r12", "push r13", "push r14", "push r15",
            "cld",
            "mov edi, {vector}",
            "lea rsi, [rsp + 15 * 8]",
            "call {function}",
            "pop r15", "pop r14", "pop r13", "pop r12", "pop r11", "pop r10", "pop r9", "pop r8",
            "pop rdi", "pop rsi", "pop rbp", "pop rbx", "pop rdx", "pop rcx", "pop rax",
            "iretq",
            vector = const $vector,
            function = sym $function,
        )
    };
}
pub(super) use saving_all;

/// The typical baseline, with the design of small kernels: it saves all registers, looks the
/// handler up under a lock, and sends the EOI through the `x2apic` crate.
#[unsafe(naked)]
extern "C" fn typical() {
    saving_all!(TYPICAL.get(), dispatch_and_end)
}

/// The typical baseline for [`URGENT`].
#[unsafe(naked)]
extern "C" fn typical_urgent() {
    saving_all!(URGENT.get(), dispatch_and_end)
}

pub(super) type Handler = extern "C" fn(usize, u8);

static TABLE: Mutex<[Option<Handler>; 256]> = Mutex::new([None; 256]);

/// The local APIC of the `x2apic` crate. Its EOI is a single register write and accesses no shared
/// state.
struct Shared(UnsafeCell<Option<CrateApic>>);

// SAFETY: Only `Installed::new` writes it, when no interrupt of the vector is in transit. Its users
// only write to the register of the CPU on which they run.
unsafe impl Sync for Shared {}

static CRATE: Shared = Shared(UnsafeCell::new(None));

/// Calls the handler from the table. The handler's context is the address of the saved RIP.
pub(super) extern "C" fn dispatch(vector: u8, interrupted: usize) {
    let table = TABLE.lock();
    if let Some(handler) = table[usize::from(vector)] {
        handler(interrupted, vector);
    }
}

extern "C" fn dispatch_and_end(vector: u8, interrupted: usize) {
    dispatch(vector, interrupted);
    // SAFETY: See `Shared`.
    if let Some(apic) = unsafe { &mut *CRATE.0.get() } {
        // SAFETY: An interrupt of this vector is in service.
        unsafe { apic.end_of_interrupt() };
    }
}

/// Returns the local APIC of the `x2apic` crate, or the reason why the typical baseline cannot be
/// measured here.
fn build_crate_apic(page: u64) -> Result<CrateApic, &'static str> {
    // CPUID.01H:ECX bit 21.
    let has_x2apic = processor::cpuid(1, 0).ecx & 1 << 21 != 0;
    if local().is_x2apic() != has_x2apic {
        return Err("the x2apic crate takes x2APIC mode wherever the processor has it");
    }
    LocalApicBuilder::new()
        .timer_vector(vectors::TIMER.get().into())
        .error_vector(vectors::ERROR.get().into())
        .spurious_vector(vectors::SPURIOUS.get().into())
        .set_xapic_base(page)
        .build()
        .map_err(|_| "the x2apic crate does not know this processor")
}

/// Returns the reason why the typical baseline cannot be measured here, if there is one.
pub(super) fn no_typical() -> Option<&'static str> {
    build_crate_apic(local().eoi_register() - EOI_OFFSET).err()
}

/// The handlers of the vectors on the CPU that created this, and the baselines on all CPUs.
#[derive(Debug)]
pub(super) struct Installed {
    has_typical: bool,
}

impl Installed {
    /// Installs the handlers of the vectors. Only one instance may exist at a time; the caller runs
    /// in a thread.
    pub(super) fn new() -> Self {
        let apic = local();
        let page = apic.eoi_register() - EOI_OFFSET;
        EOI.store(apic.eoi_register(), Ordering::Relaxed);
        let built = build_crate_apic(page);
        let has_typical = built.is_ok();
        if let Ok(built) = built {
            // SAFETY: See `Shared`.
            unsafe { *CRATE.0.get() = Some(built) };
        }
        Self::set_typical(note);
        let installed = install(OWN);
        assert!(installed, "the measured vector has another handler");
        let this = Self { has_typical };
        Self::set_entry(floor_address(), typical_address());
        this
    }

    /// Sets the handler of the typical baseline.
    pub(super) fn set_typical(handler: Handler) {
        Self::set_typical_at(TYPICAL.get(), handler);
    }

    /// Sets the handler of the typical baseline for another vector.
    pub(super) fn set_typical_at(vector: u8, handler: Handler) {
        TABLE.lock()[usize::from(vector)] = Some(handler);
    }

    /// Returns the kernel's own variant and the two baselines, without the typical one where it
    /// cannot be measured.
    pub(super) fn variants<'a, T>(
        &self,
        overhead: u64,
        own: impl FnMut() -> T + 'a,
        floor: impl FnMut() -> T + 'a,
        typical: impl FnMut() -> T + 'a,
    ) -> Vec<Case<'a, T>> {
        let mut variants = alloc::vec![
            Case::new("tocsin", overhead, own),
            Case::new("floor", overhead, floor),
        ];
        if self.has_typical {
            variants.push(Case::new("typical", overhead, typical));
        }
        variants
    }

    /// Sets the entry code of the baselines' vectors.
    pub(super) fn set_entry(floor: u64, typical: u64) {
        // SAFETY: The code belongs to this module. It preserves all registers, or interrupts only
        // code that declares the registers it clobbers. It sends the EOI of its interrupts.
        unsafe { hooks::set_measured(0, floor) };
        // SAFETY: As above.
        unsafe { hooks::set_measured(1, typical) };
    }

    /// Sets the entry code of [`URGENT`].
    pub(super) fn set_urgent_entry(code: u64) {
        // SAFETY: As above.
        unsafe { hooks::set_measured(2, code) };
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        Self::set_entry(hooks::default_entry(0), hooks::default_entry(1));
        Self::set_urgent_entry(hooks::default_entry(2));
        remove(OWN);
    }
}

/// Returns the address of the typical baseline.
pub(super) fn typical_address() -> u64 {
    typical as *const () as u64
}

/// Returns the address of the typical baseline for [`URGENT`].
pub(super) fn typical_urgent_address() -> u64 {
    typical_urgent as *const () as u64
}

/// Returns the address of the floor baseline for the mode of the local APICs.
pub(super) fn floor_address() -> u64 {
    let code = if local().is_x2apic() {
        floor
    } else {
        floor_by_register
    };
    code as *const () as u64
}

/// Installs [`note`] as the handler of `vector` on this CPU.
pub(super) fn install(vector: Vector) -> bool {
    install_handler(vector, note)
}

/// Installs `handler` as the handler of `vector` on this CPU.
pub(super) fn install_handler(vector: Vector, handler: Handler) -> bool {
    raw::install(cpu::current(), vector, handler, 0)
}

/// Removes the handler of `vector` on this CPU. The caller runs in a thread, so no interrupt is in
/// service.
pub(super) fn remove(vector: Vector) {
    let this = cpu::current();
    raw::begin_removal(this, vector);
    raw::end_removal(this, vector);
}

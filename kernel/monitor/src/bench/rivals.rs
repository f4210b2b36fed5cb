//! What the kernel's way of answering is compared with: the least that can be done, and what small
//! kernels do. And the handler that all of them end in, which notes when it began.
//!
//! The stubs of two vectors belong to measurements (`cpu::interrupt_entry`): one leads to `floor` here,
//! the other to `typical`, for as long as [`Installed`] lives.

use crate::raw;
use core::arch::naked_asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};
use tocsin::hooks;

use alloc::vec::Vec;

use spin::Mutex;
use tocsin_logic::vector::Vector;
use x2apic::lapic::{LocalApic as CrateApic, LocalApicBuilder};

use super::runner::Case;
use tocsin::apic::{local, vectors};
use tocsin::cpu;
use tocsin::cpu::interrupts::MEASURED;
use tocsin::hw::processor;

/// The vector that the kernel answers in its own way: class 13.
pub(super) const OWN: Vector = Vector(0xd8);

/// Answered by [`floor`].
pub(super) const FLOOR: Vector = Vector(MEASURED[0]);

/// Answered by [`typical`].
pub(super) const TYPICAL: Vector = Vector(MEASURED[1]);

/// Answered by what [`Installed::lead_urgent`] says: class 14.
pub(super) const URGENT: Vector = Vector(MEASURED[2]);

/// When the handler last began; 0 before.
pub(super) static BEGAN: AtomicU64 = AtomicU64::new(0);

/// When the gate was last entered, if it was by [`stamped`].
pub(super) static GATE: AtomicU64 = AtomicU64::new(0);

/// Where [`stamped`] goes on.
pub(super) static NEXT: AtomicU64 = AtomicU64::new(0);

/// Where the EOI register is on the local APIC's page.
const EOI_OFFSET: u64 = 0xb0;

/// Where the xAPIC's EOI register is.
pub(super) static EOI: AtomicU64 = AtomicU64::new(0);

/// The handler: its first instruction is the stamp.
#[unsafe(naked)]
pub(super) extern "C" fn note(_: usize, _: u8) {
    naked_asm!(
        "rdtsc", "shl rdx, 32", "or rax, rdx", "mov [rip + {began}], rax", "ret",
        began = sym BEGAN,
    )
}

/// A handler that does nothing.
#[unsafe(naked)]
pub(super) extern "C" fn nothing(_: usize, _: u8) {
    naked_asm!("ret")
}

/// The floor: a stamp, EOI, back. It changes RAX, RCX and RDX, so only code that knows may be interrupted.
#[unsafe(naked)]
pub(super) extern "C" fn floor() {
    naked_asm!(
        "rdtsc", "shl rdx, 32", "or rax, rdx", "mov [rip + {began}], rax",
        "mov ecx, 0x80b", "xor eax, eax", "xor edx, edx", "wrmsr",
        "iretq",
        began = sym BEGAN,
    )
}

/// The same in xAPIC mode.
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

/// Notes when the gate was entered, and goes on where `NEXT` says, with all registers as they were.
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

/// An entry that saves everything, and calls a function with the vector and where the interrupted
/// address is on the stack.
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

/// What small kernels do: save everything, look the handler up under a lock, EOI through the crate.
#[unsafe(naked)]
extern "C" fn typical() {
    saving_all!(TYPICAL.get(), dispatch_and_end)
}

/// The same for [`URGENT`].
#[unsafe(naked)]
extern "C" fn typical_urgent() {
    saving_all!(URGENT.get(), dispatch_and_end)
}

pub(super) type Handler = extern "C" fn(usize, u8);

static TABLE: Mutex<[Option<Handler>; 256]> = Mutex::new([None; 256]);

/// The crate's local APIC. Its EOI is one write, with nothing of its own that another could disturb.
struct Shared(UnsafeCell<Option<CrateApic>>);

// SAFETY: 1. It is written by `Installed::new` alone, when no interrupt of the vector is on its way.
// 2. Its users only write to the register of the CPU that they run on.
unsafe impl Sync for Shared {}

static CRATE: Shared = Shared(UnsafeCell::new(None));

/// The handler's context is where the interrupted address is.
pub(super) extern "C" fn dispatch(vector: u8, interrupted: usize) {
    let table = TABLE.lock();
    if let Some(handler) = table[usize::from(vector)] {
        handler(interrupted, vector);
    }
}

extern "C" fn dispatch_and_end(vector: u8, interrupted: usize) {
    dispatch(vector, interrupted);
    // SAFETY: 1. See `Shared`.
    if let Some(apic) = unsafe { &mut *CRATE.0.get() } {
        // SAFETY: 1. An interrupt of this vector is in service.
        unsafe { apic.end_of_interrupt() };
    }
}

/// The crate's local APIC; or why the typical way cannot be measured here.
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

/// Why the typical way cannot be measured here, if so.
pub(super) fn no_typical() -> Option<&'static str> {
    build_crate_apic(local().eoi_register() - EOI_OFFSET).err()
}

/// The vectors with their handlers, on the CPU that made this, and the rivals on all CPUs.
#[derive(Debug)]
pub(super) struct Installed {
    has_typical: bool,
}

impl Installed {
    /// Has the vectors answered. One at a time, in a thread.
    pub(super) fn new() -> Self {
        let apic = local();
        let page = apic.eoi_register() - EOI_OFFSET;
        EOI.store(apic.eoi_register(), Ordering::Relaxed);
        let built = build_crate_apic(page);
        let has_typical = built.is_ok();
        if let Ok(built) = built {
            // SAFETY: 1. See `Shared`.
            unsafe { *CRATE.0.get() = Some(built) };
        }
        Self::set_typical(note);
        let installed = install(OWN);
        assert!(installed, "the vector that is measured has another handler");
        let this = Self { has_typical };
        Self::lead(floor_here(), typical_here());
        this
    }

    /// Has another handler answer typically.
    pub(super) fn set_typical(handler: Handler) {
        Self::set_typical_at(TYPICAL.get(), handler);
    }

    /// The same for another vector.
    pub(super) fn set_typical_at(vector: u8, handler: Handler) {
        TABLE.lock()[usize::from(vector)] = Some(handler);
    }

    /// The kernel's own way and the two rivals; without the typical one where it cannot be measured.
    pub(super) fn ways<'a, T>(
        &self,
        overhead: u64,
        own: impl FnMut() -> T + 'a,
        floor: impl FnMut() -> T + 'a,
        typical: impl FnMut() -> T + 'a,
    ) -> Vec<Case<'a, T>> {
        let mut ways = alloc::vec![
            Case::new("tocsin", overhead, own),
            Case::new("floor", overhead, floor),
        ];
        if self.has_typical {
            ways.push(Case::new("typical", overhead, typical));
        }
        ways
    }

    /// Leads the vectors of the rivals to other code.
    pub(super) fn lead(floor: u64, typical: u64) {
        // SAFETY: 1. The code is of this module: it saves what it changes, or is only met by code that
        // knows better. 2. It ends its interrupts.
        unsafe { hooks::set_measured(0, floor) };
        // SAFETY: 1. As above.
        unsafe { hooks::set_measured(1, typical) };
    }

    /// Leads [`URGENT`] to other code.
    pub(super) fn lead_urgent(code: u64) {
        // SAFETY: 1. As above.
        unsafe { hooks::set_measured(2, code) };
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        Self::lead(hooks::ordinary(0), hooks::ordinary(1));
        Self::lead_urgent(hooks::ordinary(2));
        remove(OWN);
    }
}

/// The code of the typical way.
pub(super) fn typical_here() -> u64 {
    typical as *const () as u64
}

/// The same for [`URGENT`].
pub(super) fn typical_urgent_here() -> u64 {
    typical_urgent as *const () as u64
}

/// The floor's code for the mode of the local APICs.
pub(super) fn floor_here() -> u64 {
    let code = if local().is_x2apic() {
        floor
    } else {
        floor_by_register
    };
    code as *const () as u64
}

/// Has [`note`] answer `vector` on this CPU.
pub(super) fn install(vector: Vector) -> bool {
    install_handler(vector, note)
}

/// Has `handler` answer `vector` on this CPU.
pub(super) fn install_handler(vector: Vector, handler: Handler) -> bool {
    raw::install(cpu::current(), vector, handler, 0)
}

/// Takes [`note`] from `vector` of this CPU. In a thread: nothing is in service.
pub(super) fn remove(vector: Vector) {
    let this = cpu::current();
    raw::begin_removal(this, vector);
    raw::end_removal(this, vector);
}

//! The control registers and MSRs that every CPU sets identically, including the protections.

use core::sync::atomic::{Ordering, compiler_fence};

use bitflags::bitflags;
use spin::Once;
use tocsin_logic::vector::PriorityClass;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Cr8, Efer, EferFlags};
use x86_64::registers::model_specific::Msr;

use super::processor::cpuid;

bitflags! {
    /// The optional protections and features of this CPU.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u32 {
        /// No-execute pages (EFER.NXE).
        const NX = 1 << 0;
        /// The kernel may not execute user pages (CR4.SMEP).
        const SMEP = 1 << 1;
        /// The kernel may not access user pages except explicitly (CR4.SMAP).
        const SMAP = 1 << 2;
        /// User code may not read descriptor-table addresses (CR4.UMIP).
        const UMIP = 1 << 3;
        /// 1 GiB pages.
        const GIGABYTE_PAGES = 1 << 4;
        /// Machine-check exceptions (CR4.MCE).
        const MCE = 1 << 5;
        /// Machine-check banks: MCG_CAP and the registers after it.
        const MCA = 1 << 6;
        /// The page attribute table.
        const PAT = 1 << 7;
        /// Global pages (CR4.PGE).
        const PGE = 1 << 8;
        /// SSE, whose exceptions need CR4.OSXMMEXCPT.
        const SSE = 1 << 9;
        /// The offset of the time-stamp counter (IA32_TSC_ADJUST).
        const TSC_ADJUST = 1 << 10;
    }
}

impl Features {
    /// Names of the protections, for the log.
    pub const PROTECTIONS: [(Self, &'static str); 4] = [
        (Self::NX, "NX"),
        (Self::SMEP, "SMEP"),
        (Self::SMAP, "SMAP"),
        (Self::UMIP, "UMIP"),
    ];

    /// The features of this CPU, read once.
    ///
    /// Context: any.
    #[must_use]
    pub fn get() -> Self {
        static FEATURES: Once<Features> = Once::new();
        *FEATURES.call_once(Self::detect)
    }

    /// Reads the features from CPUID (SDM vol. 2A, CPUID; leaves 1, 7 and `8000_0001H`).
    fn detect() -> Self {
        let basic = cpuid(1, 0).edx;
        let structured = cpuid(7, 0);
        let extended = cpuid(0x8000_0001, 0).edx;
        [
            (extended, 20, Self::NX),
            (structured.ebx, 1, Self::TSC_ADJUST),
            (structured.ebx, 7, Self::SMEP),
            (structured.ebx, 20, Self::SMAP),
            (structured.ecx, 2, Self::UMIP),
            (extended, 26, Self::GIGABYTE_PAGES),
            (basic, 7, Self::MCE),
            (basic, 14, Self::MCA),
            (basic, 16, Self::PAT),
            (basic, 13, Self::PGE),
            // CR4.OSFXSR needs FXSAVE too, bit 24.
            (basic & basic << 1, 25, Self::SSE),
        ]
        .into_iter()
        .filter(|&(register, bit, _)| register & 1 << bit != 0)
        .map(|(_, _, feature)| feature)
        .collect()
    }
}

const IA32_PAT: u32 = 0x277;
const PAT_DEFAULT: u64 = 0x0007_0406_0007_0406;

/// Sets this CPU's control registers, whatever values the loader or firmware left.
///
/// # Safety
///
/// Must run in ring 0 with interrupts disabled. The active page tables must be valid with CR0.WP
/// and NX set.
pub(crate) unsafe fn set_up() {
    let features = Features::get();
    // Write protection also applies to ring 0: the read-only IDT depends on it. FPU errors are
    // native. The kernel itself uses no floating point, but a test does, so EM and TS are clear.
    let cr0 = Cr0Flags::PROTECTED_MODE_ENABLE
        | Cr0Flags::MONITOR_COPROCESSOR
        | Cr0Flags::EXTENSION_TYPE
        | Cr0Flags::NUMERIC_ERROR
        | Cr0Flags::WRITE_PROTECT
        | Cr0Flags::ALIGNMENT_MASK
        | Cr0Flags::PAGING;
    // SAFETY: Paging and long mode do not change. The caller guarantees that the tables are valid.
    unsafe { Cr0::write(cr0) };

    let mut cr4 = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION | Cr4Flags::DEBUGGING_EXTENSIONS;
    for (feature, flags) in [
        (
            Features::SMEP,
            Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION,
        ),
        (Features::SMAP, Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION),
        (Features::UMIP, Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION),
        (Features::PGE, Cr4Flags::PAGE_GLOBAL),
        (
            Features::SSE,
            Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE,
        ),
    ] {
        if features.contains(feature) {
            cr4 |= flags;
        }
    }
    // A loader may have enabled five-level paging, which cannot change in long mode, and machine
    // checks; if CR4.MCE were clear, a machine check would shut the CPU down.
    cr4 |= Cr4::read() & (Cr4Flags::L5_PAGING | Cr4Flags::MACHINE_CHECK_EXCEPTION);
    // SAFETY: Every bit set is reported by CPUID. PAE stays set.
    unsafe { Cr4::write(cr4) };

    if features.contains(Features::NX) {
        // SAFETY: CPUID reports NX. Long mode does not change.
        unsafe { Efer::update(|efer| efer.insert(EferFlags::NO_EXECUTE_ENABLE)) };
    }
    if features.contains(Features::PAT) {
        // SAFETY: CPUID reports the register. It gets its power-up default, in which PCD and PWT
        // together mean uncached, as every page table here assumes (SDM vol. 3A, 13.12.4).
        unsafe { write_msr(IA32_PAT, PAT_DEFAULT) };
    }
}

/// Enables machine-check exceptions on this CPU, if it supports them. Before, a machine check shuts
/// it down.
pub(crate) fn enable_machine_checks() {
    if Features::get().contains(Features::MCE) {
        // SAFETY: CPUID reports the bit. #MC has a gate in every IDT of the kernel.
        unsafe { Cr4::update(|cr4| cr4.insert(Cr4Flags::MACHINE_CHECK_EXCEPTION)) };
    }
}

/// Reads a model-specific register.
///
/// Context: any.
///
/// # Safety
///
/// The register must exist on this CPU, otherwise the read raises #GP.
#[must_use]
pub unsafe fn read_msr(register: u32) -> u64 {
    // SAFETY: Passed on to the caller.
    unsafe { Msr::new(register).read() }
}

/// Writes a model-specific register.
///
/// Context: any.
///
/// # Safety
///
/// The register must exist on this CPU and accept the value, otherwise the write raises #GP; and
/// its effects must be intended.
pub unsafe fn write_msr(register: u32, value: u64) {
    // SAFETY: Passed on to the caller.
    unsafe { Msr::new(register).write(value) };
}

/// Resets the debug status register, DR6, to its value after a reset (SDM vol. 3A, 11.1.1).
pub(crate) fn clear_debug_status() {
    // SAFETY: DR6 only reports status; nothing depends on its old value.
    unsafe { core::arch::asm!("mov dr6, {}", in(reg) 0xffff_0ff0u64, options(nomem, nostack)) };
}

/// The priority class in CR8: this CPU masks it and all lower ones.
///
/// Context: any.
#[must_use]
pub fn priority_class() -> PriorityClass {
    // CR8 has four bits.
    PriorityClass::new(Cr8::read_raw() as u8).unwrap_or(PriorityClass::HIGHEST)
}

/// Masks interrupts of this priority class and all lower ones on this CPU (CR8; SDM vol. 3A,
/// 12.8.6). 0 masks none.
///
/// This is a compiler barrier: memory accesses do not move across it, because the masked section
/// must contain them.
#[inline]
pub(crate) fn set_priority_class(class: PriorityClass) {
    // The `x86_64` crate declares that the write does not access memory.
    compiler_fence(Ordering::SeqCst);
    Cr8::write_raw(u64::from(class.get()));
    compiler_fence(Ordering::SeqCst);
}

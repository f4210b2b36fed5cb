//! CPU instructions: `hlt`, `rdtsc`, `cpuid`.

use core::arch::x86_64::{__cpuid_count, _rdtsc};

pub use core::arch::x86_64::CpuidResult;

use tocsin_logic::registers::Cpuid;

/// Enables interrupts and halts until one has been handled. No interrupt is missed in between: STI
/// delays interrupts by one instruction (SDM vol. 2B, STI). This is a compiler barrier, unlike the
/// `x86_64` crate's instructions: handlers see earlier writes, and their own writes are visible
/// afterwards.
///
/// Context: thread (one that masks nothing).
#[inline]
pub fn enable_and_halt() {
    // SAFETY: Handlers may run wherever interrupts are enabled.
    unsafe { core::arch::asm!("sti", "hlt", options(nostack)) };
}

/// Stops this CPU permanently: interrupts disabled, and `hlt` again after every NMI.
///
/// Context: any.
pub fn halt_forever() -> ! {
    loop {
        x86_64::instructions::interrupts::disable();
        x86_64::instructions::hlt();
    }
}

/// The time-stamp counter, in TSC cycles (SDM vol. 3B, 19.17).
///
/// Not serialising: instructions around it may be reordered across the read.
///
/// Context: any.
#[inline]
#[must_use]
pub fn timestamp() -> u64 {
    // SAFETY: RDTSC exists on every 64-bit CPU; CR4.TSD only applies outside ring 0.
    unsafe { _rdtsc() }
}

/// CPUID of `leaf` and `subleaf`, or all zeros if the CPU lacks the leaf (CPUID would return the
/// data of its highest basic leaf instead; SDM vol. 2A, CPUID).
///
/// Context: any.
#[must_use]
pub fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    // The hypervisor range has its own maximum, at its own base.
    let highest = __cpuid_count(leaf & 0xffff_ff00, 0).eax;
    if leaf > highest {
        return CpuidResult {
            eax: 0,
            ebx: 0,
            ecx: 0,
            edx: 0,
        };
    }
    __cpuid_count(leaf, subleaf)
}

/// Like [`cpuid`], in the form that `tocsin_logic` uses.
///
/// Context: any.
#[must_use]
pub fn cpuid_registers(leaf: u32, subleaf: u32) -> Cpuid {
    let result = cpuid(leaf, subleaf);
    (result.eax, result.ebx, result.ecx, result.edx)
}

/// The number of bits of a physical address, 36 to 52 (SDM vol. 2A, CPUID leaf 80000008H).
///
/// Context: any.
#[must_use]
pub fn physical_address_bits() -> u32 {
    match cpuid(0x8000_0008, 0).eax & 0xff {
        0 => 36,
        bits => bits.min(52),
    }
}

/// Whether the processor has a local APIC that is not disabled (CPUID.01H:EDX bit 9). Context: any.
#[must_use]
pub fn has_local_apic() -> bool {
    cpuid(1, 0).edx & 1 << 9 != 0
}

/// Whether a hypervisor reports its presence (CPUID.01H:ECX bit 31).
///
/// Context: any.
#[must_use]
pub fn has_hypervisor() -> bool {
    cpuid(1, 0).ecx & 1 << 31 != 0
}

/// RIP, RBP and RSP of the caller, from which its frames can be walked.
///
/// Context: any.
#[expect(
    clippy::inline_always,
    reason = "as a call it would show its own frame"
)]
#[inline(always)]
#[must_use]
pub fn position() -> (u64, u64, u64) {
    let (rip, rbp, rsp);
    // SAFETY: Only reads three registers.
    unsafe {
        core::arch::asm!("lea {}, [rip]", "mov {}, rbp", "mov {}, rsp",
            out(reg) rip, out(reg) rbp, out(reg) rsp,
            options(nomem, nostack, preserves_flags));
    }
    (rip, rbp, rsp)
}

/// This CPU's initial APIC ID: 32 bits if leaf 0BH exists, otherwise 8 (SDM vol. 3A, 10.4.6).
///
/// Context: any.
#[must_use]
pub fn initial_apic_id() -> u32 {
    let extended = cpuid(0xb, 0);
    if extended.ebx == 0 {
        return cpuid(1, 0).ebx >> 24;
    }
    extended.edx
}

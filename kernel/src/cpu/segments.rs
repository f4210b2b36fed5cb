//! Each CPU's GDT and TSS.

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, FS, GS, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};

use super::percpu::PerCpu;

/// Selector of the kernel's code segment: the first entry after the null descriptor.
pub(super) const KERNEL_CODE: u16 = 0x08;

/// Fills `cpu`'s GDT and TSS and loads them, the segment registers and the GS base, on the CPU
/// that runs this code. All IST entries begin at `exception_stack`.
///
/// # Safety
///
/// `cpu` must be this CPU's block, and nothing else use it. Interrupts off.
pub(super) unsafe fn load(cpu: &'static PerCpu, exception_stack: u64) {
    for ist in 1..=4 {
        // SAFETY: 1. Passed on to the caller.
        unsafe { set_exception_stack(cpu, ist, exception_stack) };
    }
    // SAFETY: 1. The caller vouches that nothing else uses the block.
    let gdt = unsafe { &mut *cpu.gdt.get() };
    *gdt = GlobalDescriptorTable::empty();
    let code = gdt.append(Descriptor::kernel_code_segment());
    let data = gdt.append(Descriptor::kernel_data_segment());
    // SYSRET takes its selectors in this order: data, then code (SDM vol. 2B, SYSRET).
    gdt.append(Descriptor::user_data_segment());
    gdt.append(Descriptor::user_code_segment());
    // SAFETY: 1. The block, and the TSS in it, lives for ever.
    let tss = gdt.append(unsafe { Descriptor::tss_segment_unchecked(cpu.tss.get()) });
    assert_eq!(code.0, KERNEL_CODE, "the gates hold this selector");

    // SAFETY: 1. The block lives for ever, and its GDT is not written any more.
    unsafe { gdt.load_unsafe() };
    // SAFETY: 1. The selector is that of a 64-bit code segment of ring 0.
    unsafe { CS::set_reg(code) };
    // SAFETY: 1. The selector is that of a writable data segment of ring 0.
    unsafe { SS::set_reg(data) };
    for set in [DS::set_reg, ES::set_reg, FS::set_reg, GS::set_reg] {
        // SAFETY: 1. A null selector is valid in 64-bit mode; these segments are not used.
        unsafe { set(SegmentSelector::NULL) };
    }
    // After GS: loading the selector clears the base.
    // SAFETY: 1. Passed on to the caller.
    unsafe { cpu.install() };
    // SAFETY: 1. The descriptor is that of an available 64-bit TSS which lives for ever.
    unsafe { load_tss(tss) };
}

/// Sets where IST entry `ist` (1..=7) of `cpu` begins.
///
/// # Safety
///
/// `top` must end memory fit for a stack. No exception of that entry may be in service.
pub(super) unsafe fn set_exception_stack(cpu: &PerCpu, ist: u8, top: u64) {
    // SAFETY: 1. The TSS belongs to this CPU; the processor reads it only at a delivery.
    let tss = unsafe { &mut *cpu.tss.get() };
    tss.interrupt_stack_table[usize::from(ist) - 1] = VirtAddr::new(top);
}

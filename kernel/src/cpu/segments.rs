//! Each CPU's GDT and TSS.

use core::cell::UnsafeCell;

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, FS, GS, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

use crate::cpu_local::PerCpu;

/// Selector of the kernel's code segment: the first entry after the null descriptor.
pub(crate) const KERNEL_CODE: u16 = 0x08;

/// Null, kernel code and data, user data and code, and the two halves of the TSS descriptor.
const GDT_ENTRIES: usize = 8;

/// The descriptor tables of a CPU.
struct Tables {
    gdt: UnsafeCell<GlobalDescriptorTable<GDT_ENTRIES>>,
    tss: UnsafeCell<TaskStateSegment>,
}

// SAFETY: They are written only by this module, on the CPU to which they belong, while its code
// does not use them; other CPUs never access them.
unsafe impl Sync for Tables {}

crate::cpu_local! {
    static TABLES: Tables = Tables {
        gdt: UnsafeCell::new(GlobalDescriptorTable::empty()),
        tss: UnsafeCell::new(TaskStateSegment::new()),
    };
}

/// A small stack for exceptions early in the boot, before stacks can be mapped.
#[repr(C, align(4096))]
pub(crate) struct EarlyStack(UnsafeCell<[u8; EARLY_STACK_SIZE]>);

// A report needs about half of this.
const EARLY_STACK_SIZE: usize = 16 * 1024;

// SAFETY: Only the processor uses it, through the TSS.
unsafe impl Sync for EarlyStack {}

impl EarlyStack {
    /// The address above its last byte.
    pub(crate) fn top(&self) -> u64 {
        self.0.get() as u64 + EARLY_STACK_SIZE as u64
    }
}

/// The boot CPU's early exception stack. All four IST entries share it, because each of these
/// exceptions is fatal at that time.
pub(crate) static EARLY_EXCEPTION_STACK: EarlyStack =
    EarlyStack(UnsafeCell::new([0; EARLY_STACK_SIZE]));

/// Fills `cpu`'s GDT and TSS on the calling CPU, and loads them, the segment registers and the GS
/// base. All IST entries begin at `exception_stack`.
///
/// # Safety
///
/// `cpu` must be this CPU's block, and no other code may use it. Interrupts off.
pub(crate) unsafe fn load(cpu: PerCpu, exception_stack: u64) {
    for ist in 1..=4 {
        // SAFETY: The caller guarantees it.
        unsafe { set_exception_stack(cpu, ist, exception_stack) };
    }
    // SAFETY: The caller guarantees that no other code uses the block.
    let gdt = unsafe { &mut *TABLES.of(cpu).gdt.get() };
    *gdt = GlobalDescriptorTable::empty();
    let code = gdt.append(Descriptor::kernel_code_segment());
    let data = gdt.append(Descriptor::kernel_data_segment());
    // SYSRET requires its selectors in this order: data, then code (SDM vol. 2B, SYSRET).
    gdt.append(Descriptor::user_data_segment());
    gdt.append(Descriptor::user_code_segment());
    // SAFETY: The block, and the TSS in it, lives forever.
    let tss = gdt.append(unsafe { Descriptor::tss_segment_unchecked(TABLES.of(cpu).tss.get()) });
    assert_eq!(code.0, KERNEL_CODE, "the gates hold this selector");

    // SAFETY: The block lives forever, and its GDT is not written any more.
    unsafe { gdt.load_unsafe() };
    // SAFETY: The selector is that of a 64-bit code segment of ring 0.
    unsafe { CS::set_reg(code) };
    // SAFETY: The selector is that of a writable data segment of ring 0.
    unsafe { SS::set_reg(data) };
    for set in [DS::set_reg, ES::set_reg, FS::set_reg, GS::set_reg] {
        // SAFETY: A null selector is valid in 64-bit mode; these segments are not used.
        unsafe { set(SegmentSelector::NULL) };
    }
    // After GS: loading the selector clears the base.
    // SAFETY: The caller guarantees it.
    unsafe { cpu.install() };
    // SAFETY: The descriptor is that of an available 64-bit TSS that lives forever.
    unsafe { load_tss(tss) };
}

/// Sets the stack of IST entry `ist` (1..=7) of `cpu`.
///
/// # Safety
///
/// `top` must be the end of memory that may be used as a stack. No exception of that entry may be
/// in service.
pub(crate) unsafe fn set_exception_stack(cpu: PerCpu, ist: u8, top: u64) {
    // SAFETY: The TSS belongs to this CPU; the processor reads it only at a delivery.
    let tss = unsafe { &mut *TABLES.of(cpu).tss.get() };
    tss.interrupt_stack_table[usize::from(ist) - 1] = VirtAddr::new(top);
}

//! The code that raises each exception, for `fault`.
//!
//! All of this code is deliberately wrong. It is sound only because the exception is certain:
//! either a fault injection leaves no state that breaks later code, or the kernel stops before such
//! code runs.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::hint::black_box;
use core::ptr::copy_nonoverlapping;

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, SS, Segment};
use x86_64::instructions::tables::{lgdt, lidt, sgdt};
use x86_64::registers::control::{Cr0, Cr0Flags};
use x86_64::structures::DescriptorTablePointer;

use tocsin_logic::vector::PriorityClass;

use tocsin::boot::image;
use tocsin::hw::control::Features;
use tocsin::hw::processor;
use tocsin::line::{Line, Request, Source};
use tocsin::priority::raise;
use tocsin::trap::idt;
use tocsin::{cpu, deferred, println, sync, time};

/// A function that raises an exception.
pub(super) type Injection = fn();

/// A non-canonical address (SDM vol. 1, 3.3.7.1).
const NON_CANONICAL: u64 = 0x8000_0000_0000_0000;

/// A writable data segment of ring 0 without the present bit.
const ABSENT_DATA_SEGMENT: [u64; 2] = [0x00cf_1300_0000_ffff, 0];

/// A canonical address that is not mapped.
const UNMAPPED: u64 = 0xffff_c0de_0000_0000;

pub(super) fn divide_error() {
    // SAFETY: #DE is fatal.
    unsafe {
        asm!("xor edx, edx", "mov eax, 1", "xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _);
    };
}

pub(super) fn debug_trap() {
    // SAFETY: #DB is reported, and the code continues. The opcode is that of INT1.
    unsafe { asm!(".byte 0xf1") };
}

pub(super) fn breakpoint() {
    x86_64::instructions::interrupts::int3();
}

pub(super) fn undefined_opcode() {
    // SAFETY: #UD is fatal.
    unsafe { asm!("ud2") };
}

pub(super) fn no_math() {
    // SAFETY: TS only makes floating-point instructions fault, and the kernel contains none.
    unsafe { Cr0::update(|cr0| cr0.insert(Cr0Flags::TASK_SWITCHED)) };
    // SAFETY: #NM is fatal.
    unsafe { asm!("fnop") };
}

pub(super) fn double_fault() {
    // SAFETY: The push faults, and so does the delivery of that fault. The resulting #DF has its
    // own stack and is fatal.
    unsafe { asm!("mov rsp, {}", "push rax", in(reg) UNMAPPED) };
}

pub(super) fn invalid_tss() {
    let gdt = ScratchGdt::install();
    // Type 9, present, limit 0x23: it ends where IST1 begins. The base is 0, because nothing is
    // read.
    let selector = gdt.append([0x0000_8900_0000_0023, 0]);
    // SAFETY: The descriptor is that of an available TSS. The exception that follows has no IST
    // entry and needs none.
    unsafe { asm!("ltr {0:x}", ".byte 0xf1", in(reg) selector) };
}

pub(super) fn not_present() {
    let selector = ScratchGdt::install().append(ABSENT_DATA_SEGMENT);
    // SAFETY: #NP is fatal.
    unsafe { asm!("mov fs, {0:x}", in(reg) selector) };
}

pub(super) fn stack_fault() {
    let selector = ScratchGdt::install().append(ABSENT_DATA_SEGMENT);
    // SAFETY: #SS is fatal. For SS, a segment that is not present raises #SS instead of #NP (SDM
    // vol. 3A, 7.15).
    unsafe { asm!("mov ss, {0:x}", in(reg) selector) };
}

pub(super) fn general_protection() {
    // SAFETY: #GP is fatal.
    unsafe { asm!("mov rax, [{}]", in(reg) NON_CANONICAL, out("rax") _) };
}

pub(super) fn selector_fault() {
    // SAFETY: #GP is fatal: index 512 is beyond the GDT.
    unsafe { asm!("mov fs, {0:x}", in(reg) 512u32 << 3) };
}

pub(super) fn idt_limit() {
    let pointer = DescriptorTablePointer {
        limit: 32 * 16 - 1,
        base: VirtAddr::new(idt::address()),
    };
    // SAFETY: The table is the kernel's own; its first 32 gates still serve every exception.
    unsafe { lidt(&pointer) };
    // SAFETY: #GP is fatal.
    unsafe { asm!("int 0x80") };
}

pub(super) fn page_fault() {
    read(UNMAPPED);
}

pub(super) fn math_fault() {
    let control: u16 = 0x037f & !(1 << 2);
    // SAFETY: The kernel uses no floating point. #MF is fatal.
    unsafe {
        asm!("fninit", "fldcw [{}]", "fld1", "fldz", "fdivp", "fwait", in(reg) &raw const control);
    };
}

pub(super) fn simd_fault() {
    if Features::get().contains(Features::SSE) {
        let control: u32 = 0x1f80 & !(1 << 9);
        let one = 1.0f32.to_bits();
        // SAFETY: CR4.OSFXSR is set. The kernel itself uses no SSE registers.
        unsafe {
            asm!("ldmxcsr [{}]", "movd xmm0, {:e}", "xorps xmm1, xmm1", "divss xmm0, xmm1",
                in(reg) &raw const control, in(reg) one);
        }
    }
    println!("fault: this processor did not raise #XM; INT 19 instead");
    software_interrupt(19);
}

pub(super) fn null_read() {
    read(0);
}

pub(super) fn null_write() {
    write(0);
}

pub(super) fn null_call() {
    call(0);
}

pub(super) fn text_write() {
    write(idt::stub(255));
}

pub(super) fn rodata_write() {
    static CONSTANT: u64 = 0x0123_4567_89ab_cdef;
    write(&raw const CONSTANT as u64);
}

pub(super) fn idt_write() {
    write(idt::address());
}

pub(super) fn execute_data() {
    /// RET instructions, in case the processor executes them.
    static CODE: Scratch<[u8; 16]> = Scratch(UnsafeCell::new([0xc3; 16]));
    call(CODE.0.get() as u64);
}

pub(super) fn stack_overflow() {
    recurse(0);
}

#[expect(
    unconditional_recursion,
    reason = "overflowing the stack is its purpose"
)]
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(depth + 1) + frame[0]
}

pub(super) fn panic() {
    panic!(
        "requested by the `fault` command, image at {:#x}",
        image::virtual_range().start
    );
}

pub(super) fn lock_up() {
    sync::without_interrupts(|| {
        let end = time::timestamp_at(time::nanoseconds() + 5_000_000_000);
        // The loop calls no function: an NMI at the first instruction of a function finds no frame
        // of it, and its backtrace lacks the caller.
        while processor::timestamp() < end {
            core::hint::spin_loop();
        }
    });
}

/// The class of a handler that does not return.
const STUCK: PriorityClass = PriorityClass::new(6).unwrap();

pub(super) fn lock_up_handler() {
    let request = Request {
        name: "lockup",
        source: Source::Message,
        class: STUCK,
        cpu: cpu::current().id(),
    };
    // The drop of the line waits for the handler.
    match Line::new(request, stay) {
        Ok(line) => line
            .trigger()
            .unwrap_or_else(|error| println!("fault: {error}")),
        Err(error) => println!("fault: {error}"),
    }
}

pub(super) fn lock_up_raised() {
    let _raised = raise(STUCK);
    stay();
}

/// Spins while interrupts of lower classes are masked.
#[inline(never)]
fn stay() {
    let end = time::timestamp_at(time::nanoseconds() + 8_000_000_000);
    // The loop calls no function: see `lock_up`.
    while processor::timestamp() < end {
        core::hint::spin_loop();
    }
}

pub(super) fn starve_thread() {
    extern "C" fn again(end: usize) {
        // The cast is lossless: `usize` has 64 bits.
        if processor::timestamp() < end as u64 {
            // The queue has a free slot while the work runs: its own.
            let _ = deferred::defer(again, end);
        }
    }
    let end = time::timestamp_at(time::nanoseconds() + 14_000_000_000);
    again(end as usize);
    while processor::timestamp() < end {
        core::hint::spin_loop();
    }
}

#[inline(never)]
fn read(address: u64) {
    // SAFETY: #PF is fatal.
    unsafe { asm!("mov rax, [{}]", in(reg) address, out("rax") _) };
}

#[inline(never)]
fn write(address: u64) {
    // SAFETY: #PF is fatal.
    unsafe { asm!("mov qword ptr [{}], 0", in(reg) address) };
}

#[inline(never)]
fn call(address: u64) {
    // SAFETY: #PF is fatal.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("C")) };
}

// `int n` encodes its vector in the instruction, so each vector has a stub of eight bytes.
global_asm!(
    r#"
    .section .text.inject, "ax"
    .balign 8
    .global software_interrupts
software_interrupts:
    .set vector, 0
    .rept 256
        push rbp                    // a frame, so that a backtrace shows the caller
        mov rbp, rsp
        .byte 0xcd, vector          // int vector
        pop rbp
        ret
        .balign 8
        .set vector, vector + 1
    .endr
    .text
    "#
);

unsafe extern "C" {
    static software_interrupts: u8;
}

/// Raises `vector` by INT n. It must not be used for a vector with an error code, because INT
/// pushes none.
pub(super) fn software_interrupt(vector: u8) {
    let stub = &raw const software_interrupts as u64 + u64::from(vector) * 8;
    // SAFETY: The stub consists of `int` and `ret`. The entry code preserves all registers.
    unsafe { asm!("call {}", in(reg) stub, clobber_abi("C")) };
}

/// Enters the gate of `vector` with the frame that the processor would push.
pub(super) fn built_frame(vector: u8, error_code: u64) {
    // SAFETY: The frame is that of SDM vol. 3A, 7.14.2: if the entry code returns, it returns to
    // label 2 with the old stack pointer.
    unsafe {
        asm!(
            "mov {old}, rsp",
            "and rsp, -16",
            "push {ss}",
            "push {old}",
            "pushfq",
            "push {cs}",
            "lea {old}, [rip + 2f]",
            "push {old}",
            "push {error_code}",
            "cli",
            "jmp {stub}",
            "2:",
            old = out(reg) _,
            ss = in(reg) u64::from(SS::get_reg().0),
            cs = in(reg) u64::from(CS::get_reg().0),
            error_code = in(reg) error_code,
            stub = in(reg) idt::stub(vector),
        );
    }
}

/// Memory that a fault injection may corrupt.
#[repr(C, align(16))]
struct Scratch<T>(UnsafeCell<T>);

// SAFETY: Each use is fatal, so corrupted contents affect only the injected fault.
unsafe impl<T> Sync for Scratch<T> {}

/// A copy of this CPU's GDT with room for a descriptor that the real one lacks.
struct ScratchGdt {
    entries: *mut u64,
    used: usize,
}

impl ScratchGdt {
    /// Copies the current GDT and loads the copy.
    fn install() -> Self {
        static TABLE: Scratch<[u64; 32]> = Scratch(UnsafeCell::new([0; 32]));
        let entries = TABLE.0.get().cast::<u64>();
        let pointer = sgdt();
        let used = (usize::from(pointer.limit) + 1) / 8;
        // SAFETY: The GDT is `used` entries long, fewer than 30, and the copy has 32.
        unsafe { copy_nonoverlapping(pointer.base.as_ptr(), entries, used) };
        let copy = DescriptorTablePointer {
            limit: 32 * 8 - 1,
            base: VirtAddr::new(entries as u64),
        };
        // SAFETY: The copy contains all entries of the old GDT, at the same indices.
        unsafe { lgdt(&copy) };
        Self { entries, used }
    }

    /// Appends a descriptor of 16 bytes; returns its selector.
    fn append(&self, [low, high]: [u64; 2]) -> u32 {
        // SAFETY: `used` is at most 30: see `install`.
        let end = unsafe { self.entries.add(self.used) };
        // SAFETY: As above, so two more entries fit.
        unsafe { end.cast::<[u64; 2]>().write([low, high]) };
        // The cast is lossless: the value is at most 30 << 3.
        (self.used as u32) << 3
    }
}

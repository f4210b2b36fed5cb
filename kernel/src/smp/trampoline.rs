//! The AP start-up code in real mode, in a page below 1 MiB (SDM vol. 3A, 10.4.4.1).
//!
//! The code is copied there together with one [`Slot`] for each AP. All APs run it at once. Each AP
//! finds its slot by the ID register of its own local APIC, to which INIT and start-up IPIs are
//! addressed; the ID in CPUID may differ. It claims the slot by an atomic exchange of the stage, so
//! that two CPUs never share a slot, and a CPU that has been abandoned cannot continue. A CPU that
//! finds no slot halts and is counted in the header.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, Ordering};

use tocsin_logic::apic::ApicId;
use tocsin_logic::layout::DIRECT_MAP;
use tocsin_logic::smp::Stage;

use super::slot::{ApStart, SLOT_SIZE, Slot};
use crate::hw::control::Features;
use crate::memory::frames::FRAME;
use crate::memory::paging::Use;
use crate::memory::{MemoryError, frames, mapping, paging};

const _: () = assert!(size_of::<Header>() == 64);

/// The header of the copy, which begins with a jump over it.
#[repr(C)]
#[derive(Debug)]
struct Header {
    jump: AtomicU32,
    /// Physical address of the copy.
    base: u32,
    /// Physical address of the kernel's top-level page table.
    root: u32,
    /// Bits to set in EFER.
    efer: u32,
    /// Number of slots.
    slots: u32,
    /// Far pointers to the 32-bit and the 64-bit code: offset, then selector.
    far32: [u16; 4],
    far64: [u16; 4],
    /// Limit and base of the temporary GDT.
    gdt_limit: u16,
    gdt_base: [u16; 2],
    reserved: u16,
    /// Whether the local APIC is put into x2APIC mode before its ID is read.
    x2apic: u32,
    /// Number of CPUs that have run the first instructions.
    arrived: AtomicU32,
    /// Number of CPUs that have found no slot to claim.
    unlisted: AtomicU32,
    /// The APIC ID of the last of them.
    unlisted_id: AtomicU32,
    reserved_too: u32,
}

/// The replacement of the header's jump: `hlt`, and a jump back to it. The same in 16-bit and
/// 32-bit mode.
const HALT: u32 = u32::from_le_bytes([0xf4, 0xeb, 0xfd, 0x90]);

// AT&T syntax: in Intel syntax the assembler cannot distinguish constants from addresses in the
// 16-bit code.
global_asm!(
    r#"
    .section .rodata.trampoline, "a"
    .balign 16
    .global trampoline_start, trampoline_32, trampoline_64, trampoline_gdt, trampoline_end
    .code16
trampoline_start:
    jmp 1f
    .balign 4
trampoline_base:    .long 0
trampoline_root:    .long 0
trampoline_efer:    .long 0
trampoline_slots:   .long 0
trampoline_far32:   .long 0, 0x08
trampoline_far64:   .long 0, 0x18
trampoline_gdtr:    .word 0, 0, 0, 0
trampoline_x2apic:  .long 0
trampoline_arrived: .long 0
trampoline_unlisted: .long 0
trampoline_unlisted_id: .long 0
    .balign 64

1:  cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    lock incl (trampoline_arrived - trampoline_start)
    movl (trampoline_base - trampoline_start), %ebp
    lgdtl (trampoline_gdtr - trampoline_start)
    // After INIT the caches are off (CD and NW set; SDM vol. 3A, 11.1.1).
    movl $0x11, %eax
    movl %eax, %cr0
    ljmpl *(trampoline_far32 - trampoline_start)

    .code32
trampoline_32:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss

    // The local APIC's own ID. INIT leaves the mode as it was (SDM vol. 3A, 12.12.5.1).
    movl $0x1b, %ecx            // IA32_APIC_BASE
    rdmsr
    cmpl $0, (trampoline_x2apic - trampoline_start)(%ebp)
    je 1f
    // In xAPIC mode the ID has only 8 bits, so first the mode that the kernel uses. EN, then EXTD:
    // legal from every state (SDM vol. 3A, 12.12.5).
    orl $0x800, %eax
    wrmsr
    orl $0x400, %eax
    wrmsr
1:  testl $0x400, %eax
    jz 2f
    movl $0x802, %ecx
    rdmsr
    jmp 3f
2:  andl $0xfffff000, %eax
    movl 0x20(%eax), %eax
    shrl $24, %eax
    testl %edx, %edx            // Registers above 4 GiB cannot be read here.
    jz 3f
    movl $-1, %eax

3:  movl %eax, %edi
    leal (trampoline_end - trampoline_start)(%ebp), %esi
    movl (trampoline_slots - trampoline_start)(%ebp), %ecx
4:  cmpl %edi, (%esi)
    jne 5f
    movl ${silent}, %eax
    movl ${protected_mode}, %edx
    lock cmpxchgl %edx, 4(%esi)
    je 6f
    cmpl ${abandoned}, %eax
    je 7f
5:  addl ${slot_size}, %esi
    decl %ecx
    jnz 4b
    movl %edi, (trampoline_unlisted_id - trampoline_start)(%ebp)
    lock incl (trampoline_unlisted - trampoline_start)(%ebp)
    jmp 7f

6:  cmpb ${protected_mode}, {fail_at}(%esi)
    je 7f
    // PAE, CR3, EFER.LME, paging: SDM vol. 3A, 11.8.5.
    movl $0x20, %eax
    movl %eax, %cr4
    movl (trampoline_root - trampoline_start)(%ebp), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl (trampoline_efer - trampoline_start)(%ebp), %eax
    wrmsr
    movl $0x80010011, %eax
    movl %eax, %cr0
    ljmpl *(trampoline_far64 - trampoline_start)(%ebp)
7:  hlt
    jmp 7b

    .code64
trampoline_64:
    // From here on the slot is seen through the direct map.
    movl %esi, %esi
    movabsq ${direct_map}, %rax
    addq %rax, %rsi
    cmpb ${long_mode}, {late_at}(%rsi)
    jne 2f
1:  pause
    cmpl ${abandoned}, 4(%rsi)
    jne 1b
2:  movl ${protected_mode}, %eax
    movl ${long_mode}, %edx
    lock cmpxchgl %edx, 4(%rsi)
    jne 8f
    cmpb ${long_mode}, {fail_at}(%rsi)
    je 8f
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs
    movq 8(%rsi), %rsp
    movq %rsi, %rdi
    xorl %ebp, %ebp
    movabsq ${entry}, %rax
    pushq $0                    // The return address that ends the chain of calls.
    jmpq *%rax
8:  hlt
    jmp 8b

    .balign 8
trampoline_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff    // 0x08: 32-bit code
    .quad 0x00cf93000000ffff    // 0x10: data
    .quad 0x00af9b000000ffff    // 0x18: 64-bit code
    .balign {slot_size}
trampoline_end:
    .text
    "#,
    slot_size = const SLOT_SIZE,
    fail_at = const core::mem::offset_of!(Slot, fail_at),
    late_at = const core::mem::offset_of!(Slot, late_at),
    silent = const Stage::Silent as u32,
    abandoned = const Stage::Abandoned as u32,
    protected_mode = const Stage::ProtectedMode as u32,
    long_mode = const Stage::LongMode as u32,
    direct_map = const DIRECT_MAP,
    entry = sym super::ap::entry,
    options(att_syntax)
);

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_32: u8;
    static trampoline_64: u8;
    static trampoline_gdt: u8;
    static trampoline_end: u8;
}

/// Size of the code before the slots, in bytes.
fn code_size() -> u64 {
    &raw const trampoline_end as u64 - &raw const trampoline_start as u64
}

/// The trampoline in memory, ready for APs.
#[derive(Debug)]
pub(super) struct Trampoline {
    base: u64,
    header: &'static Header,
    slots: &'static [Slot],
}

/// Number of CPUs that ran the start-up code and found no slot to claim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unlisted {
    pub(super) count: u32,
    /// The APIC ID of the last of them.
    pub(super) last_id: ApicId,
}

impl Trampoline {
    /// Copies the code and writes the slots of `aps`, which start in x2APIC mode if `x2apic` is
    /// set.
    ///
    /// # Errors
    ///
    /// [`MemoryError`], if there is no usable memory below 1 MiB.
    pub(super) fn install(aps: &[ApStart], x2apic: bool) -> Result<Self, MemoryError> {
        let code_size = code_size();
        let base = frames::allocate_low(code_size + (aps.len() * SLOT_SIZE) as u64)?;
        // SAFETY: The block belongs to this function alone, is in the direct map, and is large
        // enough for code and slots.
        unsafe {
            frames::pointer::<u8>(base)
                .copy_from_nonoverlapping(&raw const trampoline_start, code_size as usize);
        }
        // Addresses below 1 MiB fit into 32 bits.
        let address = |symbol: *const u8| {
            (base + (symbol as u64 - &raw const trampoline_start as u64)) as u32
        };
        let halves = |value: u32| [value as u16, (value >> 16) as u16];
        let far = |symbol, selector| {
            let [low, high] = halves(address(symbol));
            [low, high, selector, 0]
        };
        let nx = if Features::get().contains(Features::NX) {
            1 << 11
        } else {
            0
        };
        let header = frames::pointer::<Header>(base);
        // SAFETY: The copy begins with a header. Only its jump must not be changed. No AP runs yet.
        let header = unsafe { &mut *header };
        header.base = base as u32;
        header.root = u32::try_from(paging::root()).map_err(|_| MemoryError::NoRoomForTables)?;
        header.efer = 1 << 8 | nx;
        header.slots = aps.len() as u32;
        header.x2apic = x2apic.into();
        header.far32 = far(&raw const trampoline_32, 0x08);
        header.far64 = far(&raw const trampoline_64, 0x18);
        header.gdt_limit = 4 * 8 - 1;
        header.gdt_base = halves(address(&raw const trampoline_gdt));
        let header: &'static Header = header;

        let first = frames::pointer::<Slot>(base + code_size);
        for (index, ap) in aps.iter().enumerate() {
            let slot = first.wrapping_add(index);
            // SAFETY: The block has room for all slots behind the code, aligned to their size.
            unsafe { slot.write(Slot::new(ap)) };
        }
        // SAFETY: All slots have been written, and the block is never freed. APs change only the
        // stages, which are atomic.
        let slots = unsafe { core::slice::from_raw_parts(first, aps.len()) };
        // SAFETY: The page is the code just copied; the AP runs it at its physical address when it
        // enables paging. The mapping is executable and not writable.
        unsafe { mapping::map(base..base + FRAME, base, Use::Code)? };
        Ok(Self {
            base,
            header,
            slots,
        })
    }

    /// Physical address of the code, the beginning of a page below 1 MiB.
    pub(super) fn address(&self) -> u64 {
        self.base
    }

    /// Replaces the first instruction by `hlt`, so that no further CPU runs the start-up code. CPUs
    /// that have passed it stop at their next stage, if they have been abandoned.
    pub(super) fn disarm(&self) {
        self.header.jump.store(HALT, Ordering::SeqCst);
    }

    /// Number of CPUs that have run the first instructions.
    pub(super) fn arrived(&self) -> u32 {
        self.header.arrived.load(Ordering::Acquire)
    }

    /// The CPUs that have found no slot; `None` if all found one.
    pub(super) fn unlisted(&self) -> Option<Unlisted> {
        let count = self.header.unlisted.load(Ordering::Acquire);
        let last_id = ApicId(self.header.unlisted_id.load(Ordering::Acquire));
        (count > 0).then_some(Unlisted { count, last_id })
    }

    /// The slots, in the order in which they were given.
    pub(super) fn slots(&self) -> &'static [Slot] {
        self.slots
    }

    /// Unmaps the code. No AP must have been abandoned in protected mode or in the 64-bit part: it
    /// may still enable paging or run there, and without the page that would be a triple fault.
    /// CPUs that have not claimed a slot cannot claim one any more.
    pub(super) fn unmap(self) {
        // SAFETY: By the contract above, no CPU runs the code with paging enabled, or will.
        let unmapped = unsafe { mapping::unmap(self.base..self.base + FRAME) };
        debug_assert!(unmapped.is_ok(), "the page was mapped by `install`");
    }
}

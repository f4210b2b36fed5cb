//! Where an AP begins: real mode, at a page below 1 MiB (SDM vol. 3A, 10.4.4.1).
//!
//! The code is copied there together with one [`Slot`] for each AP. All APs run it at once.
//! Each finds its slot by its own APIC ID, so the code needs no lock and no counter, and notes
//! the stage it reaches in the slot, so that one that dies can be named with the place.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, Ordering};

use tocsin_logic::apic::ApicId;
use tocsin_logic::layout::DIRECT_MAP;
use tocsin_logic::smp::Stage;

use crate::cpu::percpu::PerCpu;
use crate::hw::control::Features;
use crate::memory::frames::FRAME;
use crate::memory::paging::Use;
use crate::memory::{MemoryError, frames, mapping, paging};

/// What the trampoline knows of one AP. Read by the code below: its offsets are fixed.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Slot {
    /// The APIC ID by which the AP finds its slot.
    listed_id: u32,
    /// How far it has come: a [`Stage`].
    stage: AtomicU32,
    /// First value of its stack pointer.
    stack_top: u64,
    /// Its per-CPU block.
    pub(super) cpu: &'static PerCpu,
    /// The stage at which it shall die, for tests; [`Stage::NEVER`] otherwise.
    die_at: u32,
    /// The APIC ID that IPIs to it are sent to: the same, but for a test.
    apic_id: u32,
}

const _: () = assert!(size_of::<Slot>() == SLOT_SIZE && size_of::<Header>() == 64);
const SLOT_SIZE: usize = 32;

/// What the code finds at its start, behind a jump over it.
#[repr(C)]
struct Header {
    jump: [u8; 4],
    /// Physical address of the copy.
    base: u32,
    /// Physical address of the kernel's top-level page table.
    root: u32,
    /// What to set in EFER.
    efer: u32,
    /// Number of slots.
    slots: u32,
    /// Where the 32-bit and the 64-bit code is: offset, then selector.
    far32: [u16; 4],
    far64: [u16; 4],
    /// Limit and base of the GDT for the way up.
    gdt_limit: u16,
    gdt_base: [u16; 2],
    reserved: [u8; 22],
}

// AT&T syntax: in Intel syntax the assembler cannot tell the 16-bit code's constants from
// addresses.
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
trampoline_gdtr:    .word 0, 0, 0
    .balign 64

1:  cli
    cld
    movw %cs, %ax
    movw %ax, %ds

    // The APIC ID: 32 bits of it where leaf 0BH is there, else 8 (SDM vol. 3A, 10.4.6).
    xorl %eax, %eax
    cpuid
    cmpl $0x0b, %eax
    jb 2f
    movl $0x0b, %eax
    xorl %ecx, %ecx
    cpuid
    testl %ebx, %ebx
    jnz 3f
2:  movl $1, %eax
    cpuid
    shrl $24, %ebx
    movl %ebx, %edx

3:  movl $(trampoline_end - trampoline_start), %esi
    movl (trampoline_slots - trampoline_start), %ecx
4:  cmpl %edx, (%si)
    je 6f
    addw ${slot_size}, %si
    decl %ecx
    jnz 4b
5:  hlt                         // Nobody waits for this CPU.
    jmp 5b

6:  movl ${real_mode}, 4(%si)
    cmpl ${real_mode}, {die_at}(%si)
    je 5b
    movl (trampoline_base - trampoline_start), %ebp
    addl %ebp, %esi             // The slot, as a physical address.
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
    movl ${protected_mode}, 4(%esi)
    cmpl ${protected_mode}, {die_at}(%esi)
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
    movl ${long_mode}, 4(%rsi)
    cmpl ${long_mode}, {die_at}(%rsi)
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
    die_at = const core::mem::offset_of!(Slot, die_at),
    real_mode = const Stage::RealMode as u32,
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

/// Bytes of code before the slots.
fn code_size() -> u64 {
    &raw const trampoline_end as u64 - &raw const trampoline_start as u64
}

/// The trampoline in place, ready for APs; frees its mapping, not its memory, when dropped.
#[derive(Debug)]
pub(super) struct Trampoline {
    base: u64,
    slots: &'static [Slot],
}

/// What a slot is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct ApStart {
    pub(super) apic_id: ApicId,
    pub(super) listed_id: ApicId,
    pub(super) stack_top: u64,
    pub(super) cpu: &'static PerCpu,
    pub(super) die_at: u32,
}

impl Trampoline {
    /// Copies the code and writes the slots of `aps`.
    ///
    /// # Errors
    ///
    /// [`MemoryError`], if there is no room below 1 MiB.
    pub(super) fn install(aps: &[ApStart]) -> Result<Self, MemoryError> {
        let code_size = code_size();
        let base = frames::allocate_low(code_size + (aps.len() * SLOT_SIZE) as u64)?;
        // SAFETY: 1. The block is ours alone, in the direct map, and large enough for code and slots.
        unsafe {
            frames::pointer::<u8>(base)
                .copy_from_nonoverlapping(&raw const trampoline_start, code_size as usize);
        }
        // Addresses below 1 MiB: 32 bits are plenty.
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
        // SAFETY: 1. The copy begins with a header. 2. Only its jump has to stay as it is.
        let header = unsafe { &mut *header };
        header.base = base as u32;
        header.root = u32::try_from(paging::root()).map_err(|_| MemoryError::NoRoomForTables)?;
        header.efer = 1 << 8 | nx;
        header.slots = aps.len() as u32;
        header.far32 = far(&raw const trampoline_32, 0x08);
        header.far64 = far(&raw const trampoline_64, 0x18);
        header.gdt_limit = 4 * 8 - 1;
        header.gdt_base = halves(address(&raw const trampoline_gdt));

        let first = frames::pointer::<Slot>(base + code_size);
        for (index, ap) in aps.iter().enumerate() {
            let slot = Slot {
                listed_id: ap.listed_id.0,
                stage: AtomicU32::new(Stage::Silent as u32),
                stack_top: ap.stack_top,
                cpu: ap.cpu,
                die_at: ap.die_at,
                apic_id: ap.apic_id.0,
            };
            let place = first.wrapping_add(index);
            // SAFETY: 1. The block has room for all slots behind the code, aligned to their size.
            unsafe { place.write(slot) };
        }
        // SAFETY: 1. All slots have been written, and the block is never freed. 2. APs change only the
        // stages, which are atomic.
        let slots = unsafe { core::slice::from_raw_parts(first, aps.len()) };
        // SAFETY: 1. The page is the code just copied; the AP runs it at its physical address when
        // paging comes on. It may execute, and not be written, there.
        unsafe { mapping::map(base..base + FRAME, base, Use::Code)? };
        Ok(Self { base, slots })
    }

    /// Physical address of the code, the begin of a page below 1 MiB.
    pub(super) fn address(&self) -> u64 {
        self.base
    }

    /// Makes all of the code `hlt`, in 16-bit and 32-bit mode alike: an AP that comes when it has been
    /// given up halts, instead of turning paging on where its page is not mapped any more.
    pub(super) fn disarm(&self) {
        const HLT: u8 = 0xf4;
        let code = frames::pointer::<u8>(self.base);
        // SAFETY: 1. The code is in memory of its own, and the slots lie behind it. 2. APs that run it
        // meanwhile halt sooner or later, whatever mixture they see.
        unsafe { code.write_bytes(HLT, code_size() as usize) };
    }

    /// The slots, in the order they were given.
    pub(super) fn slots(&self) -> &'static [Slot] {
        self.slots
    }
}

impl Drop for Trampoline {
    fn drop(&mut self) {
        // SAFETY: 1. All APs that are online have left it, and one that is late finds `hlt` there before
        // it turns paging on.
        let unmapped = unsafe { mapping::unmap(self.base..self.base + FRAME) };
        debug_assert!(unmapped.is_ok(), "the page was mapped by `install`");
    }
}

impl Slot {
    /// How far the AP has come.
    pub(super) fn stage(&self) -> Stage {
        stage(self.stage.load(Ordering::Acquire))
    }

    /// The AP's APIC ID.
    pub(super) fn apic_id(&self) -> ApicId {
        ApicId(self.apic_id)
    }

    /// Notes that the AP has come to `stage`. Returns whether it may go on: not if the boot CPU has
    /// given up on it meanwhile, or a test wants it to die here.
    pub(super) fn reach(&self, stage: Stage) -> bool {
        let advance = |now| (now < stage as u32).then_some(stage as u32);
        let advanced = self
            .stage
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, advance);
        advanced.is_ok() && self.die_at != stage as u32
    }

    /// Gives up on the AP, unless it is ready. Returns the stage it had come to.
    pub(super) fn abandon(&self) -> Stage {
        let give_up = |now| (now < Stage::Ready as u32).then_some(Stage::Abandoned as u32);
        match self
            .stage
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, give_up)
        {
            Ok(number) | Err(number) => stage(number),
        }
    }
}

/// The stage with this number. The trampoline stores no other numbers.
fn stage(number: u32) -> Stage {
    Stage::from_number(number).unwrap_or(Stage::Silent)
}

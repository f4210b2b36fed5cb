//! The entry by a PVH loader (QEMU's `-kernel`): 32-bit protected mode, paging off.
//!
//! The start is Xen's: an ELF note gives the physical entry, EBX holds the physical address
//! of `struct hvm_start_info` (xen/include/public/arch-x86/hvm/start_info.h).

use core::arch::global_asm;
use core::ffi::{CStr, c_char};

use tocsin_logic::layout;
use tocsin_logic::memory_map::{Region, RegionKind};

use super::{BootError, BootInfo, Protocol, image, stack};

// The entry code runs where the image was loaded, without paging, so every symbol is used at
// its physical address, `symbol - KERNEL_BASE`. It maps the first 4 GiB with 2 MiB pages
// three times: at 0 (where it runs), at the direct map, and the first GiB at KERNEL_BASE.
global_asm!(
    r#"
    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 4, 18              // name size, descriptor size, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long pvh_entry - {base}

    .section .text.boot, "ax"
    .code32
    .global pvh_entry
pvh_entry:
    cli
    cld
    mov esp, offset {stack} + {stack_size} - {base}
    mov esi, ebx

    mov eax, 0x80000000         // Long mode must be there, else say so and stop.
    cpuid
    cmp eax, 0x80000001
    jb 9f
    mov eax, 0x80000001
    cpuid
    test edx, 1 << 29
    jz 9f
    mov ebp, edx                // Keeps the NX bit (20) for EFER.

    // Page directories: 2048 entries of 2 MiB, present, writable, large.
    mov edi, offset pvh_directories - {base}
    mov eax, 0x83
    mov ecx, 2048
2:  mov [edi], eax
    mov dword ptr [edi + 4], 0
    add eax, 0x200000
    add edi, 8
    loop 2b

    // Page-directory-pointer tables: the low one has all four directories,
    // the high one the first of them at KERNEL_BASE (entry 510).
    mov edi, offset pvh_pointers_low - {base}
    mov eax, offset pvh_directories - {base} + 3
    mov ecx, 4
3:  mov [edi], eax
    add eax, 0x1000
    add edi, 8
    loop 3b
    mov eax, offset pvh_directories - {base} + 3
    mov [pvh_pointers_high - {base} + 510 * 8], eax

    mov eax, offset pvh_pointers_low - {base} + 3
    mov [pvh_pml4 - {base}], eax
    mov [pvh_pml4 - {base} + {direct_slot} * 8], eax
    mov eax, offset pvh_pointers_high - {base} + 3
    mov [pvh_pml4 - {base} + 511 * 8], eax

    // SDM vol. 3A, 11.8.5: PAE, CR3, EFER.LME, then paging.
    mov eax, cr4
    or eax, 1 << 5
    mov cr4, eax
    mov eax, offset pvh_pml4 - {base}
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 1 << 8
    test ebp, 1 << 20
    jz 4f
    or eax, 1 << 11
4:  wrmsr
    mov eax, cr0
    or eax, (1 << 31) | (1 << 16) | 1
    mov cr0, eax

    lgdt [pvh_gdt_pointer - {base}]
    push 0x08
    mov eax, offset pvh_entry64 - {base}
    push eax
    retf

    // No long mode: a line on COM1, whose transmitter the firmware left usable.
9:  mov esi, offset pvh_no_long_mode - {base}
5:  lodsb
    test al, al
    jz 7f
    mov ah, al
    mov dx, 0x3fd
    mov ecx, 0x100000
6:  in al, dx
    test al, 0x20
    loopz 6b
    mov dx, 0x3f8
    mov al, ah
    out dx, al
    jmp 5b
7:  mov eax, {no_long_mode_status}
    mov dx, 0xf4
    out dx, eax
8:  cli
    hlt
    jmp 8b

    .code64
pvh_entry64:
    movabs rax, offset pvh_entry_high
    jmp rax
pvh_entry_high:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    lea rsp, [{stack} + {stack_size}]
    xor ebp, ebp
    mov edi, {protocol}
    mov esi, esi                // Clears the upper half of RSI, undefined after the switch.
    call kernel_start
    ud2

    .section .rodata.pvh, "a"
pvh_no_long_mode:
    .asciz "tocsin: this processor has no 64-bit mode; use qemu-system-x86_64 with -cpu qemu64 or max\r\n"
    .balign 8
pvh_gdt:
    .quad 0
    .quad 0x00af9b000000ffff    // 0x08: 64-bit code
    .quad 0x00cf93000000ffff    // 0x10: data
pvh_gdt_pointer:
    .short pvh_gdt_pointer - pvh_gdt - 1
    .long pvh_gdt - {base}

    .section .bss.pvh, "aw", @nobits
    .balign 4096
pvh_pml4:           .skip 4096
pvh_pointers_low:   .skip 4096
pvh_pointers_high:  .skip 4096
pvh_directories:    .skip 4 * 4096
    .text
    "#,
    base = const layout::KERNEL,
    stack = sym stack::BOOT_STACK,
    stack_size = const stack::SIZE,
    direct_slot = const (layout::DIRECT_MAP >> 39) & 511,
    protocol = const Protocol::Pvh.number(),
    no_long_mode_status = const tocsin_logic::exit::BASE + tocsin_logic::exit::STOPPED as u32,
);

/// `struct hvm_start_info`, version 1.
#[repr(C)]
#[derive(Clone, Copy)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

/// `struct hvm_modlist_entry`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Module {
    address: u64,
    length: u64,
    command_line: u64,
    reserved: u64,
}

/// `struct hvm_memmap_table_entry`; the types are those of the BIOS call E820.
#[repr(C)]
#[derive(Clone, Copy)]
struct MapEntry {
    address: u64,
    length: u64,
    kind: u32,
    reserved: u32,
}

const MAGIC: u32 = 0x336e_c578;

/// Copies the start info at physical address `start_info`.
///
/// # Safety
///
/// `start_info` must be what the loader passed, and its memory untouched.
pub(super) unsafe fn collect(info: &mut BootInfo, start_info: u64) -> Result<(), BootError> {
    // SAFETY: 1. The loader vouches for the address. 2. It is below 4 GiB, which is mapped.
    let start = unsafe { read::<StartInfo>(start_info, 0) };
    if start.magic != MAGIC {
        return Err(BootError::PvhMagic(start.magic));
    }
    // The map came with version 1.
    if start.version == 0 || start.memory_map_entries == 0 {
        return Err(BootError::NoMemory);
    }
    info.protocol = Protocol::Pvh;
    info.loader.push_str("PVH, directly");
    info.loader_direct_map = layout::DIRECT_MAP;
    info.rsdp = (start.rsdp != 0).then_some(start.rsdp);

    for index in 0..u64::from(start.memory_map_entries) {
        // SAFETY: 1. The loader says that this many entries are there. 2. As above.
        let entry = unsafe { read::<MapEntry>(start.memory_map, index) };
        info.memory.push(Region {
            start: entry.address,
            length: entry.length,
            kind: region_kind(entry.kind),
        })?;
    }
    info.image = image::virtual_range().start - layout::KERNEL;
    if start.module_count > 0 {
        // SAFETY: 1. The loader says that there is a first module. 2. As above.
        let module = unsafe { read::<Module>(start.modules, 0) };
        info.kernel_file = Some((module.address, module.length));
    }

    if start.command_line != 0 {
        let text = (layout::DIRECT_MAP + start.command_line) as *const c_char;
        // SAFETY: 1. The loader gives a zero-terminated string there. 2. As above.
        info.set_command_line(unsafe { CStr::from_ptr(text) }.to_bytes());
    }
    Ok(())
}

/// The types of the BIOS call E820.
fn region_kind(e820: u32) -> RegionKind {
    match e820 {
        1 => RegionKind::Usable,
        3 => RegionKind::AcpiReclaimable,
        4 => RegionKind::AcpiNvs,
        5 => RegionKind::Bad,
        _ => RegionKind::Reserved,
    }
}

/// Reads element `index` of a table at physical address `table`.
///
/// # Safety
///
/// The element must lie in memory below 4 GiB, which the entry code mapped.
unsafe fn read<T: Copy>(table: u64, index: u64) -> T {
    let address = layout::DIRECT_MAP + table + index * size_of::<T>() as u64;
    // SAFETY: 1. Passed on to the caller; unaligned, because the format promises nothing.
    unsafe { core::ptr::read_unaligned(address as *const T) }
}

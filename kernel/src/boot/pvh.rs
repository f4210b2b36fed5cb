//! The entry from a PVH loader (QEMU's `-kernel`): 32-bit protected mode, paging disabled.
//!
//! The protocol is Xen's: an ELF note specifies the physical entry point, and EBX holds the
//! physical address of `struct hvm_start_info` (xen/include/public/arch-x86/hvm/start_info.h).

use core::arch::global_asm;

use tocsin_logic::command_line::MAX_LENGTH;
use tocsin_logic::layout;
use tocsin_logic::memory_map::{Region, RegionKind};

use super::{BootError, BootInfo, Protocol, image, stack};

// The entry code runs at the load address of the image, without paging, so it uses every symbol at
// its physical address, `symbol - KERNEL_BASE`. It maps the first 4 GiB with 2 MiB pages at 0
// (where it runs) and at the direct map, and the first GiB at KERNEL_BASE.
global_asm!(
    r#"
    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 4, 18              // name size, descriptor size, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long pvh_entry - {base}

    .section .text.boot, "ax"
    .code32
    .global pvh_entry, pvh_entry64, pvh_entry_high
pvh_entry:
    cli
    cld
    // The tables of `early`. The segments are reloaded, because the loader's selectors need not
    // exist in the new table, and an IRET loads them.
    mov esp, offset boot_first_stack_top - {base}
    lgdt [boot_gdt_pointer - {base}]
    push 0x18
    mov eax, offset pvh_flat - {base}
    push eax
    retf
pvh_flat:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    lidt [boot_idt32_pointer - {base}]
    mov esi, ebx

    // The last word of the image must be memory, as all of the image is in one piece.
    mov edi, offset image_end - {base} - 4
    mov eax, 0x5ac0ffee
    mov [edi], eax
    wbinvd                      // So that the read does not hit the cache.
    cmp [edi], eax
    jne 10f
    // Firmware may have used the memory of .bss after the loader cleared it.
    mov edi, offset bss_start - {base}
    mov ecx, offset bss_end - {base}
    sub ecx, edi
    shr ecx, 2
    xor eax, eax
    rep stosd
    mov esp, offset {stack} + {stack_size} - {base}

    mov eax, 0x80000000         // Long mode must be there, else say so and stop.
    cpuid
    cmp eax, 0x80000001
    jb 9f
    mov eax, 0x80000001
    cpuid
    test edx, 1 << 29
    jz 9f
    mov ebp, edx                // Keeps the NX bit (20) for EFER.
    push esi
    call boot_check_processor
    pop esi

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
    lidt [boot_idt64_pointer - {base}]
    mov eax, cr0
    or eax, (1 << 31) | (1 << 16) | 1
    mov cr0, eax
    push 0x08
    mov eax, offset pvh_entry64 - {base}
    push eax
    retf

9:  call boot_print
    .asciz "tocsin: cannot start: this processor has no 64-bit mode; use qemu-system-x86_64 with -cpu qemu64 or max\r\n"
    jmp boot_stop
10: call boot_print
    .asciz "tocsin: cannot start: the memory is too small for the kernel image; give the machine 64 MiB or more\r\n"
    jmp boot_stop

    .code64
pvh_entry64:
    movabs rax, offset pvh_entry_high
    jmp rax
pvh_entry_high:
    xor eax, eax
    mov fs, eax
    mov gs, eax
    lea rsp, [{stack} + {stack_size}]
    xor ebp, ebp
    mov edi, {protocol}
    mov esi, esi                // Clears the upper half of RSI, undefined after the switch.
    call kernel_start
    ud2

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

/// Size of the physical memory that the entry code maps: the first 4 GiB.
const MAPPED: u64 = 4 << 30;

const MAGIC: u32 = 0x336e_c578;

/// Copies the start info at physical address `start_info`.
///
/// # Errors
///
/// [`BootError`], if it is not a start info, has no memory map, or contains an address outside the
/// first 4 GiB, where a PVH loader places everything (it enters the kernel in 32-bit mode).
///
/// # Safety
///
/// `start_info` must be the loader's argument, and the loader's memory must be unmodified.
pub(super) unsafe fn collect(info: &mut BootInfo, start_info: u64) -> Result<(), BootError> {
    // SAFETY: The caller guarantees that the address is the loader's, and that its memory is
    // unmodified.
    let start = unsafe { read::<StartInfo>("start info", start_info, 0)? };
    if start.magic != MAGIC {
        return Err(BootError::PvhMagic(start.magic));
    }
    // Version 1 introduced the memory map.
    if start.version == 0 || start.memory_map_entries == 0 {
        return Err(BootError::NoMemory);
    }
    info.protocol = Protocol::Pvh;
    info.loader.push_str("PVH, directly");
    info.loader_direct_map = layout::DIRECT_MAP;
    info.rsdp = (start.rsdp != 0).then_some(start.rsdp);

    for index in 0..u64::from(start.memory_map_entries) {
        // SAFETY: The loader reports this many entries, and its memory is unmodified.
        let entry = unsafe { read::<MapEntry>("memory map", start.memory_map, index)? };
        info.memory.push(Region {
            start: entry.address,
            length: entry.length,
            kind: region_kind(entry.kind),
        })?;
    }
    info.image = image::virtual_range().start - layout::KERNEL;
    if start.module_count > 0 {
        // SAFETY: The loader reports at least one module, and its memory is unmodified.
        let module = unsafe { read::<Module>("module list", start.modules, 0)? };
        check("first module", module.address, module.length)?;
        info.kernel_file = Some((module.address, module.length));
    }

    if start.command_line != 0 {
        let address = start.command_line;
        let longest = MAX_LENGTH as u64 + 1;
        let length = longest.min(MAPPED.saturating_sub(address));
        check("command line", address, length.max(1))?;
        let text = (layout::DIRECT_MAP + address) as *const u8;
        // SAFETY: The loader passes a string at this address, and the range is mapped, as just
        // checked.
        let bytes = unsafe { core::slice::from_raw_parts(text, length as usize) };
        // A string without a terminator in this range is longer than the kernel can store, and is
        // reported as too long.
        let end = bytes.iter().position(|&byte| byte == 0);
        info.set_command_line(&bytes[..end.unwrap_or(bytes.len())]);
    }
    Ok(())
}

/// Checks that the entry code maps `length` bytes at physical address `address`.
fn check(what: &'static str, address: u64, length: u64) -> Result<(), BootError> {
    match address.checked_add(length) {
        Some(end) if end <= MAPPED => Ok(()),
        _ => Err(BootError::PvhAddress(what, address)),
    }
}

/// Memory region types of the BIOS call E820.
fn region_kind(e820: u32) -> RegionKind {
    match e820 {
        1 => RegionKind::Usable,
        3 => RegionKind::AcpiReclaimable,
        4 => RegionKind::AcpiNvs,
        5 => RegionKind::Bad,
        _ => RegionKind::Reserved,
    }
}

/// Reads element `index` of the table `what` at physical address `table`.
///
/// # Errors
///
/// [`BootError::PvhAddress`], if the element is not mapped.
///
/// # Safety
///
/// If the element is mapped, it must be memory.
unsafe fn read<T: Copy>(what: &'static str, table: u64, index: u64) -> Result<T, BootError> {
    let size = size_of::<T>() as u64;
    let offset = index.saturating_mul(size);
    check(what, table, offset.saturating_add(size))?;
    let address = layout::DIRECT_MAP + table + offset;
    // SAFETY: Passed on to the caller. The read is unaligned because the format guarantees no
    // alignment.
    Ok(unsafe { core::ptr::read_unaligned(address as *const T) })
}

//! The layout of the kernel's virtual address space, and the classification of addresses.
//!
//! All regions have fixed addresses (48-bit addresses, upper half), so that a fault report can
//! identify from the address alone what was accessed: which CPU's stack, which guard page, which
//! physical address.
//!
//! ```text
//! 0x0000_0000_0000_0000  unmapped; the first page is never mapped
//! 0xffff_8000_0000_0000  direct map: physical memory, 64 TiB
//! 0xffff_e000_0000_0000  stacks: 512 KiB for each CPU, 4096 CPUs
//! 0xffff_f000_0000_0000  temporary mappings: 1 TiB
//! 0xffff_ffff_8000_0000  the kernel's image, to the top
//! ```
//!
//! The 512 KiB of a CPU have a slot for each kind of stack: 128 KiB for threads and for interrupts,
//! 64 KiB for each kind of exception. The stack is at the top of its slot; the rest of the slot
//! below it is an unmapped guard. Slots of this size catch a stack overflow that skips a page.
//! Address space is plentiful, but a page table covers only 2 MiB: so the stacks of four CPUs share
//! one, and slots are not larger than useful.

use crate::exception;
use crate::irq::priority::ClassSet;
use crate::irq::stack;
use core::fmt;
use core::ops::Range;

#[cfg(test)]
mod tests;

/// The size of a page, in bytes.
pub const PAGE_SIZE: u64 = 4096;

/// The direct map: physical address 0. Physical address `p` is at `DIRECT_MAP + p`.
pub const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
/// The size of the direct map: 64 TiB.
pub const DIRECT_MAP_SIZE: u64 = 64 << 40;

/// The first byte of the region for stacks.
pub const STACKS: u64 = 0xffff_e000_0000_0000;
/// The number of CPUs for which the region has room.
pub const MAX_CPUS: u32 = 4096;

/// The first byte of the region for temporary mappings. The kernel has no permanent mapping there.
pub const MAPPINGS: u64 = 0xffff_f000_0000_0000;
/// The size of that region: 1 TiB.
pub const MAPPINGS_SIZE: u64 = 1 << 40;

/// The last 2 GiB, which the kernel's code model can address. The image is linked at an offset of 2
/// MiB, at `0xffff_ffff_8020_0000`: its load address plus this.
pub const KERNEL: u64 = 0xffff_ffff_8000_0000;
/// The physical address to which a PVH loader loads the image. Limine may choose another one.
pub const IMAGE_PHYSICAL: u64 = 2 << 20;

/// The distance in bytes between the slots of two CPUs.
const CPU_STRIDE: u64 = 512 << 10;

/// The kind of a stack. Each stack has one use, because entering a stack twice overwrites the first
/// frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StackKind {
    /// The stack of threads.
    Thread,
    /// The stack of interrupt handlers, for all nesting levels together.
    Interrupt,
    /// #DF, on IST 1: must work after any other stack has overflowed.
    DoubleFault,
    /// NMI, on IST 2.
    Nmi,
    /// #MC, on IST 3.
    MachineCheck,
    /// #DB, on IST 4.
    Debug,
}

impl StackKind {
    /// The stack of its own on which `vector` is handled, if it has one.
    #[must_use]
    pub const fn of(vector: u8) -> Option<Self> {
        match vector {
            exception::DEBUG => Some(Self::Debug),
            exception::NMI => Some(Self::Nmi),
            exception::DOUBLE_FAULT => Some(Self::DoubleFault),
            exception::MACHINE_CHECK => Some(Self::MachineCheck),
            _ => None,
        }
    }

    /// Every kind, in the order of the slots.
    pub const ALL: [Self; 6] = [
        Self::Thread,
        Self::Interrupt,
        Self::DoubleFault,
        Self::Nmi,
        Self::MachineCheck,
        Self::Debug,
    ];

    /// The stack's size in bytes, without its guard. The interrupt stack holds handlers of all
    /// classes at once, with a fault in the innermost one.
    #[must_use]
    pub const fn size(self) -> u64 {
        match self {
            Self::Thread => 64 << 10,
            Self::Interrupt => stack::bound(ClassSet::USABLE).next_multiple_of(16 << 10),
            Self::DoubleFault | Self::Nmi | Self::MachineCheck | Self::Debug => 16 << 10,
        }
    }

    /// The name, as in "thread stack".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Interrupt => "interrupt",
            Self::DoubleFault => "double-fault",
            Self::Nmi => "NMI",
            Self::MachineCheck => "machine-check",
            Self::Debug => "debug",
        }
    }

    /// Its index in the interrupt stack table, 1 to 7 (SDM vol. 3A, 7.14.5); `None` for a stack
    /// that the CPU does not switch to by itself.
    #[must_use]
    pub const fn ist(self) -> Option<u8> {
        match self {
            Self::Thread | Self::Interrupt => None,
            Self::DoubleFault => Some(1),
            Self::Nmi => Some(2),
            Self::MachineCheck => Some(3),
            Self::Debug => Some(4),
        }
    }

    /// The slot, as offsets in bytes from the CPU's first byte: stack and guard.
    const fn slot(self) -> Range<u64> {
        const LARGE: u64 = 128 << 10;
        const SMALL: u64 = 64 << 10;
        match self {
            Self::Thread => 0..LARGE,
            Self::Interrupt => LARGE..2 * LARGE,
            Self::DoubleFault => 2 * LARGE..2 * LARGE + SMALL,
            Self::Nmi => 2 * LARGE + SMALL..2 * LARGE + 2 * SMALL,
            Self::MachineCheck => 2 * LARGE + 2 * SMALL..2 * LARGE + 3 * SMALL,
            Self::Debug => 2 * LARGE + 3 * SMALL..CPU_STRIDE,
        }
    }
}

// Each exception stack has room for a report and a guard, and the slots are contiguous.
const _: () = {
    let (mut index, mut end) = (0, 0);
    while index < StackKind::ALL.len() {
        let kind = StackKind::ALL[index];
        let slot = kind.slot();
        assert!(kind.size() >= stack::EXCEPTION + stack::REPORT);
        assert!(kind.size().is_multiple_of(PAGE_SIZE) && kind.size() < slot.end - slot.start);
        assert!(slot.start == end);
        end = slot.end;
        index += 1;
    }
    assert!(end == CPU_STRIDE);
};

impl fmt::Display for StackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The slot of a stack: guard and stack.
const fn slot_range(cpu: u32, kind: StackKind) -> Range<u64> {
    assert!(cpu < MAX_CPUS, "there are stacks for CPUs 0 to 4095 only");
    let (first, slot) = (STACKS + cpu as u64 * CPU_STRIDE, kind.slot());
    first + slot.start..first + slot.end
}

/// The bytes of a stack: from its bottom to its top, which is the initial value of RSP.
///
/// # Panics
///
/// If `cpu` is [`MAX_CPUS`] or more.
#[must_use]
pub const fn stack_range(cpu: u32, kind: StackKind) -> Range<u64> {
    let top = slot_range(cpu, kind).end;
    top - kind.size()..top
}

/// The bytes below a stack that must stay unmapped, at least one page.
///
/// # Panics
///
/// If `cpu` is [`MAX_CPUS`] or more.
#[must_use]
pub const fn guard_range(cpu: u32, kind: StackKind) -> Range<u64> {
    slot_range(cpu, kind).start..stack_range(cpu, kind).start
}

/// The region of a virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// In the first page, as null pointers are.
    NullPage,
    /// In the lower half above the first page.
    LowerHalf,
    /// Bits 63:47 are not all equal: not a valid address.
    NonCanonical,
    /// In the direct map.
    DirectMap {
        /// The corresponding physical address.
        phys: u64,
    },
    /// On a stack.
    Stack {
        /// The CPU that owns the stack.
        cpu: u32,
        /// The kind of stack.
        kind: StackKind,
        /// Offset in bytes from the stack's bottom.
        offset: u64,
    },
    /// In the guard below a stack: that stack has overflowed.
    StackGuard {
        /// The CPU that owns the stack.
        cpu: u32,
        /// The kind of stack.
        kind: StackKind,
    },
    /// In the region for temporary mappings.
    Mapping,
    /// In the kernel's 2 GiB.
    Kernel,
    /// In an unused part of the upper half.
    Unused,
}

/// Classifies an address by arithmetic alone: only the page tables determine whether it is mapped.
#[must_use]
pub fn describe(addr: u64) -> AddressKind {
    match addr {
        0..PAGE_SIZE => AddressKind::NullPage,
        PAGE_SIZE..0x0000_8000_0000_0000 => AddressKind::LowerHalf,
        0x0000_8000_0000_0000..DIRECT_MAP => AddressKind::NonCanonical,
        KERNEL.. => AddressKind::Kernel,
        _ if addr - DIRECT_MAP < DIRECT_MAP_SIZE => AddressKind::DirectMap {
            phys: addr - DIRECT_MAP,
        },
        MAPPINGS.. if addr - MAPPINGS < MAPPINGS_SIZE => AddressKind::Mapping,
        _ => describe_stack(addr).unwrap_or(AddressKind::Unused),
    }
}

fn describe_stack(addr: u64) -> Option<AddressKind> {
    let offset = addr.checked_sub(STACKS)?;
    let cpu = u32::try_from(offset / CPU_STRIDE)
        .ok()
        .filter(|&cpu| cpu < MAX_CPUS)?;
    let mut kinds = StackKind::ALL.into_iter();
    let kind = kinds.find(|kind| kind.slot().contains(&(offset % CPU_STRIDE)))?;
    Some(match addr.checked_sub(stack_range(cpu, kind).start) {
        Some(offset) => AddressKind::Stack { cpu, kind, offset },
        None => AddressKind::StackGuard { cpu, kind },
    })
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NullPage => f.write_str("null page"),
            Self::LowerHalf => f.write_str("lower half, where nothing of the kernel is"),
            Self::NonCanonical => f.write_str("non-canonical address"),
            Self::DirectMap { phys } => write!(f, "direct map of physical address {phys:#x}"),
            Self::Stack { cpu, kind, offset } => {
                write!(
                    f,
                    "CPU {cpu}'s {kind} stack, {offset:#x} bytes above its bottom"
                )
            }
            Self::StackGuard { cpu, kind } => write!(f, "guard page of CPU {cpu}'s {kind} stack"),
            Self::Mapping => f.write_str("region for mappings that come and go"),
            Self::Kernel => f.write_str("kernel image"),
            Self::Unused => f.write_str("unused part of the kernel's address space"),
        }
    }
}

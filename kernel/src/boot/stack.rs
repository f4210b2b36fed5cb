//! The initial stack of both entries, used until the kernel has stacks with guard pages.

use core::cell::UnsafeCell;

/// Size of the initial stack, in bytes. A release build needs less than half of it; a debug build
/// passes the description of the machine by value, several times.
pub const SIZE: usize = 512 * 1024;

/// Memory of the initial stack; only the entry code refers to it by name.
#[repr(C, align(4096))]
pub struct BootStack(UnsafeCell<[u8; SIZE]>);

// SAFETY: No Rust code refers to it: it is a symbol for the entry code.
unsafe impl Sync for BootStack {}

/// The initial stack of the boot CPU. The page below it is the IDT, which is read-only, so that an
/// overflow faults.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.boot_stack")]
pub static BOOT_STACK: BootStack = BootStack(UnsafeCell::new([0; SIZE]));

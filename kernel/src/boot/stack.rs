//! The stack both entries switch to, until the kernel has stacks with guard pages.

use core::cell::UnsafeCell;

/// Size of the first stack, in bytes. A release build needs less than half of it; a debug build passes
/// what is known of the machine by value, several times.
pub const SIZE: usize = 512 * 1024;

/// Memory of the first stack; only the entry code touches it by name.
#[repr(C, align(4096))]
pub struct BootStack(UnsafeCell<[u8; SIZE]>);

// SAFETY: 1. Nobody refers to it from Rust: it is a symbol for the entry code.
unsafe impl Sync for BootStack {}

/// The first stack of the boot CPU. Below it is the IDT's page, which cannot be written, so an
/// overflow is noticed.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.boot_stack")]
pub static BOOT_STACK: BootStack = BootStack(UnsafeCell::new([0; SIZE]));

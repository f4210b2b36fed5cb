//! Tocsin, a multiprocessor interrupt kernel for x86-64, as a library.
//!
//! A kernel on it is a binary with a `main`:
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//!
//! tocsin::main!(kernel);
//!
//! fn kernel(machine: &'static tocsin::Machine) -> ! {
//!     tocsin::println!("{} MiB", machine.boot.memory.iter().count());
//!     tocsin::monitor::run(machine)
//! }
//! ```
//!
//! The library owns the entry points (Limine and PVH), the panic handler and the global
//! allocator. When `main` runs, all CPUs that start are online, with page tables, descriptor tables and stacks of the
//! kernel's, interrupts are on, and faults are explained. The other CPUs sleep until they are interrupted.
//!
//! Modules import only from those before them:
//! `hw`, `sync`, `time`, `console`, `boot`, `memory`, `cpu`, `stop`, `acpi`, `apic`, `discover`, `smp`,
//! `irq`, `devices`, `pci`, `stress`, `bench`, `monitor`, `start`.

#![no_std]

extern crate alloc;

pub mod acpi;
pub mod apic;
pub mod bench;
pub mod boot;
pub mod console;
pub mod cpu;
pub mod devices;
mod discover;
pub mod hw;
pub mod irq;
pub mod memory;
pub mod monitor;
pub mod pci;
pub mod smp;
mod start;
mod stop;
pub mod stress;
pub mod sync;
pub mod time;

pub use discover::Machine;

/// Names the function that the kernel runs when it is set up: `fn(&'static Machine) -> !`,
/// on the boot CPU's thread stack, interrupts on.
#[macro_export]
macro_rules! main {
    ($function:path) => {
        #[allow(
            unsafe_code,
            reason = "the library declares this symbol, with this type"
        )]
        #[unsafe(no_mangle)]
        extern "Rust" fn tocsin_main(machine: &'static $crate::Machine) -> ! {
            let main: fn(&'static $crate::Machine) -> ! = $function;
            main(machine)
        }
    };
}

//! Tocsin, a multiprocessor interrupt kernel for x86-64, as a library.
//!
//! A kernel that uses it is a binary with a `main`:
//!
//! ```no_run
//! //! A kernel that counts its CPUs.
//! #![no_std]
//! #![no_main]
//!
//! tocsin::main!(kernel);
//!
//! fn kernel(machine: &'static tocsin::Machine) -> ! {
//!     tocsin::println!("{} CPUs in the MADT", machine.topology.cpus().len());
//!     loop {
//!         tocsin::hw::processor::enable_and_halt();
//!     }
//! }
//! ```
//!
//! The crate `tocsin-monitor` contains a shell, which such a kernel can run. Commands in the
//! messages of this library (`backtrace 1`, `watchdog on`) are commands of that shell.
//!
//! The library contains the entry points (Limine and PVH), the panic handler and the global
//! allocator. When `main` runs, all CPUs that have started are online and use the kernel's page
//! tables, descriptor tables and stacks, interrupts are enabled, and faults are reported. The other
//! CPUs halt until they are interrupted.
//!
//! # Soundness
//!
//! A program that denies `unsafe_code` cannot corrupt memory through this library, whatever it does
//! with interrupts, vectors, timers, page tables or devices, in any context. Operations on which
//! memory safety depends are `unsafe`, with the conditions for the caller:
//!
//! | operation | safe | `unsafe`, for an OS's own entry code, scheduler or driver |
//! |---|---|---|
//! | interrupt CPUs | [`ipi::send`] with a [reserved vector](ipi::vectors), [`line::Line::trigger`] | [`apic::LocalApic::send`]: INIT, start-up, NMI, any vector |
//! | handle a vector | [`line::Line`], [`ipi::vectors::ReservedVector::set_handler`] | [`apic::LocalApic::end_of_interrupt`] |
//! | route an input | [`line::Line`] | [`apic::io::Input::set`] |
//! | run code in an NMI | [`ipi::nmi::backtrace_of`] | [`ipi::nmi::call`] |
//! | mask by priority | [`priority::raise`], [`priority::CeilingMutex`] | |
//! | map memory | | [`memory::mapping`], [`memory::paging::map_physical`] |
//! | permit a device to access memory | [`iommu::dma::Buffer`], if an IOMMU restricts the device | [`pci::Device::enable_bus_master`] |
//! | replace measured code | | `hooks`, `Line::divert`, `Interrupts::exchange` (with the feature `bench`) |
//! | access registers | [`pci::Device::map`] | [`hw::mmio::Mmio::new`], [`hw::control::write_msr`], [`pci::Device::write_half`] |
//!
//! Other crates are not covered. Safe functions of `x86_64` can change the GS base, CR8 or
//! RFLAGS.IF, on which this library relies: use [`priority::raise`] and
//! [`sync::without_interrupts`] instead.
//!
//! # Modules
//!
//! Modules import only from those before them:
//! `fn_cell`, `hw`, `cpu_local`, `time`, `sync`, `cancel`, `console`, `boot`, `memory`, `cpu`,
//! `panic`, `trap`, `acpi`, `apic`, `discover`, `smp`, `priority`, `ipi`, `deferred`, `timer`,
//! `line`, `hooks`, `devices`, `pci`, `iommu`, `prelude`, `start`.

#![no_std]

extern crate alloc;

pub mod acpi;
pub mod apic;
pub mod boot;
pub mod cancel;
pub mod console;
pub mod cpu;
pub mod cpu_local;
pub mod deferred;
pub mod devices;
mod discover;
pub mod fn_cell;
#[cfg(feature = "bench")]
pub mod hooks;
pub mod hw;
pub mod iommu;
pub mod ipi;
pub mod line;
pub mod memory;
pub mod panic;
pub mod pci;
pub mod prelude;
pub mod priority;
pub mod smp;
mod start;
pub mod sync;
pub mod time;
pub mod timer;
pub mod trap;

pub use discover::{Machine, machine};
pub use panic::report_panic;

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

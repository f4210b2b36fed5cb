//! From the loader to `main`: each step in the order that the ones after it need.

use spin::Once;
use tocsin_logic::command_line::Options;
use tocsin_logic::memory_map::RegionKind;
use tocsin_logic::units::Bytes;

use crate::boot::{self, BootInfo};
use crate::hw::control::Features;
use crate::{console, cpu, memory, stop, time};

/// What is known of the machine when `main` starts.
#[derive(Debug)]
pub struct Machine {
    /// What the loader said.
    pub boot: &'static BootInfo,
}

static MACHINE: Once<Machine> = Once::new();

unsafe extern "Rust" {
    /// Defined by [`main!`](crate::main).
    safe fn tocsin_main(machine: &'static Machine) -> !;
}

/// Called by the entry code of both protocols, on the boot stack, interrupts off.
#[unsafe(no_mangle)]
extern "C" fn kernel_start(protocol: u64, start_info: u64) -> ! {
    time::start();
    console::init();
    // SAFETY: 1. This is the boot CPU, and this code runs once.
    unsafe { cpu::init_boot_cpu() };
    // SAFETY: 1. The arguments are those of the entry code. 2. Nothing has written to memory
    // outside the image.
    let info = match unsafe { boot::collect(protocol, start_info) } {
        Ok(info) => info,
        Err(error) => stop::cannot_start(&error),
    };
    log::info!("tocsin {} by {}", env!("CARGO_PKG_VERSION"), info.loader);
    log_features();
    log_frequency();

    // SAFETY: 1. This is the boot CPU on the boot stack, and this code runs once.
    if let Err(error) = unsafe { memory::init(info) } {
        stop::cannot_start(&error);
    }
    let machine = MACHINE.call_once(|| Machine { boot: info });
    log_memory(machine.boot);
    if let Err(error) = memory::stacks::allocate(cpu::current().id()) {
        stop::cannot_start(&error);
    }
    // SAFETY: 1. The stacks were just mapped. 2. No exception is being handled.
    unsafe { cpu::use_own_exception_stacks() };
    load_symbols(machine.boot);
    // SAFETY: 1. The stack was just mapped, and nothing uses it yet.
    unsafe { cpu::continue_on_thread_stack(run_main) }
}

extern "C" fn run_main() -> ! {
    let machine = MACHINE.get().expect("set before the stack was switched");
    check_command_line(machine.boot);
    tocsin_main(machine)
}

fn log_features() {
    let features = Features::get();
    let mut on = arrayvec::ArrayString::<32>::new();
    let mut off = arrayvec::ArrayString::<32>::new();
    for (feature, name) in Features::PROTECTIONS {
        let list = if features.contains(feature) {
            &mut on
        } else {
            &mut off
        };
        // Four short names fit.
        let _ = list.try_push_str(" ");
        let _ = list.try_push_str(name);
    }
    if off.is_empty() {
        log::info!("cpu: protections on:{on}");
    } else {
        log::info!("cpu: protections on:{on}; not on this processor:{off}");
    }
    log::info!(
        "cpu: 256 gates at {:#018x}, one table for all CPUs",
        cpu::idt::address()
    );
}

fn log_frequency() {
    let frequency = time::frequency();
    log::info!(
        "time: TSC {} MHz, {}",
        frequency.hertz / 1_000_000,
        frequency.source
    );
}

fn log_memory(info: &BootInfo) {
    let total = |kind| info.memory.total(kind);
    let usable = total(RegionKind::Usable) + total(RegionKind::BootReclaimable);
    let (low, high) = memory::frames::usage();
    log::info!(
        "memory: {} usable in {} regions, {} free",
        Bytes(usable),
        info.memory.iter().count(),
        Bytes(low.total + high.total - low.used - high.used),
    );
    let audit = memory::paging::audit();
    log::info!(
        "memory: mapped {} execute, {} read-only, {} read-write, {} write+execute",
        Bytes(audit.execute),
        Bytes(audit.read),
        Bytes(audit.write),
        Bytes(audit.write_and_execute),
    );
}

fn load_symbols(info: &BootInfo) {
    let Some((physical, length)) = info.kernel_file else {
        log::warn!("symbols: the loader gave no kernel file; addresses stay without names");
        return;
    };
    // SAFETY: 1. The loader put the file there. 2. Its region is of kind `Kernel`: it is in the direct
    // map and never given to the allocator.
    let file =
        unsafe { core::slice::from_raw_parts(memory::frames::pointer(physical), length as usize) };
    match cpu::symbols::load(file) {
        Ok(()) => {}
        Err(error) => log::warn!("symbols: {error}; addresses stay without names"),
    }
}

fn check_command_line(info: &BootInfo) {
    log::info!("command line: {:?}", info.command_line.as_str());
    if info.command_line_cut {
        log::warn!("command line: too long or not UTF-8; only this part of it is used");
    }
    let (_, problems) = Options::parse(&info.command_line);
    for problem in &problems {
        log::warn!("command line: {problem}");
    }
}

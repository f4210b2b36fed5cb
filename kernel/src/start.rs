//! The boot sequence from the loader to `main`: each step depends on the previous ones.

use tocsin_logic::apic::Mode;
use tocsin_logic::apic::base::State;
use tocsin_logic::command_line::Options;
use tocsin_logic::memory_map::RegionKind;
use tocsin_logic::topology::CpuId;
use tocsin_logic::units::{Bytes, Nanoseconds};

use crate::apic::local::{self, ApicError, LocalApic};
use crate::apic::{self, pic};
use crate::boot::{self, BootInfo};
use crate::discover::{Machine, discover, machine};
use crate::hw::control::Features;
use crate::panic::{handler, symbols};
use crate::smp::{self, Cause, Failure, OnlineCpus};
use crate::timer::reference::Reference;
use crate::timer::{self, lapic};
use crate::{console, cpu, deferred, iommu, ipi, memory, time, trap};

unsafe extern "Rust" {
    /// Defined by [`main!`](crate::main).
    safe fn tocsin_main(machine: &'static Machine) -> !;
}

/// The kernel's entry point in Rust. Called by the entry code of both protocols, on the boot stack,
/// with interrupts disabled.
#[unsafe(no_mangle)]
extern "C" fn kernel_start(protocol: u64, start_info: u64) -> ! {
    time::start();
    // SAFETY: This is the boot CPU, this code runs once, and no lock has been taken.
    unsafe { cpu::use_boot_block() };
    // A fault report needs the console, so it is set up before the tables with the fault handlers.
    // Until then the entry code counts NMIs.
    console::init();
    // SAFETY: This is the boot CPU, and this code runs once.
    unsafe { trap::init_boot_cpu() };
    time::measure();
    // SAFETY: The arguments are those of the entry code. Nothing has written to memory outside the
    // image.
    let info = match unsafe { boot::collect(protocol, start_info) } {
        Ok(info) => info,
        Err(error) => handler::cannot_start(&error),
    };
    log::info!("tocsin {} by {}", env!("CARGO_PKG_VERSION"), info.loader);
    log_early_nmis();
    log_features();
    cpu::machine_check::set_up();
    log_frequency();

    // SAFETY: This is the boot CPU on the boot stack, and this code runs once.
    if let Err(error) = unsafe { memory::init(info) } {
        handler::cannot_start(&error);
    }
    log_memory(info);
    if let Err(error) = memory::stacks::allocate(cpu::current().id()) {
        handler::cannot_start(&error);
    }
    // SAFETY: The stacks were just mapped. No exception is being handled.
    unsafe { cpu::use_own_stacks() };
    cpu::handlers::add_cpu(cpu::current());
    load_symbols(info);
    check_command_line(info);
    if let Err(error) = local::require() {
        handler::cannot_start(&error);
    }
    // SAFETY: This is the boot CPU, this code runs once, and the boot stack is large enough.
    unsafe { discover(info) };
    // SAFETY: The stack was just mapped, and nothing uses it yet.
    unsafe { cpu::continue_on_thread_stack(run_main) }
}

extern "C" fn run_main() -> ! {
    let machine = machine().expect("discovered before the stack was switched");
    // SAFETY: This is the boot CPU, interrupts are off, and this code runs once.
    unsafe { bring_up(machine) };
    tocsin_main(machine)
}

/// Sets up the controllers, starts the other CPUs, and enables interrupts.
///
/// # Safety
///
/// Must be called once, on the boot CPU, interrupts off.
unsafe fn bring_up(machine: &Machine) {
    if machine.topology.has_8259() {
        pic::set_up();
    }
    // SAFETY: The caller guarantees it.
    let apic = match unsafe { set_up_local_apic(machine) } {
        Ok(apic) => apic,
        Err(error) => handler::cannot_start(&error),
    };
    log_frequency();
    log_controllers(machine, apic);
    smp::set_up();
    ipi::reschedule::set_up();
    ipi::jobs::set_up();
    ipi::call::set_up();
    deferred::set_up();
    ipi::request::set_up();
    ipi::tlb::set_up();
    ipi::nmi::set_up();
    let (options, _) = Options::parse(&machine.boot.command_line);
    // SAFETY: The caller guarantees it. The local APIC is set up.
    log_cpus(unsafe { smp::start(&machine.topology, apic, &options) });
    timer::set_up();
    apic::io::enable_nmi_sources(&machine.topology, apic.id());
    // SAFETY: The caller guarantees it, and `main` has not started drivers.
    unsafe { iommu::start(machine) };
    smp::release(apic);
}

/// Measures this CPU's local APIC timer in the mode that firmware left, then enters the mode that
/// all CPUs use.
///
/// # Safety
///
/// Must be called once, on the boot CPU, interrupts off.
unsafe fn set_up_local_apic(machine: &Machine) -> Result<&'static LocalApic, ApicError> {
    let base = local::base_register().map_err(ApicError::Base)?;
    let first_state = match base.state {
        State::Disabled => State::XApic,
        state => state,
    };
    let lints = smp::lint_entries(CpuId::BSP);
    // SAFETY: The address is the one that the processor reports.
    let first = unsafe { LocalApic::new(first_state, base.address)? };
    // SAFETY: Interrupts are off.
    unsafe { first.set_up(lints)? };
    // SAFETY: The tables are this machine's.
    let reference = unsafe { Reference::find(machine.hpet.as_ref(), machine.fadt.as_ref()) };
    lapic::measure(&first, reference);

    let state = match machine.apic_mode.mode {
        Mode::XApic => State::XApic,
        Mode::X2Apic => State::X2Apic,
    };
    let apic = first.in_state(state).install();
    // SAFETY: Interrupts are off.
    unsafe { apic.set_up(lints)? };
    Ok(apic)
}

fn log_controllers(machine: &Machine, apic: &LocalApic) {
    let choice = machine.apic_mode;
    log::info!(
        "apic: {}: {}; {}",
        choice.mode,
        choice.reason,
        apic.version()
    );
    for io_apic in apic::io::all() {
        log::info!(
            "ioapic: ID {:#04x} at {:#x}, GSI {} to {}, all masked",
            io_apic.id,
            io_apic.address,
            io_apic.gsi_base,
            io_apic.last_gsi(),
        );
    }
}

fn log_cpus(cpus: &OnlineCpus) {
    for failure in &cpus.failures {
        let Failure {
            cpu,
            apic_id,
            cause,
        } = failure;
        match cause {
            Cause::Stopped(stage) => {
                log::error!("smp: CPU {cpu} (APIC ID {apic_id}) did not start; last seen: {stage}");
            }
            Cause::NoMemory(error) => log::error!(
                "smp: CPU {cpu} (APIC ID {apic_id}) was not started: {error} (a CPU needs {}; give the \
                 machine more memory, or fewer CPUs with maxcpus=)",
                Bytes(memory::stacks::PER_CPU)
            ),
        }
    }
    let others = cpus.online.len() - 1;
    log::info!(
        "smp: {others} of {} other CPUs started in {}",
        others + cpus.failures.len(),
        Nanoseconds(cpus.duration)
    );
}

fn log_early_nmis() {
    let count = boot::early::early_nmis();
    if count > 0 {
        log::warn!("nmi: {count} before the console was open (sources unknown)");
    }
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
        // The capacity suffices for four short names.
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
        trap::idt::address()
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
        log::warn!("symbols: the loader passed no kernel file (addresses have no names)");
        return;
    };
    // Most of the file is mapped. On microvm, QEMU may let it end in a page that firmware has
    // reserved.
    // SAFETY: The loader put the file there, so it is memory, and it is only read.
    let start =
        unsafe { memory::paging::map_physical(physical, length, memory::paging::Use::Constant) };
    let start = match start {
        Ok(start) => start as *const u8,
        Err(error) => {
            log::warn!("symbols: {error} (addresses have no names)");
            return;
        }
    };
    // SAFETY: The range was just mapped. Its region is of kind `Kernel` or reserved, so it is never
    // given to the allocator.
    let file = unsafe { core::slice::from_raw_parts(start, length as usize) };
    match symbols::load(file) {
        Ok(()) => {}
        Err(error) => log::warn!("symbols: {error} (addresses have no names)"),
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

//! CPU bring-up: starts all APs at once, and reports each one that fails.
//!
//! The order is that of the SDM (vol. 3A, 10.4.4): INIT to every AP, a wait where the processor
//! needs one, a start-up IPI to every AP, 200 us, and a second one to those that have not
//! responded. The waits are shared, so the time does not grow with the number of CPUs. IPIs are
//! sent only to the APIC IDs that the MADT lists: a broadcast would also start CPUs that firmware
//! has disabled.
//!
//! An AP that is ready waits in the barrier with its priority (CR8) raised to class 14, so that it
//! takes only the boot CPU's wake-up of class 15, until interrupts are released on all CPUs.

pub(crate) mod ap;
mod online;
mod slot;
mod trampoline;
pub(crate) mod tsc_sync;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use tocsin_logic::apic::icr::Destination;
use tocsin_logic::apic::{ApicId, Icr, Lvt};
use tocsin_logic::command_line::Options;
use tocsin_logic::layout::{StackKind, stack_range};
use tocsin_logic::smp::{Broadcast, InjectedFault, Stage, init_wait};
use tocsin_logic::topology::{CpuId, Topology};
use tocsin_logic::vector::{Vector, fixed};

use crate::apic::LocalApic;
use crate::cpu::{self, PerCpu, handlers};
use crate::discover::machine;
use crate::hw::processor;
use crate::memory;
use crate::time;
pub(crate) use online::by_shorthand;
pub use online::{Cause, Failure, Online, OnlineCpus, all, broadcast, find, online};
use slot::{ApStart, Slot};
use trampoline::Trampoline;

/// Time after the first start-up IPI before the second, in nanoseconds (SDM vol. 3A, 10.4.4.1).
const SECOND_SIPI_WAIT: u64 = 200_000;

/// Time without progress of any AP after which the remaining ones are abandoned, in nanoseconds. It
/// is long, because a virtual CPU may have to wait until the host schedules it.
const TIMEOUT: u64 = 3_000_000_000;

/// The vector that wakes an AP in the barrier, in class 15, the only class that is not masked. It
/// only ends `hlt`.
const RELEASE: Vector = fixed::RELEASE;

/// The broadcast ID, which belongs to no CPU.
const BROADCAST_ID: ApicId = ApicId(u32::MAX);

/// Set when the APs may enable interrupts.
static RELEASED: AtomicBool = AtomicBool::new(false);

/// Registers the vector that releases the APs. Called once, before they run.
pub(crate) fn set_up() {
    extern "C" fn released(_: usize, _: u8) {}
    handlers::register(RELEASE, released);
}

/// Starts all enabled CPUs of `topology` and waits until each is ready or abandoned.
///
/// An AP without memory for its stacks is skipped, and so are all that follow it.
///
/// # Safety
///
/// Must be called once, on the boot CPU, interrupts off, its local APIC set up.
pub(crate) unsafe fn start(
    topology: &Topology,
    apic: &LocalApic,
    options: &Options<'_>,
) -> &'static OnlineCpus {
    let mut failures = Vec::new();
    let aps = prepare(topology, apic, options, &mut failures);
    let mut online = Vec::with_capacity(aps.len() + 1);
    online.push(Online::new(cpu::current(), apic.id()));
    // CPUs that are present but not used, in addition to the failures: all APs, until their
    // start-up code exists.
    let (mut duration, mut unlisted) = (0, aps.len());
    if let Some(trampoline) = install_trampoline(&aps, apic.is_x2apic()) {
        let begin = processor::timestamp();
        wake(apic, &trampoline, options.cpu_init_udelay);
        wait(trampoline.slots());
        let end = processor::timestamp();
        duration = time::cycles_to_nanoseconds(end - begin);
        let (mut is_complete, mut is_in_use) = (true, false);
        for slot in trampoline.slots() {
            match slot.abandon() {
                Stage::Ready => online.push(Online::new(slot.cpu, slot.apic_id())),
                stage => {
                    is_complete = false;
                    // The AP may still run in that page, or be about to enable paging in it.
                    is_in_use |= matches!(stage, Stage::ProtectedMode | Stage::LongMode);
                    failures.push(Failure {
                        cpu: slot.cpu.id(),
                        apic_id: slot.apic_id(),
                        cause: Cause::Stopped(stage),
                    });
                }
            }
        }
        if !is_complete {
            trampoline.disarm();
        }
        unlisted = log_unlisted(&trampoline, is_complete);
        if !is_in_use {
            trampoline.unmap();
        }
        tsc_sync::run(apic, &online[1..]);
    }
    let broadcast = Broadcast::choose(topology.possible_cpus(failures.len().max(unlisted)));
    online::install(online, failures, duration, broadcast)
}

/// Installs the trampoline of these APs. Returns `None` if there are no APs or no usable page for
/// it. Firmware may leave no usable memory below 1 MiB, where an AP begins to execute: then only
/// the boot CPU runs.
fn install_trampoline(aps: &[ApStart], x2apic: bool) -> Option<Trampoline> {
    if aps.is_empty() {
        return None;
    }
    Trampoline::install(aps, x2apic)
        .inspect_err(|error| {
            log::error!(
                "smp: no memory below 1 MiB for the start-up code: {error} (only CPU 0 \
                 runs; the memory map has too little usable memory there)"
            );
        })
        .ok()
}

/// Logs the CPUs that ran the start-up code without a slot. Returns their number.
fn log_unlisted(trampoline: &Trampoline, is_complete: bool) -> usize {
    let (arrived, slots) = (trampoline.arrived() as usize, trampoline.slots().len());
    if !is_complete && arrived < slots {
        log::warn!("smp: {arrived} of {slots} CPUs ran the first instruction of the start-up code");
    }
    let Some(unlisted) = trampoline.unlisted() else {
        return 0;
    };
    log::error!(
        "smp: {} CPU(s) with unknown or duplicate APIC IDs ran the start-up code, the last with ID {} (halted; \
         compare with the MADT's IDs in `cpus`)",
        unlisted.count,
        unlisted.last_id
    );
    unlisted.count as usize
}

/// Releases the APs from the barrier in which [`start`] leaves them, and thus interrupts on all
/// CPUs.
pub(crate) fn release(apic: &LocalApic) {
    RELEASED.store(true, Ordering::Release);
    for online in all().iter().skip(1) {
        wake_from_barrier(apic, online);
    }
    x86_64::instructions::interrupts::enable();
}

/// Wakes an AP in the barrier from `hlt`.
fn wake_from_barrier(apic: &LocalApic, ap: &Online) {
    send(
        apic,
        Icr::fixed(RELEASE.get(), Destination::Physical(ap.apic_id)),
    );
}

/// The LVT entries of LINT0 and LINT1 on a CPU: NMI where the MADT specifies it, otherwise masked.
pub(crate) fn lint_entries(cpu: CpuId) -> [Lvt; 2] {
    // LINT0 carries the output of the 8259s, which are masked.
    let mut entries = [Lvt::ext_int().with_mask(true); 2];
    for (lint, polarity, _) in machine()
        .into_iter()
        .flat_map(|found| found.topology.lint_nmi(cpu))
    {
        entries[lint as usize] = Lvt::nmi(polarity);
    }
    entries
}

/// Maps the stacks and creates the per-CPU block of every AP to be started.
fn prepare(
    topology: &Topology,
    apic: &LocalApic,
    options: &Options<'_>,
    failures: &mut Vec<Failure>,
) -> Vec<ApStart> {
    let mut aps = Vec::new();
    let mut memory = Ok(());
    for cpu in topology.enabled().iter().skip(1) {
        let number = cpu.number.get();
        let apic_id = cpu.apic_id;
        if apic_id == apic.id() {
            // An INIT to this ID would reset the boot CPU, and thus the machine.
            log::error!("smp: CPU {number}: its APIC ID {apic_id} is the boot CPU's (not started)");
            failures.push(Failure {
                cpu: number,
                apic_id,
                cause: Cause::Stopped(Stage::Silent),
            });
            continue;
        }
        memory = memory
            .and_then(|()| memory::stacks::require())
            .and_then(|()| memory::stacks::allocate(number));
        if let Err(error) = memory {
            failures.push(Failure {
                cpu: number,
                apic_id,
                cause: Cause::NoMemory(error),
            });
            continue;
        }
        let for_this = |fault: Option<InjectedFault>| {
            let fault = fault.filter(|fault| fault.cpu == number);
            fault.map(|fault| fault.stage)
        };
        let fail_at = for_this(options.failcpu);
        // An AP whose ID is not in any slot halts.
        let is_silent = fail_at == Some(Stage::Silent);
        let block = PerCpu::new(number);
        handlers::add_cpu(block);
        aps.push(ApStart {
            apic_id,
            listed_id: if is_silent { BROADCAST_ID } else { apic_id },
            stack_top: stack_range(number, StackKind::Thread).end,
            cpu: block,
            fail_at,
            late_at: for_this(options.latecpu),
        });
    }
    aps
}

/// Sends INIT and the start-up IPIs. `init_delay` is the wait between them in microseconds, and
/// replaces the processor's default.
fn wake(apic: &LocalApic, trampoline: &Trampoline, init_delay: Option<u32>) {
    let slots = trampoline.slots();
    for slot in slots {
        send(apic, Icr::init(Destination::Physical(slot.apic_id())));
    }
    let delay = init_delay.map_or_else(own_init_wait, u64::from);
    if delay > 0 {
        time::spin_for(delay * 1000);
    }
    let start_up = |slot: &Slot| {
        let target = Destination::Physical(slot.apic_id());
        let command = Icr::start_up(trampoline.address(), target);
        send(
            apic,
            command.expect("the trampoline begins a page below 1 MiB"),
        );
    };
    slots.iter().for_each(start_up);
    let is_silent = |slot: &&Slot| slot.stage() == Stage::Silent;
    time::wait_until(SECOND_SIPI_WAIT, || {
        !slots.iter().any(|slot| is_silent(&slot))
    });
    slots.iter().filter(is_silent).for_each(start_up);
}

/// Sends an IPI to a CPU of the topology.
fn send(apic: &LocalApic, command: Icr) {
    // CPUs whose ID cannot be expressed in this mode are not in the topology. SAFETY: the kernel
    // owns the CPUs of the topology, and sends INIT and start-up IPIs before they run.
    unsafe { apic.send(command) }.expect("the ID of a CPU that may be started fits the mode");
}

/// Waits until every AP is ready, or no AP has reached a further stage for [`TIMEOUT`].
fn wait(slots: &[Slot]) {
    let progress = || slots.iter().map(|slot| slot.stage() as u64).sum::<u64>();
    let mut last_progress = progress();
    let mut last_time = time::nanoseconds();
    while slots.iter().any(|slot| slot.stage() != Stage::Ready) {
        let now = progress();
        if now != last_progress {
            (last_progress, last_time) = (now, time::nanoseconds());
        } else if time::has_passed(last_time, TIMEOUT) {
            return;
        }
        core::hint::spin_loop();
    }
}

/// The wait after INIT that this processor requires, in microseconds.
fn own_init_wait() -> u64 {
    let vendor = processor::cpuid(0, 0);
    let signature = processor::cpuid(1, 0).eax;
    init_wait(
        [vendor.ebx, vendor.edx, vendor.ecx],
        signature,
        processor::has_hypervisor(),
    )
}

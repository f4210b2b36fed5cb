//! Starting the other CPUs: all at once, each with a name if it fails.
//!
//! The order is the SDM's (vol. 3A, 10.4.4): INIT to every AP, a wait, a start-up IPI to every AP,
//! 200 us, and a second one to those that have not answered. The waits are shared, so the time does
//! not grow with the number of CPUs. IPIs go to the APIC IDs that the MADT gives and to no others:
//! a broadcast would also start CPUs that firmware has disabled.
//!
//! An AP that is ready waits with its priority (CR8) raised to class 14, so that no interrupt but
//! the boot CPU's signal of class 15 gets through; with that, interrupts go on everywhere.

pub(crate) mod ap;
mod counters;
pub mod jobs;
pub mod reschedule;
mod trampoline;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use tocsin_logic::apic::icr::Destination;
use tocsin_logic::apic::{ApicId, Icr, Lvt};
use tocsin_logic::layout::{StackKind, stack_range};
use tocsin_logic::smp::{Sabotage, Stage};
use tocsin_logic::topology::{CpuId, Topology};
use tocsin_logic::vector::Vector;

use crate::apic::LocalApic;
use crate::cpu::{self, PerCpu, interrupts};
use crate::discover::machine;
use crate::hw::processor;
use crate::memory::{self, MemoryError};
use crate::time;
use trampoline::{ApStart, Slot, Trampoline};

/// Time after INIT that processors before the Pentium Pro's successors need, in nanoseconds.
const INIT_WAIT: u64 = 10_000_000;

/// Time after the first start-up IPI before the second, in nanoseconds (SDM vol. 3A, 10.4.4.1).
const SECOND_SIPI_WAIT: u64 = 200_000;

/// Time without any AP getting a stage further after which the rest are given up, in nanoseconds.
/// Long, because a virtual CPU may have to wait for its turn on the host.
const PATIENCE: u64 = 3_000_000_000;

/// The vector that ends the barrier: of class 15, the only one that is not held back. Coming out of `hlt`
/// is all that it is for.
const RELEASE: Vector = Vector(0xf0);

/// The ID that addresses all CPUs and so is no CPU's.
const NOBODY: ApicId = ApicId(u32::MAX);

/// A CPU that failed to start.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// Its number.
    pub cpu: u32,
    /// Its APIC ID.
    pub apic_id: ApicId,
    /// The last stage it is known to have come to.
    pub stage: Stage,
}

/// A CPU that is online.
#[derive(Clone, Copy, Debug)]
pub struct Online {
    /// Its per-CPU block.
    pub cpu: &'static PerCpu,
    /// Its APIC ID.
    pub apic_id: ApicId,
    /// Its number, here too because the block is in another CPU's cache.
    number: u32,
}

impl Online {
    fn new(cpu: &'static PerCpu, apic_id: ApicId) -> Self {
        let number = cpu.id();
        Self {
            cpu,
            apic_id,
            number,
        }
    }
}

/// The CPUs that are up: what bringing them up leaves.
#[derive(Debug)]
pub struct OnlineCpus {
    /// In the order of their numbers; the first is the boot CPU.
    pub online: Vec<Online>,
    /// Those that did not make it.
    pub failures: Vec<Failure>,
    /// From the first INIT to the last CPU ready, in nanoseconds.
    pub duration: u64,
}

/// What [`online`] gives; before the start, [`NONE`]. A pointer, and not a `Once`: every call of another
/// CPU goes through it, and need not ask whether it is set.
static ONLINE: AtomicPtr<OnlineCpus> = AtomicPtr::new((&raw const NONE).cast_mut());

static NONE: OnlineCpus = OnlineCpus {
    online: Vec::new(),
    failures: Vec::new(),
    duration: 0,
};

/// Set when interrupts may go on.
static RELEASED: AtomicBool = AtomicBool::new(false);

/// The CPUs that are up; `None` until all have been started.
#[inline]
#[must_use]
pub fn online() -> Option<&'static OnlineCpus> {
    let cpus = started();
    (!core::ptr::eq(cpus, &raw const NONE)).then_some(cpus)
}

/// The CPUs that are up; none until all have been started.
#[inline]
fn started() -> &'static OnlineCpus {
    // SAFETY: 1. It points to what lives for ever, and is not changed any more once it is stored.
    unsafe { &*ONLINE.load(Ordering::Acquire) }
}

/// Those that are online, in the order of their numbers; none until all have been started. Any context.
#[inline]
#[must_use]
pub fn all() -> &'static [Online] {
    &started().online
}

/// The CPU of this number, if it is online. Any context.
#[inline]
#[must_use]
pub fn find(cpu: u32) -> Option<&'static Online> {
    // As a rule all have started, and the number is the place.
    match all().get(cpu as usize) {
        Some(online) if online.number == cpu => Some(online),
        _ => find_elsewhere(cpu),
    }
}

#[cold]
fn find_elsewhere(cpu: u32) -> Option<&'static Online> {
    all().iter().find(|online| online.number == cpu)
}

/// Answers the interrupts that CPUs wake each other with. Once, before others run.
pub(crate) fn set_up() {
    extern "C" fn released(_: usize, _: u8) {}
    interrupts::register(RELEASE, released);
    reschedule::set_up();
}

/// Starts all enabled CPUs of `topology` and waits until each is ready or given up.
///
/// # Errors
///
/// [`MemoryError`], if memory for their stacks or the trampoline runs out; then none is started.
///
/// # Safety
///
/// Once, on the boot CPU, interrupts off, its local APIC set up.
pub(crate) unsafe fn start(
    topology: &Topology,
    apic: &LocalApic,
    sabotage: Option<Sabotage>,
) -> Result<&'static OnlineCpus, MemoryError> {
    let aps = prepare(topology, sabotage)?;
    let mut result = OnlineCpus {
        online: Vec::with_capacity(aps.len() + 1),
        failures: Vec::new(),
        duration: 0,
    };
    result.online.push(Online::new(cpu::current(), apic.id()));
    if let Some(trampoline) = install_trampoline(&aps) {
        counters::note_own();
        let begin = processor::timestamp();
        wake(apic, &trampoline);
        wait(trampoline.slots());
        let end = processor::timestamp();
        result.duration = time::cycles_to_nanoseconds(end - begin);
        for slot in trampoline.slots() {
            match slot.abandon() {
                Stage::Ready => {
                    result.online.push(Online::new(slot.cpu, slot.apic_id()));
                }
                stage => result.failures.push(Failure {
                    cpu: slot.cpu.id(),
                    apic_id: slot.apic_id(),
                    stage,
                }),
            }
        }
        counters::check(&result.online[1..], begin, end);
        if !result.failures.is_empty() {
            // One that comes late finds nothing there but `hlt`.
            trampoline.disarm();
        }
    }
    let online: &'static OnlineCpus = Box::leak(Box::new(result));
    ONLINE.store(core::ptr::from_ref(online).cast_mut(), Ordering::Release);
    Ok(online)
}

/// The trampoline of these APs; `None` if there are none or it has no place. Firmware may leave no
/// usable memory below 1 MiB, where an AP begins: then the boot CPU runs alone.
fn install_trampoline(aps: &[ApStart]) -> Option<Trampoline> {
    if aps.is_empty() {
        return None;
    }
    Trampoline::install(aps)
        .inspect_err(|error| {
            log::error!(
                "smp: no place below 1 MiB for the code that CPUs start with: {error} (only CPU 0 \
                 runs; the memory map has too little usable memory there)"
            );
        })
        .ok()
}

/// Lets interrupts go on, on all CPUs: the end of the barrier that [`start`] is the begin of.
pub(crate) fn release(apic: &LocalApic) {
    RELEASED.store(true, Ordering::Release);
    for online in all().iter().skip(1) {
        send(
            apic,
            Icr::fixed(RELEASE.get(), Destination::Physical(online.apic_id)),
        );
    }
    x86_64::instructions::interrupts::enable();
}

/// The entries of the local APIC's pins on a CPU: NMI where the MADT says so, all else masked.
pub(crate) fn lint_entries(cpu: CpuId) -> [Lvt; 2] {
    // LINT0 carries what the 8259s deliver, which is nothing.
    let mut entries = [Lvt::ext_int().with_mask(true); 2];
    for (lint, polarity, _) in machine()
        .into_iter()
        .flat_map(|found| found.topology.lint_nmi(cpu))
    {
        entries[lint as usize] = Lvt::nmi(polarity);
    }
    entries
}

/// Maps the stacks and makes the per-CPU block of every AP that is to be started.
fn prepare(topology: &Topology, sabotage: Option<Sabotage>) -> Result<Vec<ApStart>, MemoryError> {
    let mut aps = Vec::new();
    for cpu in topology.enabled().iter().skip(1) {
        let number = cpu.number.get();
        memory::stacks::allocate(number)?;
        let stage = sabotage
            .filter(|sabotage| sabotage.cpu == number)
            .map(|victim| victim.stage);
        // An AP whose ID is not in the list halts without a sign.
        let silent = stage == Some(Stage::Silent);
        let block: &PerCpu = Box::leak(Box::new(PerCpu::new(number)));
        interrupts::add_cpu(block);
        aps.push(ApStart {
            apic_id: cpu.apic_id,
            listed_id: if silent { NOBODY } else { cpu.apic_id },
            stack_top: stack_range(number, StackKind::Thread).end,
            cpu: block,
            die_at: stage.map_or(Stage::NEVER, |stage| stage as u32),
        });
    }
    Ok(aps)
}

/// Sends INIT and the start-up IPIs.
fn wake(apic: &LocalApic, trampoline: &Trampoline) {
    let slots = trampoline.slots();
    for slot in slots {
        send(apic, Icr::init(Destination::Physical(slot.apic_id())));
    }
    if needs_init_wait() {
        time::spin_for(INIT_WAIT);
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
    // CPUs whose ID the mode cannot express were left out of the topology.
    // SAFETY: the CPUs of the topology are the kernel's, and get INIT and start-up IPIs before they run.
    unsafe { apic.send(command) }.expect("the ID of a CPU that may be started fits the mode");
}

/// Waits until every AP is ready, or none has got any further for [`PATIENCE`].
fn wait(slots: &[Slot]) {
    let progress = || slots.iter().map(|slot| slot.stage() as u64).sum::<u64>();
    let mut last_progress = progress();
    let mut last_time = time::nanoseconds();
    while slots.iter().any(|slot| slot.stage() != Stage::Ready) {
        let now = progress();
        if now != last_progress {
            (last_progress, last_time) = (now, time::nanoseconds());
        } else if time::has_passed(last_time, PATIENCE) {
            return;
        }
        core::hint::spin_loop();
    }
}

/// Whether this processor is one of those that need time between INIT and the start-up IPI: of
/// Intel's those before family 6, of AMD's those before family 15. For all later ones the wait
/// has no effect but to make booting slower; operating systems have left it out for years.
fn needs_init_wait() -> bool {
    let signature = processor::cpuid(1, 0).eax;
    let family = match signature >> 8 & 0xf {
        0xf => 0xf + (signature >> 20 & 0xff),
        family => family,
    };
    let vendor = processor::cpuid(0, 0);
    let is_intel = vendor.ebx == u32::from_le_bytes(*b"Genu");
    family < if is_intel { 6 } else { 15 }
}

//! A storm of interrupts of all kinds at once, on all CPUs, while lines come, go and move. Each
//! interrupt is accounted for on both ends: what was sent must have been received, once.
//!
//! Interrupts of one vector merge while they wait, as the local APIC has one bit for each. So whoever
//! sends waits for the last one of its kind to arrive before it sends the next, and any difference is
//! a loss or a double.

mod account;
mod devices;
mod ipis;
pub mod latched;
pub mod lines;
pub mod nmi_nesting;
pub mod priority_nesting;
pub mod unclaimed;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use fastrand::Rng;

use devices::Devices;
use tocsin::cpu::{self, interrupts};
use tocsin::ipi::{jobs, nmi};
use tocsin::{cancel, pci, smp, time};

pub use account::{Kind, Sums};

/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// How long to wait for what was sent to arrive, when nothing more is sent, in nanoseconds.
const PATIENCE: u64 = 5_000_000_000;

/// What came out.
#[derive(Debug)]
pub struct Outcome {
    /// What was sent and received of each kind.
    pub account: Vec<(Kind, Sums)>,
    /// Moves of lines, and those that could not be made at that moment, because the line was moving.
    pub moves: (u64, u64),
    /// Least and most things that a CPU did.
    pub actions: (u64, u64),
    /// The deepest nesting on any CPU since the kernel started.
    pub depth: u32,
    /// What else went wrong; each is a fault of the kernel or of a device.
    pub errors: Vec<String>,
}

impl Outcome {
    /// Whether all was received once, every CPU took part, and nothing else went wrong.
    #[must_use]
    pub fn is_right(&self) -> bool {
        let even = self.account.iter().all(|(_, sums)| sums.is_even());
        even && self.actions.0 > 0 && self.errors.is_empty()
    }
}

/// When to stop, by [`time::nanoseconds`].
static END: AtomicU64 = AtomicU64::new(0);

/// The CPU that drives the devices.
static LEADER: AtomicU32 = AtomicU32::new(0);

/// What the random choices begin with.
static SEED: AtomicU64 = AtomicU64::new(0);

/// Things that the CPU with the fewest and the one with the most did.
static LEAST: AtomicU64 = AtomicU64::new(0);
static MOST: AtomicU64 = AtomicU64::new(0);

/// Lets the storm blow for so many seconds; the log tells of each. In a thread, one at a time.
///
/// # Errors
///
/// A sentence, if there are no lines to be had for it or a CPU is busy with something else.
pub fn run(seconds: u64, seed: u64) -> Result<Outcome, String> {
    account::reset();
    // Searched for now, not in the time of the storm.
    pci::bus();
    ipis::set_up(seed)?;
    SEED.store(seed, Ordering::Relaxed);
    LEADER.store(cpu::current().id(), Ordering::Relaxed);
    LEAST.store(u64::MAX, Ordering::Relaxed);
    MOST.store(0, Ordering::Relaxed);
    let end = time::nanoseconds() + seconds * SECOND;
    END.store(end, Ordering::Release);
    let result = jobs::run_on_all(blow_here);
    let quiet = account::wait_until_even(PATIENCE);
    ipis::tear_down();
    if !quiet {
        account::error("not everything that was sent arrived within 5 s of the end");
    }
    result.map_err(|error| format!("{error}"))?;
    let blocks = interrupts::all_cpus();
    let depths = blocks.iter().map(|block| block.interrupts.max_depth());
    Ok(Outcome {
        account: account::sums(),
        moves: account::moves(),
        actions: (LEAST.load(Ordering::Relaxed), MOST.load(Ordering::Relaxed)),
        depth: depths.max().unwrap_or(0),
        errors: account::take_errors(),
    })
}

/// What every CPU does until the end; the leader also drives the devices. First each does everything
/// once: a slow host may leave it no time for more.
fn blow_here(cpu: u64) {
    // A CPU's number.
    let mut rng = rng_of(cpu as u32);
    let is_leader = cpu == u64::from(LEADER.load(Ordering::Relaxed));
    let devices = is_leader.then(Devices::find);
    for action in Action::ALL {
        action.act(&mut rng);
    }
    if let Some(devices) = &devices {
        devices.act_each(&mut rng);
    }
    let end = END.load(Ordering::Acquire);
    let (mut actions, mut left) = (Action::ALL.len() as u64, u64::MAX);
    while let Some(rest) = end.checked_sub(time::nanoseconds())
        && !cancel::is_requested()
    {
        Action::any(&mut rng).act(&mut rng);
        actions += 1;
        if let Some(devices) = &devices {
            devices.act(&mut rng);
            let seconds = rest / SECOND;
            if seconds < left && left != u64::MAX {
                log::info!("storm: {} s to go", seconds + 1);
            }
            left = seconds;
        }
    }
    note_actions(actions);
}

fn note_actions(actions: u64) {
    LEAST.fetch_min(actions, Ordering::Relaxed);
    MOST.fetch_max(actions, Ordering::Relaxed);
}

fn rng_of(cpu: u32) -> Rng {
    Rng::with_seed(SEED.load(Ordering::Relaxed) ^ u64::from(cpu + 1) << 32)
}

/// One of the many things that a CPU does.
#[derive(Clone, Copy)]
enum Action {
    Trigger,
    Call,
    CallAndWait,
    CallAll,
    PutOff,
    SetTimer,
    ComeAndGo,
    Move,
    Ask,
}

impl Action {
    const ALL: [Self; 9] = [
        Self::Trigger,
        Self::Call,
        Self::CallAndWait,
        Self::CallAll,
        Self::PutOff,
        Self::SetTimer,
        Self::ComeAndGo,
        Self::Move,
        Self::Ask,
    ];

    fn any(rng: &mut Rng) -> Self {
        match rng.u32(0..100) {
            0..45 => Self::Trigger,
            45..52 => Self::Call,
            52..60 => Self::CallAndWait,
            60..62 => Self::CallAll,
            62..80 => Self::PutOff,
            80..88 => Self::SetTimer,
            88..94 => Self::ComeAndGo,
            94..99 => Self::Move,
            _ => Self::Ask,
        }
    }

    fn act(self, rng: &mut Rng) {
        let cpu = any_cpu(rng);
        match self {
            Self::Trigger => ipis::trigger_any(rng),
            Self::Call => ipis::call(cpu, false),
            Self::CallAndWait => ipis::call(cpu, true),
            Self::CallAll => ipis::call_all(),
            Self::PutOff => ipis::put_off(cpu),
            Self::SetTimer => ipis::set_timer(cpu, rng),
            Self::ComeAndGo => ipis::come_and_go(cpu, rng),
            Self::Move => ipis::move_any(cpu, rng),
            Self::Ask => ask(cpu),
        }
    }
}

/// Asks a CPU by NMI what it does.
fn ask(cpu: u32) {
    match nmi::backtrace_of(cpu) {
        Ok(_) => account::sent_and_received(Kind::Nmi),
        // Somebody else is asking that CPU.
        Err(nmi::NmiError::Busy(_)) => {}
        Err(error) => account::error(format!("{error}")),
    }
}

/// The number of some CPU that is online.
fn any_cpu(rng: &mut Rng) -> u32 {
    let cpus = smp::all();
    cpus.get(rng.usize(0..cpus.len().max(1)))
        .map_or(0, |online| online.cpu.id())
}

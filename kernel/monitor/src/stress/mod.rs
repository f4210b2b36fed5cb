//! Stress test: interrupts of all kinds at once, on all CPUs, while lines are created, dropped and
//! moved. Each interrupt is counted when it is sent and when it is received; every interrupt must
//! be received exactly once.
//!
//! Pending interrupts of one vector merge, because the local APIC has one bit for each. A sender
//! therefore waits until the last interrupt of its kind has arrived before it sends the next, and
//! any difference is a lost or duplicated interrupt.

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
use tocsin::cpu;
use tocsin::cpu::handlers::{self, INTERRUPTS};
use tocsin::ipi::{jobs, nmi};
use tocsin::{cancel, pci, smp, time};

pub use account::{Kind, Sums};

/// One second, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// The timeout for outstanding interrupts to arrive after the last one was sent, in nanoseconds.
const TIMEOUT: u64 = 5_000_000_000;

/// The result of the storm test.
#[derive(Debug)]
pub struct Outcome {
    /// The sent and received interrupts of each kind.
    pub account: Vec<(Kind, Sums)>,
    /// The number of moves of lines, and of those that failed because the line was already moving.
    pub moves: (u64, u64),
    /// The minimum and maximum number of actions of a CPU.
    pub actions: (u64, u64),
    /// The deepest nesting on any CPU since the kernel started.
    pub depth: u32,
    /// Other errors; each is a fault of the kernel or of a device.
    pub errors: Vec<String>,
}

impl Outcome {
    /// Returns whether everything was received once, every CPU took part, and no other error
    /// occurred.
    ///
    /// Context: any.
    #[must_use]
    pub fn is_right(&self) -> bool {
        let even = self.account.iter().all(|(_, sums)| sums.is_balanced());
        even && self.actions.0 > 0 && self.errors.is_empty()
    }
}

/// The time at which the test ends, in the units of [`time::nanoseconds`].
static END: AtomicU64 = AtomicU64::new(0);

/// The CPU that drives the devices.
static LEADER: AtomicU32 = AtomicU32::new(0);

/// The seed of the random choices.
static SEED: AtomicU64 = AtomicU64::new(0);

/// The minimum and maximum number of actions of a CPU.
static MIN_ACTIONS: AtomicU64 = AtomicU64::new(0);
static MAX_ACTIONS: AtomicU64 = AtomicU64::new(0);

/// Runs the storm test for `seconds`, with a log message for each second. The caller runs in a
/// thread; only one test may run at a time.
///
/// Context: thread.
///
/// # Errors
///
/// A sentence, if no lines are available for it or a CPU is busy.
pub fn run(seconds: u64, seed: u64) -> Result<Outcome, String> {
    account::reset();
    // The bus is scanned now and not during the storm.
    pci::bus();
    ipis::set_up(seed)?;
    SEED.store(seed, Ordering::Relaxed);
    LEADER.store(cpu::current().id(), Ordering::Relaxed);
    MIN_ACTIONS.store(u64::MAX, Ordering::Relaxed);
    MAX_ACTIONS.store(0, Ordering::Relaxed);
    let end = time::nanoseconds() + seconds * SECOND;
    END.store(end, Ordering::Release);
    let result = jobs::run_on_all(run_on_this_cpu);
    let quiet = account::wait_until_balanced(TIMEOUT);
    ipis::tear_down();
    if !quiet {
        account::error("interrupts are missing 5 s after the end");
    }
    result.map_err(|error| format!("{error}"))?;
    let blocks = handlers::all_cpus();
    let depths = blocks.iter().map(|block| INTERRUPTS.of(*block).max_depth());
    Ok(Outcome {
        account: account::sums(),
        moves: account::moves(),
        actions: (
            MIN_ACTIONS.load(Ordering::Relaxed),
            MAX_ACTIONS.load(Ordering::Relaxed),
        ),
        depth: depths.max().unwrap_or(0),
        errors: account::take_errors(),
    })
}

/// The loop of every CPU until the end; the leader also drives the devices. Each CPU first performs
/// every action once, because a slow host may not leave it time for more.
fn run_on_this_cpu(cpu: u64) {
    // The cast is lossless: it is the number of a CPU.
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
                log::info!("storm: {} s left", seconds + 1);
            }
            left = seconds;
        }
    }
    note_actions(actions);
}

fn note_actions(actions: u64) {
    MIN_ACTIONS.fetch_min(actions, Ordering::Relaxed);
    MAX_ACTIONS.fetch_max(actions, Ordering::Relaxed);
}

fn rng_of(cpu: u32) -> Rng {
    Rng::with_seed(SEED.load(Ordering::Relaxed) ^ u64::from(cpu + 1) << 32)
}

/// An action of a CPU.
#[derive(Clone, Copy)]
enum Action {
    Trigger,
    Call,
    CallAndWait,
    CallAll,
    Defer,
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
        Self::Defer,
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
            62..80 => Self::Defer,
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
            Self::Defer => ipis::defer(cpu),
            Self::SetTimer => ipis::set_timer(cpu, rng),
            Self::ComeAndGo => ipis::create_and_drop_line(cpu, rng),
            Self::Move => ipis::move_any(cpu, rng),
            Self::Ask => request_backtrace(cpu),
        }
    }
}

/// Requests a backtrace of a CPU by NMI.
fn request_backtrace(cpu: u32) {
    match nmi::backtrace_of(cpu) {
        Ok(_) => account::sent_and_received(Kind::Nmi),
        // Another CPU is requesting a backtrace of that CPU.
        Err(nmi::NmiError::Busy(_)) => {}
        Err(error) => account::error(format!("{error}")),
    }
}

/// Returns the number of a random online CPU.
fn any_cpu(rng: &mut Rng) -> u32 {
    let cpus = smp::all();
    cpus.get(rng.usize(0..cpus.len().max(1)))
        .map_or(0, |online| online.cpu.id())
}

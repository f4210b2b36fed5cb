//! Thread wake-up latency (`wake.thread`): the time from the expiry of a timer to the next
//! instruction of the thread that sleeps until then, as cyclictest measures it.
//!
//! The thread of a CPU has the lowest priority: it runs when no handler is in service and no
//! interrupt is pending. There is one on each CPU, so that a wake-up switches no thread. Therefore
//! the load consists of interrupts, see the module `interrupt_load`; the samples include the
//! handlers that run between the expiry and the thread.
//!
//! The baselines use the hardware directly, without load: the library's timers cannot run while
//! the hardware is borrowed. They are measured in cycles only: their number of instructions depends
//! on the instruction of the waiting thread that the deadline hits.

use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tocsin_logic::bench::correct;
use tocsin_logic::vector::Vector;

use super::baselines::{BEGAN, FLOOR, Installed, TYPICAL};
use super::clock::{Clock, sleep_until, stamp};
use super::interrupt_load::{self, InterruptLoad, random};
use super::quiesce::quiesce;
use super::record::{About, Value};
use super::runner::{Bench, Case};
use super::timer::{arm_alone, expire};
use tocsin::timer::{Expiry, Mode, Timer, TimerError};
use tocsin::{cancel, time};

/// The minimum time from the start of the timer to its deadline, and the range of the random time
/// added to it, in nanoseconds.
///
/// In cycles it is as long as that of the Linux peer: after a short sleep the caches hold more of
/// the path. An instruction count does not depend on it.
const fn times(clock: Clock) -> (u64, u64) {
    match clock {
        Clock::Cycles => (500_000, 1 << 18),
        Clock::Instructions => (20_000, 60_000),
    }
}

/// The divisor for the number of samples in cycles, and the factor for those under load where
/// instructions are counted. The default is then 2,000 for both, as of the Linux peer: a maximum
/// grows with the number of samples.
const FEWER: usize = 5;
const MORE: usize = 40;

/// The number of samples under load before the first that is recorded.
const WARM_UP: usize = 100;

/// The maximum time for the samples under load, in nanoseconds.
const BUDGET: u64 = 3_000_000_000;

/// Whether the function of the timer has run.
static FIRED: AtomicBool = AtomicBool::new(false);

/// The target of the jump in [`repeat_one_instruction`], and the target that ends it.
static TARGET: AtomicU64 = AtomicU64::new(0);
static EXIT: AtomicU64 = AtomicU64::new(0);

pub(super) fn run(bench: &mut Bench) {
    if let Err(error) = measure(bench) {
        bench.skip("wake.thread", &alloc::format!("{error}"));
    }
}

fn measure(bench: &mut Bench) -> Result<(), TimerError> {
    let installed = Installed::new();
    Installed::set_typical(expire);
    let samples = bench.samples;
    if bench.clock == Clock::Cycles {
        bench.samples = samples.div_ceil(FEWER);
    }
    let result = under_all(bench, &installed);
    bench.samples = samples;
    result
}

fn under_all(bench: &mut Bench, installed: &Installed) -> Result<(), TimerError> {
    let wake = |_: &Expiry<'_>| {
        FIRED.store(true, Ordering::Relaxed);
        TARGET.store(EXIT.load(Ordering::Relaxed), Ordering::Relaxed);
    };
    let mut timer = Timer::new("bench", Mode::Interrupt, wake)?;
    interrupt_load::restart();
    let (overhead, clock) = (bench.overhead, bench.clock);
    let mut variants = match clock {
        Clock::Cycles => installed.variants(
            overhead,
            || late(&mut timer, clock, sleep),
            || late_alone(FLOOR, clock),
            || late_alone(TYPICAL, clock),
        ),
        Clock::Instructions => {
            let own = || late(&mut timer, clock, repeat_one_instruction);
            alloc::vec![Case::new("tocsin", overhead, own)]
        }
    };
    bench.compare(
        "wake.thread",
        &[("load", Value::Word("idle"))],
        &mut variants,
    );
    drop(variants);
    under_interrupts(bench, &mut timer)
}

fn under_interrupts(bench: &mut Bench, timer: &mut Timer) -> Result<(), TimerError> {
    let mut load = InterruptLoad::new()?;
    let count = match bench.clock {
        Clock::Cycles => bench.samples,
        Clock::Instructions => bench.samples * MORE,
    };
    interrupt_load::restart();
    quiesce();
    let pest = interrupt_load::load_this_cpu();
    load.start();
    let mut samples = Vec::with_capacity(count);
    let begin = time::nanoseconds();
    for number in 0..count + count.min(WARM_UP) {
        let sample = late(timer, bench.clock, sleep);
        if number >= count.min(WARM_UP) {
            samples.push(sample);
        }
        let is_over = bench.clock == Clock::Cycles && time::has_passed(begin, BUDGET);
        if !samples.is_empty() && (is_over || cancel::is_requested()) {
            break;
        }
    }
    load.stop();
    drop(pest);
    let below_zero = correct(&mut samples, bench.overhead);
    let about = About {
        name: "wake.thread",
        variant: "tocsin",
        unit: bench.clock.name(),
        param: &[("load", Value::Word("interrupts"))],
        overhead: bench.overhead,
        below_zero,
    };
    bench.metric(about, &mut samples);
    Ok(())
}

/// Returns the delay from the expiry of the timer to the next instruction of this thread, which
/// waits in `wait`.
fn late(timer: &mut Timer, clock: Clock, wait: impl Fn()) -> u64 {
    FIRED.store(false, Ordering::Relaxed);
    let due = time::nanoseconds() + pseudo_random_time(clock);
    let deadline = time::timestamp_at(due);
    // Cannot fail: it is this CPU's own timer.
    let _ = timer.at(due);
    wait();
    stamp().wrapping_sub(deadline)
}

fn pseudo_random_time(clock: Clock) -> u64 {
    let (soonest, range) = times(clock);
    soonest + random() % range
}

/// Sleeps until the function of the timer has run.
fn sleep() {
    sleep_until(|| FIRED.load(Ordering::Relaxed));
}

/// Executes one instruction again and again until the function of the timer has run, and then those
/// that [`sleep`] executes after a halt.
///
/// Every sample then has the same number of instructions, whichever instruction the deadline hits,
/// and as many as that of a CPU that was halted. The repeated instruction is a jump, whose target
/// the function of the timer changes.
fn repeat_one_instruction() {
    // SAFETY: The code writes only the statics that belong to this measurement, and a register that
    // is declared. Both targets of the jump are in this block. A function of the timer that has run
    // before the first target was stored is noticed by the comparison. Interrupts are enabled
    // before and after.
    unsafe {
        asm!(
            "lea {at}, [rip + 3f]", "mov [rip + {exit}], {at}",
            "lea {at}, [rip + 2f]", "mov [rip + {target}], {at}",
            "cmp byte ptr [rip + {fired}], 0", "jne 3f",
            "2: jmp qword ptr [rip + {target}]",
            "3: cli", "cmp byte ptr [rip + {fired}], 0", "jne 4f", "sti", "jmp 2b",
            "4: sti",
            at = out(reg) _,
            exit = sym EXIT,
            target = sym TARGET,
            fired = sym FIRED,
        );
    }
}

/// Returns the delay of a baseline, which uses the hardware directly and halts in the same way.
fn late_alone(vector: Vector, clock: Clock) -> u64 {
    let Some((_hardware, deadline)) = arm_alone(vector, pseudo_random_time(clock)) else {
        return 0;
    };
    // SAFETY: Interrupts were enabled before `arm_alone`, and are enabled at the end. They stay
    // inhibited between STI and HLT (SDM vol. 2B, STI), so an interrupt that arrives after the
    // check ends the halt. All registers that a handler may change are declared, and no interrupt
    // arrives before the first line.
    unsafe {
        asm!(
            "2: cmp qword ptr [rip + {began}], 0", "jne 3f", "sti", "hlt", "cli", "jmp 2b",
            "3: sti",
            began = sym BEGAN,
            out("rax") _, out("rcx") _, out("rdx") _,
        );
    }
    stamp().wrapping_sub(deadline)
}

//! CPUs that watch each other: who has stopped answering interrupts is named, with what it is doing.
//!
//! A timer on each CPU makes its heart beat, and looks at the hearts of the CPUs after it, as far as they
//! are stuck: see `tocsin_logic::irq::heart`. A heart that has not beaten for [`LIMIT`] belongs to a CPU
//! that has its interrupts off, or holds all classes back: an NMI asks it where it is. The machine
//! goes on; a CPU that comes back is named too.

use alloc::vec::Vec;
use core::mem;
use core::sync::atomic::Ordering;

use tocsin_logic::irq::heart::{self, Heart};
use tocsin_logic::units::Nanoseconds;

use super::nmi;
use super::timers::{Expiry, Mode, Timer, TimerError};
use crate::cpu::PerCpu;
use crate::smp;
use crate::sync::IrqMutex;
use crate::{cpu, print, time};

/// Time between two beats, in nanoseconds.
pub const PERIOD: u64 = 250_000_000;

/// Time without a beat after which a CPU counts as stuck, in nanoseconds.
pub const LIMIT: u64 = 2_000_000_000;

/// Time that a report of another CPU may take, in which one's own heart cannot beat, in nanoseconds.
const REPORT: u64 = 3_000_000_000;

/// The timers of the hearts; none while nobody watches.
static BEATS: IrqMutex<Vec<Timer>> = IrqMutex::new(Vec::new());

/// Starts the watch on all CPUs that are online. Returns how many they are. In a thread.
///
/// # Errors
///
/// [`TimerError`], if a CPU has no timer for it; then nobody watches.
pub fn start() -> Result<usize, TimerError> {
    stop();
    let mut beats = Vec::new();
    for block in ring_from(0) {
        let mut timer = Timer::on(block.id(), "watchdog", Mode::Interrupt, beat)?;
        // From now on, also if the CPU is stuck already.
        block.heart.last.store(now(), Ordering::Relaxed);
        timer.every(PERIOD)?;
        beats.push(timer);
    }
    let watching = beats.len();
    *BEATS.lock() = beats;
    Ok(watching)
}

/// Ends the watch. In a thread.
pub fn stop() {
    let beats = mem::take(&mut *BEATS.lock());
    drop(beats);
    for block in ring_from(0) {
        block.heart.last.store(0, Ordering::Relaxed);
        block.heart.stuck.store(false, Ordering::Relaxed);
    }
}

/// The time, which is not 0.
fn now() -> u64 {
    time::nanoseconds().max(1)
}

/// Beats, and looks at the CPUs that follow.
fn beat(_: &Expiry<'_>) {
    let cpu = cpu::current();
    let (now, own) = (now(), cpu.id());
    let last = cpu.heart.last.swap(now, Ordering::Relaxed);
    if cpu.heart.stuck.swap(false, Ordering::Relaxed) {
        log::warn!(
            "watchdog: CPU {own} answers interrupts again, after {}",
            Nanoseconds(now.saturating_sub(last))
        );
    }
    let others = || ring_from(own).skip(1);
    let hearts = others().map(|block| Heart {
        last: block.heart.last.load(Ordering::Relaxed),
        is_reported: block.heart.stuck.load(Ordering::Relaxed),
    });
    for (place, silence) in heart::newly_stuck(hearts, now, LIMIT) {
        let Some(block) = others().nth(place) else {
            continue;
        };
        if !block.heart.stuck.swap(true, Ordering::Relaxed) {
            cpu.heart
                .last
                .store(self::now() + REPORT, Ordering::Relaxed);
            report(block.id(), silence);
            cpu.heart.last.store(self::now(), Ordering::Relaxed);
        }
    }
}

fn report(stuck: u32, silence: u64) {
    log::error!(
        "watchdog: CPU {stuck} has not answered interrupts for {}",
        Nanoseconds(silence)
    );
    match nmi::backtrace_for_watchdog(stuck) {
        Ok(backtrace) => print!("{backtrace}"),
        Err(error) => log::error!("watchdog: {error}"),
    }
}

/// The CPUs that are online, in the order of their numbers, beginning with `first`, or the next one, and
/// around the ring.
fn ring_from(first: u32) -> impl Iterator<Item = &'static PerCpu> {
    let online = smp::all();
    let place = online
        .iter()
        .position(|online| online.cpu.id() >= first)
        .unwrap_or(0);
    let (before, after) = online.split_at(place);
    after.iter().chain(before).map(|online| online.cpu)
}

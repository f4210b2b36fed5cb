//! CPUs that watch each other: who has stopped answering interrupts is named, with what it is doing.
//!
//! Each CPU's timer makes its heart beat, and looks at the next CPU's heart. A heart that has not beaten
//! for [`LIMIT`] belongs to a CPU that has its interrupts off, or holds all classes back: an NMI
//! asks it where it is. The machine goes on; a CPU that comes back is named too.

use core::sync::atomic::Ordering;

use super::nmi;
use crate::apic::timer::{self, TimerError};
use crate::cpu::PerCpu;
use crate::smp::{self, jobs};
use crate::{cpu, print, time};

/// Time between two beats, in nanoseconds.
pub const PERIOD: u64 = 250_000_000;

/// Time without a beat after which a CPU counts as stuck, in nanoseconds.
pub const LIMIT: u64 = 2_000_000_000;

/// Starts the watch on all CPUs that are online. Uses the local APICs' timers.
///
/// # Errors
///
/// [`TimerError`], if the timer cannot count the period.
pub fn start() -> Result<(), TimerError> {
    timer::set_handler(beat);
    // A CPU that is busy with something else is not watched.
    let _ = jobs::run_on_all(start_here);
    timer::start_periodic(PERIOD)
}

/// Ends the watch.
pub fn stop() {
    let _ = jobs::run_on_all(stop_here);
}

fn start_here(_: u64) {
    cpu::current()
        .heart
        .last
        .store(time::nanoseconds().max(1), Ordering::Relaxed);
    // `start` reports the error, which is the same on every CPU.
    let _ = timer::start_periodic(PERIOD);
}

fn stop_here(_: u64) {
    timer::stop();
    cpu::current().heart.last.store(0, Ordering::Relaxed);
}

/// Answers the timer: beats, and looks at the next CPU.
extern "C" fn beat(_: usize, _: u8) {
    let now = time::nanoseconds().max(1);
    let cpu = cpu::current();
    let own = cpu.id();
    let mine = &cpu.heart;
    mine.last.store(now, Ordering::Relaxed);
    if mine.stuck.swap(false, Ordering::Relaxed) {
        log::warn!("watchdog: CPU {own} answers interrupts again");
    }
    let Some(block) = next_online(own) else {
        return;
    };
    let (next, watched) = (block.id(), &block.heart);
    let last = watched.last.load(Ordering::Relaxed);
    if last == 0 || now.saturating_sub(last) < LIMIT || watched.stuck.swap(true, Ordering::Relaxed)
    {
        return;
    }
    log::error!(
        "watchdog: CPU {next} has not answered interrupts for {} ms",
        now.saturating_sub(last) / 1_000_000
    );
    match nmi::backtrace_for_watchdog(next) {
        Ok(backtrace) => print!("{backtrace}"),
        Err(error) => log::error!("watchdog: {error}"),
    }
}

/// The CPU that `own` watches: the online one with the next number, around the ring.
fn next_online(own: u32) -> Option<&'static PerCpu> {
    let cpus = &smp::online()?.online;
    let place = cpus.iter().position(|online| online.cpu.id() == own)?;
    let next = cpus[(place + 1) % cpus.len()].cpu;
    (next.id() != own).then_some(next)
}

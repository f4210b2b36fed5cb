//! A device's pin at an I/O APIC, from the device's edge to the handler: a comparator of the HPET.
//!
//! The edge comes when the HPET's main counter reaches the comparator's value. What the time-stamp counter
//! shows then is known from two readings of both counters, one before and one after it: as exactly as the
//! main counter counts, 10 ns in QEMU.
//!
//! There is no floor and no typical way: the vector is given out to the line that has the pin. From the
//! local APIC on, those of `self_ipi` are the same.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use tocsin_logic::acpi::Gsi;
use tocsin_logic::apic::Trigger;
use tocsin_logic::vector::PriorityClass;
use x86_64::instructions::interrupts;

use super::clock::{pauses, stamp};
use super::rivals::BEGAN;
use super::runner::{Bench, Case};
use super::self_ipi::wait;
use crate::cpu;
use crate::devices::DeviceError;
use crate::devices::hpet::{Event, Hpet, Way};

const NAME: &str = "pin.hpet";

/// From the setting of the comparator to its edge, in nanoseconds: long enough to be set and still wait.
const WAIT: u64 = 50_000;

/// Most samples: each takes as long.
const SAMPLES: usize = 5_000;

pub(super) fn run(bench: &mut Bench) {
    let mut event = match any_pin() {
        Ok(event) => event,
        Err(why) => return bench.skip(NAME, &why),
    };
    let counts = event.counts(WAIT);
    let mut refused = None;
    let overhead = bench.overhead;
    bench.compare_few(
        NAME,
        &[],
        SAMPLES,
        &mut [Case {
            variant: "tocsin",
            overhead,
            take: &mut || {
                late(&mut event, counts).unwrap_or_else(|error| {
                    refused.get_or_insert(error);
                    0
                })
            },
        }],
    );
    if let Some(error) = refused {
        bench.skip(NAME, &format!("some samples are 0: {error}"));
    }
}

/// A comparator at a pin of its own, answered on this CPU; or why there is none.
fn any_pin() -> Result<Event, String> {
    let mut why = None;
    let mut note = |error: DeviceError| {
        why.get_or_insert(format!("{error}"));
    };
    let class = PriorityClass::new(13).unwrap_or(PriorityClass::HIGHEST);
    let claim = || Hpet::claim().map_err(|error| format!("{error}"));
    let routes: Vec<Vec<Gsi>> = claim()?.iter().map(|it| it.routes().collect()).collect();
    for (number, routes) in routes.into_iter().enumerate() {
        for gsi in routes {
            // The others are free again when they are dropped.
            let Some(comparator) = claim()?.into_iter().nth(number) else {
                break;
            };
            let way = Way::Pin {
                gsi,
                trigger: Trigger::Edge,
            };
            let answer = || BEGAN.store(stamp(), Ordering::Relaxed);
            match comparator.answer(way, class, cpu::current().id(), answer) {
                Ok(event) => return Ok(event),
                Err(error) => note(error),
            }
        }
    }
    Err(why.unwrap_or_else(|| "no comparator has a route to an I/O APIC".into()))
}

/// How late the handler begins after the edge.
fn late(event: &mut Event, counts: u64) -> Result<u64, DeviceError> {
    if pauses() {
        // An edge that ends a sleep begins every sample at the same distance from the counter's next count,
        // so that all are rounded alike.
        sleep_until_edge(event, counts)?;
    }
    loop {
        BEGAN.store(0, Ordering::Relaxed);
        let before = both(event);
        let value = before.count.wrapping_add(counts);
        if !event.at(before.count, value)? {
            // Something else took so long that the edge may have been missed.
            continue;
        }
        let began = wait();
        let after = both(event);
        let cycles = u128::from(after.stamp - before.stamp);
        let between = u128::from(event.elapsed(before.count, after.count)).max(1);
        let edge = before.stamp + (u128::from(counts) * cycles / between) as u64;
        return Ok(began.saturating_sub(edge));
    }
}

fn sleep_until_edge(event: &mut Event, counts: u64) -> Result<(), DeviceError> {
    loop {
        BEGAN.store(0, Ordering::Relaxed);
        let now = event.counter();
        if event.at(now, now.wrapping_add(counts))? {
            break;
        }
    }
    loop {
        interrupts::disable();
        if BEGAN.load(Ordering::Relaxed) != 0 {
            break interrupts::enable();
        }
        interrupts::enable_and_hlt();
    }
    Ok(())
}

/// Both counters at one moment.
struct Both {
    stamp: u64,
    count: u64,
}

/// Readings of which the fastest is taken: whatever comes in between makes the others longer.
const READINGS: usize = 3;

/// The stamp is of the middle of the reading.
fn both(event: &Event) -> Both {
    let readings = (0..READINGS).map(|_| {
        let begin = stamp();
        let count = event.counter();
        (stamp() - begin, begin, count)
    });
    let (took, begin, count) = readings.min().unwrap_or_default();
    Both {
        stamp: begin + took / 2,
        count,
    }
}

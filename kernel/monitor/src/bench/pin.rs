//! A device's pin at an I/O APIC, from the device's edge to the handler: a comparator of the HPET.
//!
//! The edge comes when the HPET's main counter reaches the comparator's value. What the time-stamp counter
//! shows then is known from two readings of both counters, one before and one after it: as exactly as the
//! main counter counts, 10 ns in QEMU.
//!
//! That of `tocsin` goes to the line that has the pin, as every driver has it. For the rivals, the pin's
//! entry of the I/O APIC has their vectors.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::arch::asm;
use core::cell::{Cell, RefCell};
use core::sync::atomic::Ordering;

use tocsin_logic::acpi::Gsi;
use tocsin_logic::apic::Trigger;
use tocsin_logic::vector::{PriorityClass, Vector};
use x86_64::instructions::interrupts;

use super::clock::{pauses, stamp};
use super::rivals::{BEGAN, FLOOR, Installed, TYPICAL};
use super::runner::Bench;
use tocsin::cpu;
use tocsin::devices::DeviceError;
use tocsin::devices::hpet::{Event, Hpet, Way};
use tocsin::hw::processor;

const NAME: &str = "pin.hpet";

/// From the setting of the comparator to its edge, in nanoseconds: long enough to be set and still wait.
const WAIT: u64 = 50_000;

pub(super) fn run(bench: &mut Bench) {
    let installed = Installed::new();
    let event = match any_pin() {
        Ok(event) => event,
        Err(why) => return bench.skip(NAME, &why),
    };
    let counts = event.counts(WAIT);
    let event = RefCell::new(event);
    let refused = Cell::new(None);
    let take = |vector: Vector| {
        late(&mut event.borrow_mut(), counts, vector).unwrap_or_else(|error| {
            refused.set(Some(error));
            0
        })
    };
    let own = event.borrow().line().vector();
    let mut ways = installed.ways(
        bench.overhead,
        || take(own),
        || take(FLOOR),
        || take(TYPICAL),
    );
    bench.compare(NAME, &[], &mut ways);
    drop(ways);
    if let Some(error) = refused.take() {
        bench.skip(NAME, &format!("some samples are 0: {error}"));
    }
}

/// A comparator at a pin of its own, answered on this CPU; or why there is none.
fn any_pin() -> Result<Event, String> {
    let mut why = None;
    let mut note = |error: DeviceError| {
        why.get_or_insert(format!("{error}"));
    };
    let class = PriorityClass::new(13).expect("a class is 0 to 15");
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

/// How late the handler of `vector` begins after the edge.
fn late(event: &mut Event, counts: u64, vector: Vector) -> Result<u64, DeviceError> {
    if pauses() {
        // An edge that ends a sleep begins every sample at the same distance from the counter's next count,
        // so that all are rounded alike.
        sleep_until_edge(event, counts)?;
    }
    divert(event, vector)?;
    let late = loop {
        BEGAN.store(0, Ordering::Relaxed);
        let before = both(event);
        let value = before.count.wrapping_add(counts);
        interrupts::disable();
        let is_set = event.at(before.count, value);
        let armed = stamp();
        if !matches!(is_set, Ok(true)) {
            // Something took so long that the edge may have been missed. If not, its interrupt is here by now.
            event.stop();
            enable_and_wait(1);
            is_set?;
            continue;
        }
        let began = enable_and_wait(u64::MAX);
        let after = both(event);
        let cycles = u128::from(after.stamp - before.stamp);
        let between = u128::from(event.elapsed(before.count, after.count)).max(1);
        // When it was read, half a count had passed on the average.
        let half_counts = u128::from(2 * counts) - 1;
        let edge = before.stamp + (half_counts * cycles / (2 * between)) as u64;
        // Otherwise it had to wait for this CPU to let it in.
        if armed < edge {
            // The edge is known to half a count: an early handler is below 0.
            break began.wrapping_sub(edge);
        }
    };
    divert(event, event.line().vector())?;
    Ok(late)
}

/// Has the pin interrupt at `vector`. Nothing is on its way.
fn divert(event: &Event, vector: Vector) -> Result<(), DeviceError> {
    // SAFETY: The vector is a baseline's, or the line's own.
    let diverted = unsafe { event.line().divert(vector) };
    diverted.map_err(|error| DeviceError::Line(NAME, error))
}

/// Lets interrupts in, and waits for the handler; for so many turns at most. Returns when it began, or 0. Ready
/// for a handler that changes registers.
fn enable_and_wait(turns: u64) -> u64 {
    // SAFETY: 1. What a handler may change is named, and none comes before the first line. 2. Interrupts
    // were on before the caller turned them off.
    unsafe {
        asm!(
            "sti",
            "2: cmp qword ptr [rip + {began}], 0", "jne 3f", "dec {turns}", "jnz 2b", "3:",
            began = sym BEGAN,
            turns = inout(reg) turns => _,
            out("rax") _, out("rcx") _, out("rdx") _,
        );
    }
    BEGAN.load(Ordering::Relaxed)
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
        processor::enable_and_halt();
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

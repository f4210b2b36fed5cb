//! The latency of a pin interrupt through an I/O APIC, from the device's edge to the handler. The
//! device is a comparator of the HPET.
//!
//! The edge occurs when the HPET's main counter reaches the comparator's value. The TSC value at
//! this time is computed from two reads of both counters, one before and one after the edge. It is
//! as accurate as the resolution of the main counter, which is 10 ns in QEMU.
//!
//! The variant `tocsin` uses the line that owns the pin, as every driver does. For the baselines,
//! the pin's RTE in the I/O APIC holds their vectors.

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

use super::baselines::{BEGAN, FLOOR, Installed, TYPICAL};
use super::clock::{pauses, stamp};
use super::runner::Bench;
use tocsin::cpu;
use tocsin::devices::DeviceError;
use tocsin::devices::hpet::{Connection, Event, Hpet};
use tocsin::hw::processor;

const NAME: &str = "pin.hpet";

/// The time from the write of the comparator to its edge, in nanoseconds. It is long enough that
/// the edge is still pending after the write.
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
    let mut variants = installed.variants(
        bench.overhead,
        || take(own),
        || take(FLOOR),
        || take(TYPICAL),
    );
    bench.compare(NAME, &[], &mut variants);
    drop(variants);
    if let Some(error) = refused.take() {
        bench.skip(NAME, &format!("some samples are 0: {error}"));
    }
}

/// Returns a comparator at a pin of its own that interrupts this CPU, or the reason why there is
/// none.
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
            // The drop frees the other comparators.
            let Some(comparator) = claim()?.into_iter().nth(number) else {
                break;
            };
            let connection = Connection::Pin {
                gsi,
                trigger: Trigger::Edge,
            };
            let handler = || BEGAN.store(stamp(), Ordering::Relaxed);
            match comparator.with_handler(connection, class, cpu::current().id(), handler) {
                Ok(event) => return Ok(event),
                Err(error) => note(error),
            }
        }
    }
    Err(why.unwrap_or_else(|| "no comparator has a route to an I/O APIC".into()))
}

/// Returns the latency of the handler of `vector` after the edge.
fn late(event: &mut Event, counts: u64, vector: Vector) -> Result<u64, DeviceError> {
    if pauses() {
        // An edge that ends a halt starts every sample at the same distance from the counter's next
        // count, so that all samples are rounded equally.
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
            // A delay may have caused the edge to be missed. If it was not missed, its interrupt
            // has arrived by now.
            event.stop();
            enable_and_wait(1);
            is_set?;
            continue;
        }
        let began = enable_and_wait(u64::MAX);
        let after = both(event);
        let cycles = u128::from(after.stamp - before.stamp);
        let between = u128::from(event.elapsed(before.count, after.count)).max(1);
        // On average, half a count had passed at the time of the read.
        let half_counts = u128::from(2 * counts) - 1;
        let edge = before.stamp + (half_counts * cycles / (2 * between)) as u64;
        // Otherwise the interrupt was delayed because this CPU had interrupts disabled.
        if armed < edge {
            // The time of the edge is accurate to half a count, so the result of an early handler
            // is below 0.
            break began.wrapping_sub(edge);
        }
    };
    divert(event, event.line().vector())?;
    Ok(late)
}

/// Routes the pin to `vector`. The caller ensures that no interrupt of the pin is in transit.
fn divert(event: &Event, vector: Vector) -> Result<(), DeviceError> {
    // SAFETY: The vector is a baseline's, or the line's own.
    let diverted = unsafe { event.line().divert(vector) };
    diverted.map_err(|error| DeviceError::Line(NAME, error))
}

/// Enables interrupts, and waits for the handler for at most `turns` iterations. Returns the time
/// at which it began, or 0. The handler may clobber RAX, RCX and RDX.
fn enable_and_wait(iterations: u64) -> u64 {
    // SAFETY: All registers that a handler may change are declared, and no interrupt arrives before
    // the first line. Interrupts were enabled before the caller disabled them.
    unsafe {
        asm!(
            "sti",
            "2: cmp qword ptr [rip + {began}], 0", "jne 3f", "dec {iterations}", "jnz 2b", "3:",
            began = sym BEGAN,
            iterations = inout(reg) iterations => _,
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

/// The values of both counters at the same time.
struct Both {
    stamp: u64,
    count: u64,
}

/// The number of reads, of which the fastest is used, because any disturbance makes a read longer.
const READINGS: usize = 3;

/// Reads both counters. The TSC value is that of the middle of the read.
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

//! The HPET: every comparator, in each mode that it supports.

use alloc::format;
use alloc::vec::Vec;

use tocsin_logic::acpi::Gsi;
use tocsin_logic::apic::Trigger;

use super::{Begin, ExpectedCounts, GRACE, Run, TIMEOUT, What, arrives, mask_an_edge, received};
use crate::commands::names;
use tocsin::devices::DeviceError;
use tocsin::devices::hpet::{Comparator, Connection, Event, Hpet};
use tocsin::devices::pit::Pit;
use tocsin::{cancel, time};

/// The one-shot time and the period, in nanoseconds.
const TIME: u64 = 1_000_000;

pub(super) fn hpet(run: &mut Run<'_>) -> Result<(), DeviceError> {
    // Firmware may have left the PIT running, which shares a comparator's pin on many boards.
    let _silenced = Pit::claim();
    let comparators = Hpet::claim()?;
    let abilities: Vec<_> = comparators
        .iter()
        .map(|it| (it.number(), it.can_send_messages()))
        .collect();
    drop(comparators);
    for (number, can_send_messages) in abilities {
        for trigger in [Trigger::Edge, Trigger::Level] {
            let name = names::trigger(trigger);
            match at_any_pin(run, number, trigger) {
                Ok(event) => drive(run, number, name, event)?,
                Err(error) => run.unsupported(What::comparator(number, name, "one_shot"), &error),
            }
        }
        if can_send_messages {
            let event =
                take(number)?.with_handler(Connection::Message, run.class, run.cpu, || {})?;
            drive(run, number, "message", event)?;
        }
    }
    Ok(())
}

/// Claims the comparator with this number.
fn take(number: u8) -> Result<Comparator, DeviceError> {
    let mut all = Hpet::claim()?.into_iter();
    let found = all.find(|comparator| comparator.number() == number);
    Ok(found.expect("the number of comparators does not change"))
}

/// Returns the comparator at the first of its pins that is free and supports the trigger mode. The
/// search starts at a different pin for each comparator.
fn at_any_pin(run: &Run<'_>, number: u8, trigger: Trigger) -> Result<Event, DeviceError> {
    let mut routes: Vec<Gsi> = take(number)?.routes().collect();
    if routes.is_empty() {
        let what = format!("comparator {number} has no route to an I/O APIC");
        return Err(DeviceError::Cannot("HPET", what));
    }
    let first = usize::from(number) % routes.len();
    routes.rotate_left(first);
    let mut refused = None;
    for gsi in routes {
        match take(number)?.with_handler(
            Connection::Pin { gsi, trigger },
            run.class,
            run.cpu,
            || {},
        ) {
            Ok(event) => return Ok(event),
            Err(error) => {
                refused.get_or_insert(error);
            }
        }
    }
    Err(refused.expect("there was a route"))
}

fn drive(
    run: &mut Run<'_>,
    number: u8,
    way: &'static str,
    mut event: Event,
) -> Result<(), DeviceError> {
    let (is_level, is_message) = (way == "level", way == "message");
    let counts = event.counts(TIME);

    let begin = Begin::new(event.line());
    let (mut raised, mut late) = (0, 0);
    while raised < run.count && !cancel::was_requested() {
        let in_time = event.once(counts)?;
        let limit = if in_time { TIMEOUT } else { 3 * TIME };
        if arrives(event.line(), &begin, raised + 1, limit) {
            raised += 1;
        } else if in_time {
            raised += 1;
            break;
        } else if late == run.count {
            break;
        } else {
            // The time had passed before the comparator was set, and no interrupt was raised.
            late += 1;
            // An emulator may still raise it, late.
            run.quiesce(0);
            raised = received(event.line()) - begin.received;
        }
    }
    let what = What::comparator(number, way, "one_shot");
    run.row(what, event.line(), &begin, &ExpectedCounts::all(raised));

    let what = What::comparator(number, way, "masked");
    if is_level || is_message {
        masked(run, what, is_level, &mut event, counts)?;
    } else {
        let begin = mask_an_edge(run, &mut event, Event::line, |event| {
            event.once(counts).map(|_| ())
        })?;
        run.row(what, event.line(), &begin, &ExpectedCounts::lost());
    }

    let what = What::comparator(number, way, "periodic");
    let begin = Begin::new(event.line());
    let before = event.acknowledged();
    match event.every(counts) {
        Ok(periods) => {
            arrives(
                event.line(),
                &begin,
                run.count,
                TIMEOUT + 2 * TIME * run.count,
            );
            // The comparator keeps its value, and no period ends after this.
            event.stop();
            let ended = event.periods(periods);
            // The last interrupt that was raised arrives, even if the device has deasserted it by
            // then.
            run.quiesce(0);
            let expected = if is_level {
                // Each interrupt was asserted until it was handled.
                ExpectedCounts {
                    empty: 1,
                    ..ExpectedCounts::all(event.acknowledged() - before)
                }
            } else {
                ExpectedCounts::merging(ended)
            };
            run.row(what, event.line(), &begin, &expected);
        }
        Err(error @ DeviceError::Cannot(..)) => run.unsupported(what, &error),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Checks a masked comparator. A level stays pending. A message is lost, but an emulator may send
/// it when the comparator is unmasked.
fn masked(
    run: &mut Run<'_>,
    what: What,
    is_level: bool,
    event: &mut Event,
    counts: u64,
) -> Result<(), DeviceError> {
    let begin = Begin::new(event.line());
    event.line().set_masked(true);
    event.once(counts)?;
    if is_level {
        time::wait_until(TIMEOUT, || event.is_asserted());
    } else {
        time::spin_for(2 * TIME);
    }
    let received_masked = received(event.line()) - begin.received;
    event.line().set_masked(false);
    arrives(
        event.line(),
        &begin,
        1,
        if is_level { TIMEOUT } else { GRACE },
    );
    let expected = ExpectedCounts {
        least: u64::from(is_level),
        ..ExpectedCounts::all(1)
    };
    run.row(what, event.line(), &begin, &expected);
    if received_masked != 0 {
        run.problem(&format!(
            "{what}: an interrupt was delivered although its source was masked"
        ));
    }
    Ok(())
}

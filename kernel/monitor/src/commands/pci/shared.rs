//! `pci shared`: two `edu` devices whose pins are wired to the same input, counted on both ends.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::devices::{CLASS, check};
use crate::drivers::edu::{Answered, Edu, IDS, Tally};
use tocsin::line::{Claim, Member, Request, SharedLine, Source};
use tocsin::pci::PciError;
use tocsin::{Machine, cancel, println, time};

/// The values that the devices raise at the same time. They must not be 0 or have bit 0 set.
const VALUES: (u32, u32) = (2, 4);

/// The timeout after which an interrupt counts as lost, in nanoseconds.
const PATIENCE: u64 = 2_000_000_000;

pub(super) fn shared(machine: &Machine, count: u32, cpu: u32) -> Result<(), PciError> {
    let (source, first, second) = pair(machine)?;
    let addresses = (first.function().address, second.function().address);
    let request = Request {
        name: "edus",
        source,
        class: CLASS,
        cpu,
    };
    let line = SharedLine::new(request).map_err(PciError::Line)?;
    println!(
        "edu {} and edu {}: {}, vector {} of CPU {}",
        addresses.0,
        addresses.1,
        first.function().pin_route(&machine.topology)?,
        line.line().vector(),
        line.line().cpu()
    );
    let (first, second) = (first.join(&line), second.join(&line));
    check(addresses.0, "first alone", first.raise(count))?;
    check(addresses.1, "second alone", second.raise(count))?;
    at_once(&line, &first, &second, count)?;

    // A handler is added and removed while interrupts are in transit.
    drop(first);
    let mut all = Tally::default();
    for _ in (0..count).take_while(|_| !cancel::is_requested()) {
        all += second.raise_with(VALUES.1, || drop(line.join(|| Claim::NotMine)));
    }
    check(addresses.1, "second, while a handler comes and goes", all)
}

/// Returns two devices with the same input, and that input.
fn pair(machine: &Machine) -> Result<(Source, Arc<Edu>, Arc<Edu>), PciError> {
    let mut seen: Vec<(Source, Arc<Edu>)> = Vec::new();
    loop {
        let edu = Arc::new(Edu::claim().map_err(|error| match error {
            PciError::NotFound(..) | PciError::Claimed(_) => PciError::NoPair(IDS.0, IDS.1),
            other => other,
        })?);
        let source = edu.source(&machine.topology)?;
        if let Some(place) = seen.iter().position(|(other, _)| *other == source) {
            return Ok((source, seen.swap_remove(place).1, edu));
        }
        seen.push((source, edu));
    }
}

/// Both devices raise an interrupt while the input is masked; both are then handled in one
/// interrupt.
fn at_once(
    line: &SharedLine,
    first: &Answered<Member>,
    second: &Answered<Member>,
    count: u32,
) -> Result<(), PciError> {
    let counts = || {
        (
            line.line().counts().claimed,
            first.answered(),
            second.answered(),
        )
    };
    let before = counts();
    let mut number = 0;
    while number < u64::from(count) && !cancel::is_requested() {
        number += 1;
        line.line().set_masked(true);
        first.assert(VALUES.0);
        second.assert(VALUES.1);
        line.line().set_masked(false);
        let expected = (before.0 + number, before.1 + number, before.2 + number);
        time::wait_until(PATIENCE, || counts() == expected);
    }
    let after = counts();
    let came = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
    println!(
        "    both at once, {number} times: {} interrupts, {} for the first, {} for the second",
        came.0, came.1, came.2
    );
    if came == (number, number, number) {
        return Ok(());
    }
    Err(PciError::Count {
        address: second.function().address,
        sent: 3 * number,
        received: came.0 + came.1 + came.2,
    })
}

//! `pci shared`: two `edu` devices whose pins are wired to the same input, counted on both ends.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Run;
use super::devices::{CLASS, check, show_device};
use super::records::{BindingRecord, EduRunRecord, SharedRunRecord};
use crate::drivers::edu::{Edu, HandledEdu, IDS, Tally};
use tocsin::line::{Claim, Request, SharedHandler, SharedLine, Source};
use tocsin::pci::PciError;
use tocsin::{Machine, cancel, time};

/// The values that the devices raise at the same time. They must not be 0 or have bit 0 set.
const VALUES: (u32, u32) = (2, 4);

/// The timeout after which an interrupt counts as lost, in nanoseconds.
const TIMEOUT: u64 = 2_000_000_000;

pub(super) fn shared(run: &Run<'_>) -> Result<(), PciError> {
    let (source, first, second) = pair(run.machine)?;
    let request = Request {
        name: "edus",
        source,
        class: CLASS,
        cpu: run.cpu,
    };
    let line = SharedLine::new(request).map_err(PciError::Line)?;
    for edu in [&first, &second] {
        show_device(
            run.output,
            "edu",
            edu.function().address,
            Some(edu.version()),
        );
    }
    let binding = BindingRecord::of("pin", line.line());
    run.output.print("pci_binding", &binding);
    let check =
        |address, name, tally: &Tally| check(run, &EduRunRecord::of(address, name, tally), tally);
    let addresses = (first.function().address, second.function().address);
    let (first, second) = (first.join(&line), second.join(&line));
    check(addresses.0, "first_alone", &first.raise(run.count))?;
    check(addresses.1, "second_alone", &second.raise(run.count))?;
    at_once(&line, &first, &second, run)?;

    // A handler is added and removed while interrupts are in transit.
    drop(first);
    let mut all = Tally::default();
    for _ in (0..run.count).take_while(|_| !cancel::is_requested()) {
        all += second.raise_with(VALUES.1, || drop(line.add_handler(|| Claim::Unclaimed)));
    }
    check(addresses.1, "handler_added_and_removed", &all)
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
        if let Some(index) = seen.iter().position(|(other, _)| *other == source) {
            return Ok((source, seen.swap_remove(index).1, edu));
        }
        seen.push((source, edu));
    }
}

/// Both devices raise an interrupt while the input is masked; both are then handled in one
/// interrupt.
fn at_once(
    line: &SharedLine,
    first: &HandledEdu<SharedHandler>,
    second: &HandledEdu<SharedHandler>,
    run: &Run<'_>,
) -> Result<(), PciError> {
    let counts = || {
        (
            line.line().counts().claimed,
            first.handled(),
            second.handled(),
        )
    };
    let before = counts();
    let mut number = 0;
    while number < u64::from(run.count) && !cancel::is_requested() {
        number += 1;
        line.line().set_masked(true);
        first.assert(VALUES.0);
        second.assert(VALUES.1);
        line.line().set_masked(false);
        let expected = (before.0 + number, before.1 + number, before.2 + number);
        time::wait_until(TIMEOUT, || counts() == expected);
    }
    let after = counts();
    let received = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
    let record = SharedRunRecord {
        rounds: number,
        interrupts: received.0,
        claimed: (received.1, received.2),
    };
    run.output.print("shared_run", &record);
    if received == (number, number, number) {
        run.checks.note(true);
        return Ok(());
    }
    Err(PciError::Count {
        address: second.function().address,
        sent: 3 * number,
        received: received.0 + received.1 + received.2,
    })
}

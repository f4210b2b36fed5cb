//! Devices that interrupt when they get a request.

use super::{Begin, ExpectedCounts, Run, TIMEOUT, What, arrives, received};
use crate::drivers::virtio_mmio::VirtioRng;
use crate::shell::keys;
use tocsin::devices::DeviceError;
use tocsin::devices::keyboard::Keyboard;
use tocsin::devices::serial::Serial;
use tocsin::time;

/// The timeout for a port to report that its transmitter is empty, in nanoseconds. Not all ports
/// report it.
const EMPTY_TIMEOUT: u64 = 500_000_000;

pub(super) fn keyboard(run: &mut Run<'_>) -> Result<(), DeviceError> {
    keys::without(|| echo(run))
}

fn echo(run: &mut Run<'_>) -> Result<(), DeviceError> {
    let mut keyboard = Keyboard::start(run.class, run.cpu)?;
    let begin = Begin::new(keyboard.line());
    let mut wrong = 0;
    for number in 1..=run.count {
        keyboard.echo()?;
        if !arrives(keyboard.line(), &begin, number, TIMEOUT) {
            break;
        }
        wrong += u64::from(keyboard.next_byte() != Some(Keyboard::ECHO));
    }
    let bytes = keyboard.bytes();
    let what = What::new("keyboard", "echo");
    run.row(what, keyboard.line(), &begin, &ExpectedCounts::all(bytes));
    if bytes < run.count || wrong != 0 {
        let count = run.count;
        run.problem(&alloc::format!(
            "keyboard: {count} echoes requested, {bytes} bytes received, {wrong} of them wrong"
        ));
    }
    Ok(())
}

pub(super) fn com2(run: &mut Run<'_>) -> Result<(), DeviceError> {
    let mut port = Serial::claim()?.with_handler(run.class, run.cpu, |_| {})?;
    time::wait_until(EMPTY_TIMEOUT, || received(port.line()) > 0);
    let begin = Begin::new(port.line());
    let before = port.emptied();
    for number in 1..=run.count {
        // Repeats the letters of the alphabet.
        port.send(b'a' + (number % 26) as u8)?;
        if !arrives(port.line(), &begin, number, TIMEOUT) {
            break;
        }
    }
    let raised = port.emptied() - before;
    let what = What::new("com2", "transmit");
    run.row(what, port.line(), &begin, &ExpectedCounts::all(raised));
    if raised < run.count || port.others() != 0 {
        let (count, others) = (run.count, port.others());
        run.problem(&alloc::format!(
            "COM2: {count} bytes to send, {raised} sent; {others} interrupts for other reasons"
        ));
    }
    Ok(())
}

pub(super) fn virtio(run: &mut Run<'_>) -> Result<(), DeviceError> {
    let rng = VirtioRng::start(run.machine, run.class, run.cpu)?;
    let begin = Begin::new(rng.line());
    let mut bytes = 0_u64;
    for number in 1..=run.count {
        bytes += u64::from(rng.fill()?);
        if !arrives(rng.line(), &begin, number, TIMEOUT) {
            break;
        }
    }
    let raised = rng.raised();
    let what = What::new("virtio", "requests");
    run.row(what, rng.line(), &begin, &ExpectedCounts::all(raised));
    if raised != run.count {
        let count = run.count;
        run.problem(&alloc::format!(
            "virtio-mmio: {count} requests, {raised} interrupts, {bytes} random bytes"
        ));
    }

    let begin = Begin::new(rng.line());
    rng.line().set_masked(true);
    rng.fill()?;
    let asserted = time::wait_until(TIMEOUT, || rng.is_asserted());
    let received_masked = received(rng.line()) - begin.received;
    rng.line().set_masked(false);
    arrives(rng.line(), &begin, 1, TIMEOUT);
    let what = What::new("virtio", "masked");
    run.row(what, rng.line(), &begin, &ExpectedCounts::all(1));
    if !asserted || received_masked != 0 {
        run.problem("virtio-mmio: an interrupt was delivered although its source was masked");
    }
    Ok(())
}

//! A test of an edge-triggered line that is masked for a storm while its device interrupts. The
//! edge is lost, and the device makes no other until it is serviced, so the kernel must replay the
//! interrupt.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use tocsin_logic::vector::PriorityClass;

use super::unclaimed::{CLASS, Event, OBSERVATION_TIME, Step, wait_for};
use tocsin::devices::serial::{Port, Serial};
use tocsin::{cpu, time};

/// The number of interrupts triggered between two checks.
const AT_ONCE: u32 = 100;

/// The number of bytes sent before and after the storm.
const ORDINARY: u32 = 10;

/// Runs the test with COM2, whose line is on the calling CPU. The caller runs in a thread.
///
/// Context: thread.
///
/// # Errors
///
/// A sentence that says what did not arrive, or why the device is unavailable.
pub fn run() -> Result<Vec<Step>, String> {
    let class = PriorityClass::new(CLASS).ok_or("there is no such class")?;
    let port =
        Serial::claim().and_then(|port| port.with_handler(class, cpu::current().id(), |_| {}));
    let mut port = port.map_err(|error| format!("{error}"))?;
    let begin = time::nanoseconds();
    let mut steps = Vec::new();
    let mut step = |event| {
        let time_ns = time::nanoseconds() - begin;
        steps.push(Step { time_ns, event });
    };
    // An empty transmitter is a reason to interrupt, but not on all ports.
    time::wait_until(OBSERVATION_TIME, || port.emptied() > 0);
    ordinary(&mut port)?;
    step(Event::Handled { count: ORDINARY });
    // Interrupts without a reason, as a broken device sends them.
    wait_for("the line is masked", || {
        // The line is edge-triggered. If a trigger fails, the check below shows it.
        let _ = (0..AT_ONCE).try_for_each(|_| port.line().trigger());
        port.line().describe().is_masked
    })?;
    let line = port.line().describe();
    step(Event::Masked {
        storm: line.storms,
        unclaimed: line.counts.unclaimed,
    });
    let before = port.emptied();
    send(&mut port)?;
    time::spin_for(OBSERVATION_TIME);
    if port.line().describe().is_masked {
        if port.emptied() != before {
            return Err("an interrupt was delivered although the line was masked".into());
        }
        step(Event::Silent {
            duration_ns: OBSERVATION_TIME,
        });
    }
    wait_for("the interrupt of the byte", || port.emptied() == before + 1)?;
    step(Event::Retried);
    ordinary(&mut port)?;
    step(Event::Handled { count: ORDINARY });
    Ok(steps)
}

/// Sends bytes one by one, each after the port has reported that it can accept it.
fn ordinary(port: &mut Port) -> Result<(), String> {
    for number in 1..=ORDINARY {
        let before = port.emptied();
        send(port)?;
        wait_for(
            &format!("the interrupt of byte {number} of {ORDINARY}"),
            || port.emptied() == before + 1,
        )?;
    }
    Ok(())
}

fn send(port: &mut Port) -> Result<(), String> {
    port.send(b'.').map_err(|error| format!("{error}"))
}

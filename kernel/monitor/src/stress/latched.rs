//! An edge-triggered line that is masked for a storm while its device interrupts. The edge is lost, and
//! the device, which waits for its answer, makes no other: the kernel must make up for it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use tocsin_logic::units::Nanoseconds;
use tocsin_logic::vector::PriorityClass;

use super::unclaimed::{CLASS, Step, WATCH, wait_for};
use tocsin::devices::serial::{Port, Serial};
use tocsin::{cpu, time};

/// Interrupts of the storm from one look to the next.
const AT_ONCE: u32 = 100;

/// Bytes that are sent before and after.
const ORDINARY: u32 = 10;

/// Goes through it all with COM2, its line on the calling CPU. In a thread.
///
/// # Errors
///
/// A sentence that says what did not come, or why the device cannot be had.
pub fn run() -> Result<Vec<Step>, String> {
    let class = PriorityClass::new(CLASS).ok_or("there is no such class")?;
    let port = Serial::claim().and_then(|port| port.answer(class, cpu::current().id(), |_| {}));
    let mut port = port.map_err(|error| format!("{error}"))?;
    let begin = time::nanoseconds();
    let mut steps = Vec::new();
    let mut step = |what| {
        let time = time::nanoseconds() - begin;
        steps.push(Step { time, what });
    };
    // Nothing to send is a reason to interrupt, but not with all ports.
    time::wait_until(WATCH, || port.emptied() > 0);
    ordinary(&mut port)?;
    step(format!("{ORDINARY} bytes sent"));
    // Interrupts without a reason, as a broken device sends them.
    wait_for("the line is masked", || {
        // It is an edge: the look that follows tells if nothing was sent.
        let _ = (0..AT_ONCE).try_for_each(|_| port.line().trigger());
        port.line().describe().is_masked
    })?;
    let line = port.line().describe();
    step(format!(
        "masked; {} unclaimed so far",
        line.counts.unclaimed
    ));
    let before = port.emptied();
    send(&mut port)?;
    time::spin_for(WATCH);
    if port.line().describe().is_masked {
        if port.emptied() != before {
            return Err("the line is masked, but an interrupt came".into());
        }
        step(format!(
            "a byte sent, and nothing came in {}",
            Nanoseconds(WATCH)
        ));
    }
    wait_for("the interrupt of the byte", || port.emptied() == before + 1)?;
    step("tried again, and answered".into());
    ordinary(&mut port)?;
    step(format!("{ORDINARY} bytes sent"));
    Ok(steps)
}

/// Bytes that are sent one by one, each when the port has told that it can take it.
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

//! The kernel's counts of its IPIs, compared with QEMU's.

use libtest_mimic::Trial;
use tocsin_tests::interrupts::{counted_by_kernel, delivered_by_qemu};
use tocsin_tools::Session;

use crate::{MODES, Result, TIMEOUT, ensure, ensure_eq, machine_in, power_off, trial, with};

/// Vectors of calls, of broadcast calls with waiting, of barriers, of deferred work, of
/// rescheduling, and of the IPIs that `ipi` sends.
const VECTORS: [u8; 6] = [0xd0, 0xd1, 0xd2, 0x20, 0x21, 0x2b];

/// Number of the ICR, and the values that calls to all others write there, without and with
/// waiting: the shorthand in bits 19:18, assert in bit 14, the vector (SDM vol. 3A, figure 12-12).
const ICR: &str = "apic_register_write register 0x30 = ";
const CALLS_TO_OTHERS: [&str; 2] = ["0xc40d0", "0xc40d1"];

/// As [`CALLS_TO_OTHERS`], for a barrier with all others.
const BARRIER_WITH_OTHERS: [&str; 1] = ["0xc40d2"];

pub fn trials() -> Vec<Trial> {
    let counts = MODES.map(|mode| {
        trial(format!("calls::outside::{mode}::counts"), move || {
            with(&machine_in(mode, 2)?.log("int"), counts)
        })
    });
    let writes = MODES.map(|mode| {
        trial(format!("calls::outside::{mode}::one_write"), move || {
            let traced = machine_in(mode, 4)?.args(["-trace", "apic_register_write"]);
            with(&traced, one_write)
        })
    });
    counts.into_iter().chain(writes).collect()
}

/// QEMU delivered as many interrupts of each vector as the kernel counted.
fn counts(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.command("ipi", TIMEOUT)?;
    let kernel = counted_by_kernel(&session.command("irqs json", TIMEOUT)?)?;
    power_off(session)?;
    let qemu = delivered_by_qemu(&session.log());
    for vector in VECTORS {
        let counted = kernel.get(&vector).copied().unwrap_or(0);
        ensure!(
            counted > 50,
            "vector {vector:#04x} was counted only {counted} times"
        );
        ensure_eq!(
            qemu.get(&vector).copied().unwrap_or(0),
            counted,
            "vector {vector:#04x}, delivered by QEMU"
        );
    }
    Ok(())
}

/// A call to all others and a barrier with them are one write to the ICR, for any number of CPUs.
fn one_write(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let before = [&CALLS_TO_OTHERS[..], &BARRIER_WITH_OTHERS].map(|it| writes(session, it));
    session.command("ipi", TIMEOUT)?;
    power_off(session)?;
    let made = writes(session, &CALLS_TO_OTHERS) - before[0];
    let (cpus, rounds) = (4, 18);
    // `call all others`, with and without waiting, and all at once; `call all and wait`, in which
    // the caller runs its part itself; one at the end of the rescheduling test. A caller that finds
    // the broadcast ring full sends one more.
    let least = 4 * cpus * rounds + 1;
    ensure!(
        (least..least + least / 4).contains(&made),
        "{made} writes for {least} calls to all others"
    );
    let made = writes(session, &BARRIER_WITH_OTHERS) - before[1];
    ensure_eq!(made, 100, "writes for 100 barriers with all others");
    Ok(())
}

/// The number of writes of one of the values to the ICR.
fn writes(session: &Session, values: &[&str]) -> u64 {
    let log = session.log();
    let written = log.lines().filter_map(|line| line.strip_prefix(ICR));
    written.filter(|value| values.contains(value)).count() as u64
}

//! State left by firmware: a machine is stopped at the kernel's entry, and its devices are then
//! programmed through the gdb protocol.

use libtest_mimic::Trial;
use tocsin_tests::interrupt_records::Spurious;
use tocsin_tests::records;
use tocsin_tools::Session;
use tocsin_tools::settings::GdbEndpoint;

use super::drive;
use super::machines::{PIT, Q35};
use crate::gdb::Gdb;
use crate::{Result, TIMEOUT, ensure, ensure_eq, power_off, trial, with};

/// The HPET of QEMU's boards, and its registers (HPET specification 1.0a, 2.3).
const HPET: u64 = 0xfed0_0000;
const CONFIGURATION: u64 = 0x10;
const TIMER: u64 = 0x100;
const COMPARATOR: u64 = 0x108;
const ROUTE: u64 = 0x110;
/// The bits of a comparator's configuration that software writes.
const WRITABLE: u64 = 0x7f4e;

/// An unused vector.
const VECTOR: u64 = 0x43;

pub fn trials() -> Vec<Trial> {
    vec![trial(
        "sources::firmware_left_the_hpet_at_work",
        hpet_at_work,
    )]
}

/// HPET messages configured by firmware stop, and the PIT has its pin again.
fn hpet_at_work() -> Result {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("gdb");
    let endpoint = GdbEndpoint::parse(&socket.to_string_lossy())?;
    let machine = Q35.machine("x2apic", 2)?;
    let machine = machine
        .args(["-global", "hpet.msi=on"])
        .stopped_for_gdb(endpoint);
    with(&machine, |session| {
        let mut gdb = Gdb::connect(&socket)?;
        gdb.run_to_kernel()?;
        for (register, value) in [
            // A message to the boot CPU: the address in the upper half, the data in the lower.
            (ROUTE, 0xfee0_0000 << 32 | VECTOR),
            // Message delivery, periodic with the next value set, enabled.
            (TIMER, 1 << 14 | 1 << 6 | 1 << 3 | 1 << 2),
            // A period of 1 ms.
            (COMPARATOR, 100_000),
            (COMPARATOR, 100_000),
            // Legacy replacement, and overall enable.
            (CONFIGURATION, 0b11),
        ] {
            gdb.write_physical(HPET + register, value)?;
        }
        gdb.expect("D", "OK")?;
        session.wait_prompt(TIMEOUT)?;
        let register = |at| register(session, at);
        ensure_eq!(register(CONFIGURATION)?, 1, "configuration of the HPET");
        ensure_eq!(register(TIMER)? & WRITABLE, 0, "what comparator 0 does");
        let before = messages(session)?;
        // The messages sent before the kernel disabled them are one request in its local APIC.
        ensure!(before <= 1, "{before} messages of the HPET");
        drive(session, &PIT, 1)?;
        ensure_eq!(messages(session)?, before, "messages of the HPET");
        power_off(session)
    })
}

/// A register of the HPET, read through QEMU.
fn register(session: &Session, at: u64) -> Result<u64> {
    let reply = session.hmp(&format!("xp /1gx {:#x}", HPET + at))?;
    let value = reply.trim().rsplit_once("0x").ok_or("no value")?.1;
    Ok(u64::from_str_radix(value, 16)?)
}

/// Number of interrupts on the boot CPU with an unused vector.
fn messages(session: &mut Session) -> Result<u64> {
    let counts: Vec<Spurious> =
        records::all(&session.command("spurious json", TIMEOUT)?, "spurious")?;
    Ok(counts[0].unhandled)
}

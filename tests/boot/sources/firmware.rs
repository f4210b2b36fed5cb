//! What firmware may leave behind: a machine that is stopped where the kernel begins, and whose devices
//! are set to work then, by gdb's protocol.

use libtest_mimic::Trial;
use tocsin_tools::Session;
use tocsin_tools::settings::GdbPlace;

use super::drive;
use super::machines::{PIT, Q35};
use crate::gdb::Gdb;
use crate::{PATIENCE, Result, ensure, ensure_eq, power_off, trial, with};

/// The HPET of QEMU's boards, and its registers (HPET specification 1.0a, 2.3).
const HPET: u64 = 0xfed0_0000;
const CONFIGURATION: u64 = 0x10;
const TIMER: u64 = 0x100;
const COMPARATOR: u64 = 0x108;
const ROUTE: u64 = 0x110;
/// The bits of a comparator's configuration that software writes.
const WRITABLE: u64 = 0x7f4e;

/// A vector that nobody has.
const VECTOR: u64 = 0x43;

pub fn trials() -> Vec<Trial> {
    vec![trial(
        "sources::firmware_left_the_hpet_at_work",
        hpet_at_work,
    )]
}

/// Messages of an HPET that firmware used do not go on, and the PIT has its pin again.
fn hpet_at_work() -> Result {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("gdb");
    let place = GdbPlace::parse(&socket.to_string_lossy())?;
    let machine = Q35.machine("x2apic", 2)?;
    let machine = machine.args(["-global", "hpet.msi=on"]).held_for_gdb(place);
    with(&machine, |session| {
        let mut gdb = Gdb::connect(&socket)?;
        gdb.run_to_kernel()?;
        for (register, value) in [
            // A message to the boot CPU: the address above the data.
            (ROUTE, 0xfee0_0000 << 32 | VECTOR),
            // Messages, periodic with its next value set, enabled.
            (TIMER, 1 << 14 | 1 << 6 | 1 << 3 | 1 << 2),
            // Periods of a millisecond.
            (COMPARATOR, 100_000),
            (COMPARATOR, 100_000),
            // Legacy replacement, and on.
            (CONFIGURATION, 0b11),
        ] {
            gdb.write_physical(HPET + register, value)?;
        }
        gdb.expect("D", "OK")?;
        session.wait_prompt(PATIENCE)?;
        let register = |at| register(session, at);
        ensure_eq!(register(CONFIGURATION)?, 1, "configuration of the HPET");
        ensure_eq!(register(TIMER)? & WRITABLE, 0, "what comparator 0 does");
        let before = messages(session)?;
        // Those sent before the kernel looked are one in its local APIC.
        ensure!(before <= 1, "{before} messages of the HPET");
        drive(session, &PIT, 1)?;
        ensure_eq!(messages(session)?, before, "messages of the HPET");
        power_off(session)
    })
}

/// A register of the HPET, by QEMU's account.
fn register(session: &Session, at: u64) -> Result<u64> {
    let answer = session.hmp(&format!("xp /1gx {:#x}", HPET + at))?;
    let value = answer.trim().rsplit_once("0x").ok_or("no value")?.1;
    Ok(u64::from_str_radix(value, 16)?)
}

/// What has come to the boot CPU with a vector that nobody has.
fn messages(session: &mut Session) -> Result<u64> {
    let answer = session.command("stray", PATIENCE)?;
    let row = answer.lines().nth(1).ok_or("no row of CPU 0")?;
    let number = row.split_whitespace().nth(2).ok_or("too few columns")?;
    Ok(number.parse()?)
}

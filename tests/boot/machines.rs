//! The matrix: on every machine the kernel reaches its prompt, finds the memory, enables its
//! protections, and reports a fault with its own symbols.

use libtest_mimic::Trial;
use tocsin_tests::matrix::{self, Cell};
use tocsin_tests::report::Report;
use tocsin_tests::symbols::Symbols;
use tocsin_tools::Session;
use tocsin_tools::settings::BootWay;

use crate::outside::{self, State};
use crate::{Result, STOPPED, TIMEOUT, ensure, ensure_eq, trial_unless, with};

/// Share of the memory, in percent, that firmware and loader may reserve.
const RESERVED_PERCENT: u64 = 25;

pub fn trials() -> Vec<Trial> {
    let cells = matrix::cells().into_iter();
    let trials = cells.map(|cell| {
        let missing = move || Ok(matrix::missing(cell.way)?);
        trial_unless(missing, format!("machine::{}", cell.name()), move || {
            with(&cell.machine(), |session| boot(&cell, session))
        })
    });
    trials.collect()
}

fn boot(cell: &Cell, session: &mut Session) -> Result {
    let log = session.wait_prompt(TIMEOUT)?;
    let loader = match cell.way {
        BootWay::Direct => "by PVH, directly",
        BootWay::Limine | BootWay::LimineUefi => "by Limine ",
    };
    ensure!(log.contains(loader), "the boot log does not say {loader:?}");
    let reported = log
        .lines()
        .find_map(|line| line.split_once("protections on: "));
    let (_, reported) = reported.ok_or("no line says which protections are on")?;
    let (on, missing) = reported
        .split_once("; not on this processor: ")
        .unwrap_or((reported, ""));
    ensure_eq!(
        on,
        cell.cpu.protections.join(" "),
        "protections that are on"
    );
    ensure_eq!(
        missing,
        cell.cpu.missing.join(" "),
        "protections that are missing"
    );

    let memory = session.command("memory json", TIMEOUT)?;
    let seen = outside::usable_bytes(&memory)?;
    let there = cell.memory().bytes();
    let least = there / 100 * (100 - RESERVED_PERCENT);
    ensure!(
        (least..=there).contains(&seen),
        "{seen} bytes of {there} are usable"
    );

    let state = State::of(session)?;
    state.check_control_registers(&cell.cpu.protections)?;
    state.check_rights()?;
    state.check_idt(session)?;
    state.check_stacks(&memory)?;

    // The symbols are loaded separately from the code: as a module, or as the kernel's file.
    session.send_line("fault ud")?;
    session.expect_exit(STOPPED, TIMEOUT)?;
    let report = Report::parse(&session.transcript().text_from(0))?;
    ensure_eq!(report.title, "#UD invalid opcode", "title");
    ensure!(
        report.at.is_in("fault_injection::undefined_opcode"),
        "the fault was at {:?}",
        report.at
    );
    ensure!(
        report.backtrace.len() > 4,
        "the backtrace is short: {:?}",
        report.backtrace
    );
    let symbols = Symbols::of_the_image()?;
    for code in &report.backtrace {
        symbols.check(code)?;
    }
    Ok(())
}

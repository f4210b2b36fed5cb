//! External events, injected by QEMU: an NMI and machine checks.

use std::time::Instant;

use libtest_mimic::Trial;
use serde::Deserialize;
use tocsin_tests::interrupt_records::Nmis;
use tocsin_tests::report::Report;
use tocsin_tests::{qemu_log, records};
use tocsin_tools::Session;

use crate::faults::check_delivery;
use crate::{
    Result, STOPPED, TIMEOUT, ensure, ensure_eq, gate_record, machine, plain, power_off,
    power_off_with, trial, with,
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("injected::nmi", || with(&plain().log("int"), nmi)),
        trial("injected::nmi_many", || with(&plain(), nmi_many)),
        trial("injected::nmi_while_a_line_is_typed", || {
            with(&plain(), nmi_while_typing)
        }),
        trial("injected::machine_check_corrected", || {
            with(&machine(2)?, corrected)
        }),
        trial("injected::machine_check_uncorrected", || {
            with(&plain(), uncorrected)
        }),
        trial("injected::nmi_repeats", || with(&plain(), nmi_repeats)),
        trial("injected::machine_check_not_enabled", || {
            with(&machine(2)?, not_enabled)
        }),
        trial("injected::machine_check_with_address", || {
            with(&plain(), with_address)
        }),
        trial("injected::machine_check_before_the_start", || {
            let machine = machine(2)?;
            let machine = machine.first("mce 0 3 0x9000000000000151 0 0 0");
            with(
                &machine.first("mce 1 4 0x9000000000000151 0 0 0"),
                left_over,
            )
        }),
    ]
}

/// Waits for the report of an injected event. The kernel continues and prints the prompt again,
/// after which the report is complete.
fn report(session: &mut Session) -> Result<Report> {
    session.expect("  backtrace\r\n", TIMEOUT)?;
    session.wait_prompt(TIMEOUT)?;
    Ok(Report::parse(&session.transcript().text_from(0))?)
}

fn nmi(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.hmp("nmi")?;
    let report = report(session)?;
    ensure_eq!(report.title, "NMI non-maskable interrupt", "title");
    ensure_eq!((report.cpu, report.vector), (0, 2), "CPU and vector");
    power_off_with(session, 9)?;
    let log = qemu_log::deliveries(&session.log());
    let nmis: Vec<_> = log.iter().filter(|delivery| delivery.vector == 2).collect();
    ensure_eq!(nmis.len(), 1, "NMIs in QEMU's log");
    ensure!(!nmis[0].software, "the NMI was an INT 2");
    check_delivery(&report, nmis[0])
}

fn nmi_many(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    for _ in 0..5 {
        session.hmp("nmi")?;
        session.expect("NMI non-maskable interrupt", TIMEOUT)?;
        report(session)?;
    }
    power_off(session)
}

/// If a source repeats, the first NMIs are reported individually, and then at a limited rate, so
/// that the CPU can do other work.
fn nmi_repeats(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    for _ in 0..tocsin_logic::irq::nmi::BURST {
        session.hmp("nmi")?;
        report(session)?;
    }
    let begin = Instant::now();
    let mut printed = String::new();
    for _ in 0..40 {
        session.hmp("nmi")?;
        printed.push_str(&session.command("cpus", TIMEOUT)?);
    }
    let reports = printed.matches("NMI non-maskable interrupt").count() as u64;
    let intervals = begin.elapsed().as_nanos() as u64 / tocsin_logic::irq::nmi::REPORT_INTERVAL;
    ensure!(
        reports <= intervals + 1,
        "{reports} of 40 NMIs were reported:\n{printed}"
    );
    ensure!(
        session
            .transcript()
            .text_from(0)
            .contains("  repeats     0 NMIs not reported"),
        "the report does not say that others will not be reported"
    );
    let nmis: Nmis = records::one(&session.command("nmi json", TIMEOUT)?, "nmi")?;
    ensure_eq!(nmis.unknown, 50, "unknown NMIs");
    power_off(session)
}

/// After the report, the prompt and the typed text are printed again, and Enter executes it.
fn nmi_while_typing(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    for key in ["i", "d", "t", "spc", "3"] {
        session.hmp(&format!("sendkey {key}"))?;
    }
    session.expect("idt 3", TIMEOUT)?;
    session.hmp("nmi")?;
    report(session)?;
    session.expect("idt 3", TIMEOUT)?;
    for key in ["0", "spc", "j", "s", "o", "n", "ret"] {
        session.hmp(&format!("sendkey {key}"))?;
    }
    let reply = session.wait_prompt(TIMEOUT)?;
    ensure!(reply.contains(&gate_record(30)), "found {reply:?}");
    power_off(session)
}

const SECOND: u64 = 1_000_000_000;

/// A corrected error in `MCi_STATUS`: VAL, EN, and a cache error.
const CORRECTED: &str = "0x9000000000000151";

/// Corrected errors are logged with CPU and bank, and counted; the log is rate-limited; and they
/// are found without a command.
fn corrected(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let reply = session.command("mce json", TIMEOUT)?;
    let banks: Vec<BankErrors> = records::any(&reply, BANK)?;
    ensure!(banks.is_empty(), "errors at first: {banks:?}");
    ensure_eq!(period(&reply)?, Some(60 * SECOND), "period");
    for (cpu, bank) in [(0, 3), (1, 4)] {
        session.hmp(&format!("mce {cpu} {bank} {CORRECTED} 0 0 0"))?;
        let reply = session.command("mce json", TIMEOUT)?;
        let logged = format!(
            "cpu{cpu}   warning: machine check: bank {bank}: corrected error: {CORRECTED} VAL EN: "
        );
        ensure_eq!(reply.matches(&logged).count(), 1, "{logged:?} in:\n{reply}");
        let found = counted(&reply, cpu, bank)?;
        ensure_eq!(found.errors, 1, "errors of CPU {cpu}, bank {bank}");
        ensure_eq!(format!("{:#x}", found.last_status), CORRECTED, "status");
    }
    // The kernel finds them without a command.
    session.command("mce every 1", TIMEOUT)?;
    session.hmp(&format!("mce 1 5 {CORRECTED} 0 0 0"))?;
    session.expect(
        "cpu1   warning: machine check: bank 5: corrected error",
        TIMEOUT,
    )?;
    session.wait_prompt(TIMEOUT)?;
    session.command("mce off", TIMEOUT)?;
    let mut logged = 0;
    for number in 2..=30 {
        session.hmp(&format!("mce 0 3 {CORRECTED} 0 0 0"))?;
        let reply = session.command("mce json", TIMEOUT)?;
        logged += reply.matches("bank 3: corrected error").count();
        ensure_eq!(
            counted(&reply, 0, 3)?.errors,
            number,
            "errors of CPU 0, bank 3"
        );
        ensure_eq!(period(&reply)?, None, "period");
    }
    // The kernel logs ten at first, and then one per minute.
    ensure!(
        (7..15).contains(&logged),
        "{logged} of 29 errors were logged"
    );
    power_off(session)
}

/// The kind of the records of banks.
const BANK: &str = "machine_check_bank";

/// A record of `mce json`, of kind [`BANK`].
#[derive(Debug, Deserialize)]
struct BankErrors {
    cpu: u32,
    bank: u32,
    errors: u64,
    last_status: u64,
}

/// The errors of a bank, from the output of `mce json`.
fn counted(reply: &str, cpu: u32, bank: u32) -> Result<BankErrors> {
    let banks: Vec<BankErrors> = records::all(reply, BANK)?;
    let of_bank = banks
        .into_iter()
        .find(|it| (it.cpu, it.bank) == (cpu, bank));
    Ok(of_bank.ok_or(format!("no errors of CPU {cpu}, bank {bank}"))?)
}

/// The period at which the banks are polled, from the output of `mce json`.
fn period(reply: &str) -> Result<Option<u64>> {
    #[derive(Deserialize)]
    struct Polling {
        period_ns: Option<u64>,
    }
    Ok(records::one::<Polling>(reply, "machine_check_polling")?.period_ns)
}

/// `MCi_STATUS`: VAL, UC, EN, PCC (SDM vol. 3B, 17.3.2.2); `MCG_STATUS`: RIPV, MCIP.
fn uncorrected(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.hmp("mce 0 1 0xb200000000000000 0x5 0 0")?;
    session.expect_exit(STOPPED, TIMEOUT)?;
    let report = Report::parse(&session.transcript().text_from(0))?;
    ensure_eq!(report.title, "#MC machine check", "title");
    ensure_eq!((report.cpu, report.vector), (0, 18), "CPU and vector");
    let status = report.status.clone().ok_or("there is no MCG_STATUS")?;
    for part in ["0x00000005", "RIPV", "MCIP"] {
        ensure!(
            status.contains(part),
            "MCG_STATUS does not say {part}: {status}"
        );
    }
    ensure_eq!(
        report.banks.len(),
        1,
        "banks with an error, of {:?}",
        report.banks
    );
    let bank = &report.banks[0];
    for part in ["bank 1", "0xb200000000000000", "VAL", "UC", "EN", "PCC"] {
        ensure!(bank.contains(part), "the bank does not say {part}: {bank}");
    }
    ensure!(report.stopped, "CPU 0 did not stop");
    Ok(())
}

/// An uncorrected error whose EN is 0 is not the cause of a machine check: the kernel continues,
/// and polling logs, counts and clears the error. QEMU signals such errors, too.
fn not_enabled(session: &mut Session) -> Result {
    const STATUS: &str = "0xa200000000000151";
    session.wait_prompt(TIMEOUT)?;
    session.command("mce off", TIMEOUT)?;
    for _ in 0..2 {
        session.hmp(&format!("mce 0 1 {STATUS} 0x5 0 0"))?;
        let report = report(session)?;
        ensure_eq!(report.title, "#MC machine check", "title");
        ensure!(!report.stopped, "CPU 0 has stopped");
        ensure_eq!(report.banks.len(), 1, "banks of {:?}", report.banks);
        let reply = session.command("mce json", TIMEOUT)?;
        let logged =
            format!("machine check: bank 1: uncorrected, not enabled error: {STATUS} VAL UC PCC: ");
        // Without OVER, which shows that the first one was cleared.
        ensure!(reply.contains(&logged), "no {logged:?} in:\n{reply}");
    }
    let reply = session.command("mce json", TIMEOUT)?;
    ensure_eq!(counted(&reply, 0, 1)?.errors, 2, "errors of CPU 0, bank 1");
    // An error that is enabled is fatal.
    session.hmp("mce 0 1 0xb200000000000000 0x5 0 0")?;
    session.expect_exit(STOPPED, TIMEOUT)?;
    Ok(())
}

/// The same with ADDRV, an address and a cache error in bank 2.
fn with_address(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.hmp("mce 0 2 0xb600000000000134 0x4 0x12345000 0")?;
    session.expect_exit(STOPPED, TIMEOUT)?;
    let output = session.transcript().text_from(0);
    let report = Report::parse(&output)?;
    ensure_eq!(report.vector, 18, "vector");
    ensure_eq!(
        report.banks.len(),
        1,
        "banks with an error, of {:?}",
        report.banks
    );
    ensure!(
        report.banks[0].contains("bank 2"),
        "the bank is another: {:?}",
        report.banks
    );
    ensure!(
        output.contains("at physical address 0x0000000012345000"),
        "the address is missing"
    );
    Ok(())
}

/// Corrected errors that are in the banks before the kernel starts: their CPU reports and clears
/// them.
fn left_over(session: &mut Session) -> Result {
    let log = session.wait_prompt(TIMEOUT)?;
    for (cpu, bank) in [(0, 3), (1, 4)] {
        let reported =
            format!("cpu{cpu}   warning: machine check: bank {bank} has an error from before");
        ensure_eq!(log.matches(&reported).count(), 1, "{reported:?} in:\n{log}");
    }
    session.hmp("mce 0 1 0xb200000000000000 0x5 0 0")?;
    session.expect_exit(STOPPED, TIMEOUT)?;
    let report = Report::parse(&session.transcript().text_from(0))?;
    let banks = &report.banks;
    ensure_eq!(banks.len(), 1, "banks with an error, of {banks:?}");
    ensure!(
        banks[0].contains("bank 1"),
        "the bank is another: {banks:?}"
    );
    Ok(())
}

//! The same faults on APs: each CPU has its own stacks, guard pages and TSS, and all share the
//! gates.

use libtest_mimic::Trial;
use tocsin_tests::qemu_log;
use tocsin_tests::report::Report;
use tocsin_tests::symbols::Symbols;
use tocsin_tools::Session;

use super::check_delivery;
use super::kinds::{Address, KINDS, Kind, RETURNING, VECTORS};
use crate::{Result, STOPPED, TIMEOUT, ensure, ensure_eq, machine, power_off, trial, with};

/// Number of CPUs of the machine, and those on which the faults occur.
const CPUS: u32 = 4;
const OTHERS: [u32; 3] = [1, 2, 3];

pub fn trials() -> Vec<Trial> {
    let mut others = OTHERS.iter().cycle();
    let mut next = move || others.next().copied().unwrap_or_default();
    let kinds = KINDS.iter().map(|kind| {
        let cpu = next();
        trial(format!("fault::{}_on_cpu_{cpu}", kind.name), move || {
            with(&machine(CPUS)?.log("int"), |session| {
                inject(kind, cpu, session)
            })
        })
    });
    let mut trials: Vec<_> = kinds.collect();
    trials.extend((0..32).zip(OTHERS.iter().cycle()).map(|(vector, cpu)| {
        trial(format!("fault::vector_{vector}_on_cpu_{cpu}"), move || {
            with(&machine(CPUS)?.log("int"), |session| {
                enter(vector, *cpu, session)
            })
        })
    }));
    trials.push(trial("fault::panic_on_cpu_2", || {
        with(&machine(CPUS)?, panic)
    }));
    trials.push(trial("fault::panic_all_from_cpu_2", || {
        with(&machine(CPUS)?, panic_all)
    }));
    trials.push(trial("fault::panic_printing_from_cpu_2", || {
        with(&machine(CPUS)?, panic_printing)
    }));
    trials.push(trial("fault::on_a_cpu_twice", || {
        with(&machine(CPUS)?, on_a_cpu_twice)
    }));
    trials.push(trial("fault::on_no_cpu", || {
        with(&machine(CPUS)?, on_no_cpu)
    }));
    trials
}

/// Types `fault NAME CPU` and returns its report.
fn report_of(name: &str, returns: bool, cpu: u32, session: &mut Session) -> Result<Report> {
    session.wait_prompt(TIMEOUT)?;
    let line = format!("fault {name} {cpu}");
    let output = if returns {
        let reply = session.command(&line, TIMEOUT)?;
        // The CPU accepts jobs again.
        let again = session.command(&format!("fault bp {cpu}"), TIMEOUT)?;
        ensure_eq!(Report::parse(&again)?.cpu, cpu, "CPU of another breakpoint");
        power_off(session)?;
        reply
    } else {
        let before = session.transcript().bytes().len();
        session.send_line(&line)?;
        session.expect_exit(STOPPED, TIMEOUT)?;
        session.transcript().text_from(before)
    };
    let report = Report::parse(&output)?;
    ensure_eq!(report.cpu, cpu, "CPU");
    ensure_eq!(report.stopped, !returns, "whether it stopped");
    Ok(report)
}

fn inject(kind: &Kind, cpu: u32, session: &mut Session) -> Result {
    let report = report_of(kind.name, kind.returns, cpu, session)?;
    ensure_eq!(report.title, kind.title, "title");
    let expected = kind
        .error_code
        .map(|(value, meaning)| (value, meaning.to_owned()));
    ensure_eq!(report.error_code, expected, "error code");
    let words = match kind.address {
        Address::None => None,
        Address::Is(_, words) | Address::Within(words) => Some(words),
    };
    let words = words.map(|words| words.replace("CPU 0's", &format!("CPU {cpu}'s")));
    let reported = report.address.as_ref().map(|(_, words)| words.clone());
    ensure_eq!(reported, words, "what lies at the address");
    // Remains of the two faults that lose their stack.
    if !matches!(kind.name, "df" | "stack-overflow") {
        let stack = format!("CPU {cpu}'s thread stack, ");
        ensure!(
            report.stack.starts_with(&stack),
            "the stack is {:?}",
            report.stack
        );
    }
    let symbols = Symbols::of_the_image()?;
    for code in &report.backtrace {
        symbols.check(code)?;
    }
    let log = qemu_log::deliveries(&session.log());
    let mut of_kind = log.iter().filter(|delivery| delivery.vector == kind.vector);
    // The report is that of the first breakpoint; `report_of` has had another one executed since.
    let delivery = if kind.returns {
        of_kind.next()
    } else {
        of_kind.next_back()
    };
    let delivery = delivery.ok_or(format!(
        "QEMU's log has no delivery of vector {}",
        kind.vector
    ))?;
    check_delivery(&report, delivery)
}

/// Every exception by its number, as on the boot CPU.
fn enter(vector: u8, cpu: u32, session: &mut Session) -> Result {
    let (title, error_code) = VECTORS[usize::from(vector)];
    let returns = RETURNING.contains(&vector);
    let report = report_of(&vector.to_string(), returns, cpu, session)?;
    ensure_eq!(
        (report.title.as_str(), report.vector),
        (title, vector),
        "title"
    );
    let expected = error_code.map(|meaning| (0, meaning.to_owned()));
    ensure_eq!(report.error_code, expected, "error code");
    let stack = format!("CPU {cpu}'s thread stack, ");
    ensure!(
        report.stack.starts_with(&stack),
        "the stack is {:?}",
        report.stack
    );
    let log = qemu_log::deliveries(&session.log());
    let delivery = log.iter().find(|delivery| delivery.vector == vector);
    match (delivery, error_code) {
        (Some(delivery), None) => check_delivery(&report, delivery),
        // INT pushes no error code, so these gates are entered with a hand-made frame.
        (None, Some(_)) => Ok(()),
        _ => Err(format!("by QEMU's log: {delivery:x?}").into()),
    }
}

fn panic(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.send_line("fault panic 2")?;
    session.expect_exit(STOPPED, TIMEOUT)?;
    let output = session.transcript().text_from(0);
    for part in [
        "#### CPU 2: kernel panic ####",
        "tocsin_monitor::commands::fault_injection::panic+0x",
        "tocsin::smp::ap::idle+0x",
        "#### CPU 2 stopped ####",
    ] {
        ensure!(output.contains(part), "{part:?} is missing");
    }
    Ok(())
}

/// A job that queues jobs, including one on the CPU that waits for it: all complete.
fn panic_all(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.send_line("fault panic-all 2")?;
    session.expect_exit(STOPPED, TIMEOUT)?;
    let output = session.transcript().text_from(0);
    ensure!(
        output.contains("panics with all others"),
        "not all received:\n{output}"
    );
    Ok(())
}

fn panic_printing(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.send_line("fault panic-printing 2")?;
    session.expect_exit(STOPPED, TIMEOUT)?;
    let output = session.transcript().text_from(0);
    ensure!(
        output.contains("CPU 2 panics while others print"),
        "no panic"
    );
    Ok(())
}

/// A CPU that is named twice is rejected before any CPU begins.
fn on_a_cpu_twice(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    for kind in ["bp", "panic-printing", "de"] {
        let reply = session.command(&format!("fault {kind} 1 3 3"), TIMEOUT)?;
        let expected = "fault: CPU 3 is named twice; nothing was started";
        ensure_eq!(reply.trim(), expected, "answer");
    }
    // Each CPU accepts a job again.
    let reply = session.command("fault bp 1 2 3", TIMEOUT)?;
    ensure_eq!(
        reply.matches("#BP breakpoint").count(),
        3,
        "reports in:\n{reply}"
    );
    Ok(())
}

/// Numbers of CPUs that do not exist, and words that are not numbers.
fn on_no_cpu(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    for cpu in ["4", "255", "4294967295"] {
        let reply = session.command(&format!("fault ud {cpu}"), TIMEOUT)?;
        let expected = format!("fault: CPU {cpu} is not online; `cpus` lists those that are");
        ensure!(reply.starts_with(&expected), "found {reply:?}");
    }
    for word in ["4294967296", "one", "1.5"] {
        let reply = session.command(&format!("fault ud {word}"), TIMEOUT)?;
        let expected =
            format!("fault: invalid argument `{word}` (expected a number from 0 to 4294967295");
        ensure!(reply.starts_with(&expected), "found {reply:?}");
    }
    Ok(())
}

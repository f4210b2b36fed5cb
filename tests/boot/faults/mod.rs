//! Every injectable fault; each report is compared field by field with QEMU's delivery log and the
//! ELF file's symbols.

mod elsewhere;
mod kinds;

use libtest_mimic::Trial;
use tocsin_tests::qemu_log::{self, Delivery};
use tocsin_tests::report::Report;
use tocsin_tests::symbols::Symbols;
use tocsin_tools::Session;

use crate::outside::stacks;
use crate::{Result, STOPPED, TIMEOUT, ensure, ensure_eq, plain, power_off, trial, with};
use kinds::{Address, KINDS, Kind, RETURNING, VECTORS};

/// RFLAGS.RF, which the CPU sets only in the pushed copy (SDM vol. 3B, 19.3.1.1).
const RESUME_FLAG: u64 = 1 << 16;

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = KINDS
        .iter()
        .map(|kind| {
            trial(format!("fault::{}", kind.name), move || {
                with(&plain().log("int"), |session| inject(kind, session))
            })
        })
        .collect();
    trials.extend((0..32).map(|vector| {
        trial(format!("fault::vector_{vector}"), move || {
            with(&plain().log("int"), |session| enter(vector, session))
        })
    }));
    trials.push(trial("fault::list_has_no_others", || with(&plain(), list)));
    trials.extend(elsewhere::trials());
    trials.push(trial("fault::panic", || with(&plain(), panic)));
    trials
}

/// Types `fault NAME` and returns its report, with the records of `memory` before.
fn report_of(name: &str, returns: bool, session: &mut Session) -> Result<(String, Report)> {
    session.wait_prompt(TIMEOUT)?;
    let memory = session.command("memory json", TIMEOUT)?;
    let line = format!("fault {name}");
    let output = if returns {
        let reply = session.command(&line, TIMEOUT)?;
        ensure!(
            reply.contains("fault: the kernel continues"),
            "it does not say so:\n{reply}"
        );
        power_off(session)?;
        reply
    } else {
        let before = session.transcript().bytes().len();
        session.send_line(&line)?;
        session.expect_exit(STOPPED, TIMEOUT)?;
        session.transcript().text_from(before)
    };
    let report = Report::parse(&output)?;
    ensure_eq!(report.stopped, !returns, "whether CPU 0 stopped");
    ensure_eq!(report.cpu, 0, "CPU");
    Ok((memory, report))
}

fn inject(kind: &Kind, session: &mut Session) -> Result {
    let (memory, report) = report_of(kind.name, kind.returns, session)?;
    ensure_eq!(report.title, kind.title, "title");
    ensure_eq!(report.vector, kind.vector, "vector");
    let expected = kind
        .error_code
        .map(|(value, meaning)| (value, meaning.to_owned()));
    ensure_eq!(report.error_code, expected, "error code");
    match (kind.address, &report.address) {
        (Address::None, address) => {
            ensure_eq!(*address, None, "address");
        }
        (Address::Is(expected, words), Some((address, printed))) => {
            ensure_eq!((*address, printed.as_str()), (expected, words), "address");
        }
        (Address::Within(words), Some((_, printed))) => {
            ensure_eq!(printed.as_str(), words, "what lies at the address");
        }
        (_, None) => return Err("the report shows no address".into()),
    }
    if kind.at.is_empty() {
        ensure_eq!(
            report.at.symbol,
            None,
            "function at {:#x}",
            report.at.address
        );
    } else {
        ensure!(report.at.is_in(kind.at), "the fault was at {:?}", report.at);
    }
    check_stack(&memory, &report)?;
    check_backtrace(&report)?;
    let log = qemu_log::deliveries(&session.log());
    let delivery = log.iter().rfind(|delivery| delivery.vector == kind.vector);
    let delivery = delivery.ok_or(format!(
        "QEMU's log has no delivery of vector {}",
        kind.vector
    ))?;
    check_delivery(&report, delivery)
}

/// Every exception by its number: by INT, or by entry of the gate with a hand-made frame.
fn enter(vector: u8, session: &mut Session) -> Result {
    let (title, error_code) = VECTORS[usize::from(vector)];
    let returns = RETURNING.contains(&vector);
    let (memory, report) = report_of(&vector.to_string(), returns, session)?;
    ensure_eq!(report.title, title, "title");
    ensure_eq!(report.vector, vector, "vector");
    let expected = error_code.map(|meaning| (0, meaning.to_owned()));
    ensure_eq!(report.error_code, expected, "error code");
    ensure_eq!(
        report.address.is_some(),
        matches!(vector, 8 | 14),
        "whether CR2 is shown"
    );
    ensure_eq!(
        report.status.is_some(),
        matches!(vector, 1 | 18),
        "whether a status is shown"
    );
    check_stack(&memory, &report)?;
    check_backtrace(&report)?;
    let log = qemu_log::deliveries(&session.log());
    let delivery = log.iter().rfind(|delivery| delivery.vector == vector);
    match (delivery, error_code) {
        (Some(delivery), None) => {
            ensure!(delivery.software, "QEMU's log has no INT {vector}");
            check_delivery(&report, delivery)
        }
        // INT pushes no error code, so these gates are entered with a hand-made frame.
        (None, Some(_)) => Ok(()),
        (None, None) => Err(format!("QEMU's log has no delivery of vector {vector}").into()),
        (Some(_), Some(_)) => Err(format!("QEMU's log has a delivery of vector {vector}").into()),
    }
}

/// The report and QEMU's log describe the same event.
pub fn check_delivery(report: &Report, delivery: &Delivery) -> Result {
    let pairs = [
        ("rax", "RAX"),
        ("rbx", "RBX"),
        ("rcx", "RCX"),
        ("rdx", "RDX"),
        ("rsi", "RSI"),
        ("rdi", "RDI"),
        ("rbp", "RBP"),
        ("rsp", "RSP"),
        ("r8", "R8"),
        ("r9", "R9"),
        ("r10", "R10"),
        ("r11", "R11"),
        ("r12", "R12"),
        ("r13", "R13"),
        ("r14", "R14"),
        ("r15", "R15"),
        ("cr0", "CR0"),
        ("cr3", "CR3"),
        ("cr4", "CR4"),
        ("cs", "CS"),
        ("ss", "SS"),
    ];
    for (ours, theirs) in pairs {
        ensure_eq!(report.register(ours)?, delivery.register(theirs)?, "{ours}");
    }
    let flags = report.register("rflags")? & !RESUME_FLAG;
    ensure_eq!(flags, delivery.register("RFL")? & !RESUME_FLAG, "rflags");
    // After INT, the frame contains the address of the next instruction, and the log that of the
    // INT.
    let behind = report
        .register("rip")?
        .wrapping_sub(delivery.register("RIP")?);
    let expected = match (delivery.software, delivery.vector) {
        (true, 3) if report.at.is_in("breakpoint") => 1,
        (true, 1) if report.at.is_in("debug_trap") => 1,
        (true, _) => 2,
        (false, _) => 0,
    };
    ensure_eq!(
        behind,
        expected,
        "bytes between the instruction and the frame's rip"
    );
    ensure_eq!(
        report.at.address,
        report.register("rip")?,
        "address of the fault"
    );
    if let Some((error_code, _)) = report.error_code {
        ensure_eq!(error_code, delivery.error_code, "error code by QEMU's log");
    }
    if let Some((address, _)) = report.address {
        ensure_eq!(address, delivery.register("CR2")?, "CR2 by QEMU's log");
    }
    Ok(())
}

/// The report names the stack and its use, consistent with `memory` and RSP.
fn check_stack(memory: &str, report: &Report) -> Result {
    let rsp = report.register("rsp")?;
    let (stacks, within) = (stacks(memory)?, |address: u64| address.wrapping_sub(1));
    let expected = match stacks
        .iter()
        .find(|(_, stack)| stack.contains(&within(rsp)))
    {
        Some((name, stack)) => {
            let (used, size) = (stack.end - rsp, stack.end - stack.start);
            let name = name.replace('_', "-").replace("nmi", "NMI");
            format!("CPU 0's {name} stack, {used} of {size} bytes in use")
        }
        // Outside of all stacks, the description of CR2 also applies to RSP, which is near it.
        None => report
            .address
            .as_ref()
            .map(|(_, words)| words.clone())
            .unwrap_or_default(),
    };
    ensure_eq!(report.stack, expected, "stack");
    Ok(())
}

/// Every frame has its name in the ELF file, from the fault to `main`.
fn check_backtrace(report: &Report) -> Result {
    let symbols = Symbols::of_the_image()?;
    let frames = &report.backtrace;
    ensure!(!frames.is_empty(), "there is no backtrace");
    ensure_eq!(frames[0], report.at, "first frame of the backtrace");
    for code in frames {
        symbols.check(code)?;
    }
    let overflow = frames
        .iter()
        .filter(|frame| frame.is_in("fault_injection::recurse"))
        .count()
        > 20;
    let off_its_stack = report.at.is_in("fault_injection::double_fault");
    if !overflow && !off_its_stack {
        for function in ["fault::fault", "shell::execute", "tocsin::main"] {
            let there = frames.iter().any(|frame| frame.is_in(function));
            ensure!(there, "{function} is missing in the backtrace {frames:?}");
        }
    }
    Ok(())
}

/// The tests above cover everything that `fault list` shows.
fn list(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let reply = session.command("fault list", TIMEOUT)?;
    let lines = reply
        .lines()
        .skip(1)
        .filter(|line| !line.contains(" vector"));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    // These are not exceptions, and have their own tests.
    let names: Vec<_> = names
        .filter(|name| !name.starts_with("panic") && !name.starts_with("lockup"))
        .collect();
    let known: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
    ensure_eq!(names, known, "kinds of fault");
    Ok(())
}

fn panic(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.send_line("fault panic")?;
    session.expect_exit(STOPPED, TIMEOUT)?;
    let output = session.transcript().text_from(0);
    for part in [
        "#### CPU 0: kernel panic ####",
        "  what        requested by the `fault` command",
        "  where       kernel/monitor/src/commands/fault_injection.rs:",
        "tocsin_monitor::commands::fault_injection::panic+0x",
        "tocsin::main+0x",
        "#### CPU 0 stopped ####",
    ] {
        ensure!(output.contains(part), "{part:?} is missing");
    }
    Ok(())
}

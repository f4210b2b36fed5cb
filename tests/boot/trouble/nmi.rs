//! A second NMI while the first is handled: QEMU's log contains the time of each delivery and the
//! interrupted code.

use std::ops::Range;
use std::sync::LazyLock;

use libtest_mimic::Trial;
use regex::Regex;
use serde_json::Value;
use tocsin_tests::qemu_log::{self, Delivery};
use tocsin_tests::report::Report;
use tocsin_tests::symbols::Symbols;
use tocsin_tools::Session;

use crate::outside::stacks;
use crate::{
    MODES, PATIENCE, Result, ensure, ensure_eq, gate_record, machine_in, power_off, trial, with,
};

/// The vectors of #DB, NMI and #BP.
const DEBUG: u8 = 1;
const NMI: u8 = 2;
const BREAKPOINT: u8 = 3;

/// Number of NMIs that the storm injects into every CPU.
const INJECTED: usize = 16;

/// RFLAGS.IF.
const INTERRUPT_FLAG: u64 = 1 << 9;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for mode in MODES {
        for cpus in [1, 2] {
            trials.push(trial(
                format!("trouble::nmi::nest::{mode}::smp{cpus}"),
                move || {
                    with(&machine_in(mode, cpus)?.log("int"), |session| {
                        nest(cpus, session)
                    })
                },
            ));
        }
        trials.push(trial(format!("trouble::nmi::edge::{mode}"), move || {
            with(&machine_in(mode, 1)?.log("int"), edge)
        }));
        trials.push(trial(format!("trouble::nmi::storm::{mode}"), move || {
            with(&machine_in(mode, 4)?.log("int"), storm)
        }));
    }
    trials
}

/// The columns of a meeting of NMIs: target, sender, during another, runs, at once, registers.
fn meetings(answer: &str) -> Vec<[String; 6]> {
    static MEETING: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = r"CPU (\d+): sent by CPU (\d+); NMIs during another: (\d+); the handler ran (\d+) times, (\d+) at once; the interrupted registers are (.+)";
        Regex::new(pattern).expect("the pattern is part of this program")
    });
    let meetings = MEETING.captures_iter(answer);
    meetings
        .map(|words| std::array::from_fn(|index| words[index + 1].trim_end().to_owned()))
        .collect()
}

/// The second NMI arrives after the handler's INT3 has returned, and is deferred; the handler runs
/// once more for it.
fn nest(cpus: u32, session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    let nmi_stack = nmi_stack(session)?;
    let (target, sender) = (0, cpus - 1);
    let answer = session.command("nmi nest", PATIENCE)?;
    let expected = [target, sender, 1, 2, 1].map(|number| number.to_string());
    let found = meetings(&answer);
    ensure_eq!(found.len(), 1, "meetings in\n{answer}");
    ensure_eq!(
        found[0][..5],
        expected,
        "target, sender, nested, runs, at once"
    );
    ensure_eq!(found[0][5], "intact", "registers");
    let report = Report::parse(&answer)?;
    ensure_eq!(report.title, "#BP breakpoint", "title");
    ensure!(
        report.stack.starts_with("CPU 0's NMI stack, "),
        "the INT3 was on another stack: {}",
        report.stack
    );

    let log = qemu_log::deliveries(&session.log());
    let here = [NMI, BREAKPOINT];
    let seen: Vec<_> = log.iter().filter(|it| here.contains(&it.vector)).collect();
    let vectors: Vec<_> = seen.iter().map(|delivery| delivery.vector).collect();
    ensure_eq!(vectors, [NMI, BREAKPOINT, NMI], "deliveries by QEMU's log");
    for (delivery, inside) in seen.iter().zip([false, true, true]) {
        check_place(delivery, &nmi_stack, inside)?;
    }
    // The other CPUs, too.
    for target in 1..cpus {
        let answer = session.command(&format!("nmi nest {target}"), PATIENCE)?;
        let found = meetings(&answer);
        let target = target.to_string();
        ensure_eq!(found[0][0], target, "target");
        ensure_eq!(found[0][2..], ["1", "2", "1", "intact"], "CPU {target}");
    }
    check_counts(session)?;
    power_off(session)
}

/// The second NMI arrives between the last instructions of the first one's return path.
fn edge(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    let nmi_stack = nmi_stack(session)?;
    let answer = session.command("nmi edge", PATIENCE)?;
    let found = meetings(&answer);
    ensure_eq!(found.len(), 3, "meetings in\n{answer}");
    for meeting in found {
        ensure_eq!(meeting, ["0", "0", "1", "2", "1", "intact"], "meeting");
    }
    let log = qemu_log::deliveries(&session.log());
    let here = [NMI, DEBUG];
    let seen: Vec<_> = log.iter().filter(|it| here.contains(&it.vector)).collect();
    let vectors: Vec<_> = seen.iter().map(|delivery| delivery.vector).collect();
    ensure_eq!(
        vectors,
        [NMI, DEBUG, NMI].repeat(3),
        "deliveries by QEMU's log"
    );

    let symbols = Symbols::of_the_image()?;
    let reports: Vec<_> = answer.match_indices("#### CPU ").collect();
    let names = ["entry_nmi_done", "entry_nmi_left", "entry_nmi_return"];
    for ((group, name), (start, _)) in seen.chunks(3).zip(names).zip(reports) {
        check_place(group[0], &nmi_stack, false)?;
        let at = Report::parse(&answer[start..])?.at;
        symbols.check(&at)?;
        ensure_eq!(at.symbol, Some((name.to_owned(), 0)), "the breakpoint");
        for delivery in &group[1..] {
            check_place(delivery, &nmi_stack, true)?;
            ensure_eq!(delivery.register("RIP")?, at.address, "RIP at {name}");
        }
    }
    check_counts(session)?;
    power_off(session)
}

/// External NMIs to all CPUs, while they call each other, and during the kernel's own nested NMIs.
fn storm(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    session
        .send_line("ipi; nmi nest 1; nmi edge 2; ipi; nmi nest 3; nmi edge 0; ipi; idt 3 json")?;
    for _ in 0..INJECTED {
        session.qmp("inject-nmi", &Value::Null)?;
    }
    // Not detected by a prompt, because a report during an open prompt prints it again.
    session.expect(&gate_record(3), PATIENCE)?;
    session.send_line("ipi; idt 5 json")?;
    let answer = session.expect(&gate_record(5), PATIENCE)?;
    session.wait_prompt(PATIENCE)?;
    for line in answer.lines().skip(1).filter(|line| !line.contains(':')) {
        // Sent, received and refused are the last three.
        let counts = line.split_whitespace().rev().take(3);
        let counts: Vec<u64> = counts.filter_map(|word| word.parse().ok()).collect();
        if let [_, received, sent] = counts[..] {
            ensure_eq!(sent, received, "sent and received in {line:?}");
        }
    }
    let answer = session.command("nmi", PATIENCE)?;
    ensure!(
        answer.contains("Made to meet 8 times, 8 as they must."),
        "{answer}"
    );
    let unknown: u64 = rows(&answer).iter().map(|row| row[8]).sum();
    ensure!(unknown > 0, "no NMI came from outside:\n{answer}");
    check_counts(session)?;
    power_off(session)
}

/// The rows of `nmi` that consist of numbers.
fn rows(answer: &str) -> Vec<Vec<u64>> {
    let rows = answer.lines().map(|line| {
        let numbers = line.split_whitespace().map(str::parse);
        numbers.collect::<std::result::Result<Vec<_>, _>>()
    });
    rows.filter_map(std::result::Result::ok)
        .filter(|row| row.len() == 9)
        .collect()
}

/// The kernel has counted what QEMU delivered, on each CPU: the log identifies CPUs by the GS base.
fn check_counts(session: &mut Session) -> Result {
    let answer = session.command("nmi", PATIENCE)?;
    let rows = rows(&answer);
    let counted: u64 = rows.iter().map(|row| row[1]).sum();
    let log = qemu_log::deliveries(&session.log());
    let nmis = log.iter().filter(|delivery| delivery.vector == NMI).count();
    ensure_eq!(counted, nmis as u64, "NMIs by the kernel and by QEMU's log");
    for row in rows {
        // One NMI may have several causes, and one run may handle several NMIs, but no NMI lacks a
        // cause.
        let causes: u64 = row[3..].iter().sum();
        ensure!(
            row[1] == 0 || causes > 0 && row[2] < row[1],
            "the counts do not fit together:\n{answer}"
        );
    }
    Ok(())
}

/// The address range of CPU 0's NMI stack.
fn nmi_stack(session: &mut Session) -> Result<Range<u64>> {
    let memory = session.command("memory json", PATIENCE)?;
    let stack = stacks(&memory)?.into_iter().find(|(name, _)| name == "nmi");
    Ok(stack.ok_or("`memory` shows no NMI stack")?.1)
}

/// Whether the code that `delivery` interrupted was on the NMI stack; checks that its interrupts
/// were disabled.
fn check_place(delivery: &Delivery, nmi_stack: &Range<u64>, inside: bool) -> Result {
    let rsp = delivery.register("RSP")?;
    ensure_eq!(
        nmi_stack.contains(&rsp),
        inside,
        "whether vector {} came on the NMI stack, RSP {rsp:#x}",
        delivery.vector
    );
    let flags = delivery.register("RFL")?;
    ensure_eq!(
        flags & INTERRUPT_FLAG,
        0,
        "IF before vector {}",
        delivery.vector
    );
    Ok(())
}

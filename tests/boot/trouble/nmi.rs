//! A second NMI while the first is handled: QEMU's log contains the time of each delivery and the
//! interrupted code.

use std::ops::Range;

use libtest_mimic::Trial;
use serde::Deserialize;
use serde_json::Value;
use tocsin_tests::interrupt_records::{Ipi, NestedNmi, Nmis};
use tocsin_tests::qemu_log::{self, Delivery};
use tocsin_tests::records;
use tocsin_tests::report::Report;
use tocsin_tests::symbols::Symbols;
use tocsin_tools::Session;

use crate::outside::stacks;
use crate::{
    MODES, Result, TIMEOUT, ensure, ensure_eq, gate_record, machine_in, power_off, trial, with,
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

/// The expected result of a test of nested NMIs.
fn nested(cpu: u32, sender: u32) -> NestedNmi {
    NestedNmi {
        cpu,
        sender,
        runs: 2,
        concurrent: 1,
        nested: 1,
        intact: true,
    }
}

/// The second NMI arrives after the handler's INT3 has returned, and is deferred; the handler runs
/// once more for it.
fn nest(cpus: u32, session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let nmi_stack = nmi_stack(session)?;
    let (target, sender) = (0, cpus - 1);
    let reply = session.command("nmi nest json", TIMEOUT)?;
    let found: NestedNmi = records::one(&reply, "nested_nmi")?;
    ensure_eq!(found, nested(target, sender), "result");
    let report = Report::parse(&reply)?;
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
        let reply = session.command(&format!("nmi nest {target} json"), TIMEOUT)?;
        let found: NestedNmi = records::one(&reply, "nested_nmi")?;
        ensure_eq!(found, nested(target, found.sender), "result");
    }
    check_counts(session)?;
    power_off(session)
}

/// The second NMI arrives between the last instructions of the first one's return path.
fn edge(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let nmi_stack = nmi_stack(session)?;
    let reply = session.command("nmi edge json", TIMEOUT)?;
    let found: Vec<NestedNmi> = records::all(&reply, "nested_nmi")?;
    ensure_eq!(found, [0; 3].map(|cpu| nested(cpu, cpu)), "results");
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
    let reports: Vec<_> = reply.match_indices("#### CPU ").collect();
    let names = ["entry_nmi_done", "entry_nmi_left", "entry_nmi_return"];
    for ((group, name), (start, _)) in seen.chunks(3).zip(names).zip(reports) {
        check_place(group[0], &nmi_stack, false)?;
        let at = Report::parse(&reply[start..])?.at;
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
    session.wait_prompt(TIMEOUT)?;
    session.send_line(
        "ipi json; nmi nest 1; nmi edge 2; ipi json; nmi nest 3; nmi edge 0; ipi json; idt 3 json",
    )?;
    for _ in 0..INJECTED {
        session.qmp("inject-nmi", &Value::Null)?;
    }
    // Not detected by a prompt, because a report during an open prompt prints it again.
    let mut reply = session.expect(&gate_record(3), TIMEOUT)?;
    session.send_line("ipi json; idt 5 json")?;
    reply.push_str(&session.expect(&gate_record(5), TIMEOUT)?);
    session.wait_prompt(TIMEOUT)?;
    let counts: Vec<Ipi> = records::all(&reply, "ipi")?;
    let first = &counts[0].interrupt;
    let runs = counts.iter().filter(|ipi| ipi.interrupt == *first);
    ensure_eq!(runs.count(), 4, "runs of `ipi`");
    for ipi in counts {
        ensure_eq!(ipi.sent, ipi.received, "sent and received in {ipi:?}");
    }
    let reply = session.command("nmi json", TIMEOUT)?;
    let tests: NestedTests = records::one(&reply, "nested_nmi_tests")?;
    ensure_eq!((tests.runs, tests.passed), (8, 8), "tests of nested NMIs");
    let nmis = records::all::<Nmis>(&reply, "nmi")?;
    let unknown: u64 = nmis.iter().map(|nmis| nmis.unknown).sum();
    ensure!(unknown > 0, "no external NMI was counted:\n{reply}");
    check_counts(session)?;
    power_off(session)
}

/// A record of `nmi json`, of kind `nested_nmi_tests`.
#[derive(Deserialize)]
struct NestedTests {
    runs: u64,
    passed: u64,
}

/// The kernel has counted what QEMU delivered, on each CPU: the log identifies CPUs by the GS base.
fn check_counts(session: &mut Session) -> Result {
    let all: Vec<Nmis> = records::all(&session.command("nmi json", TIMEOUT)?, "nmi")?;
    let counted: u64 = all.iter().map(|nmis| nmis.delivered).sum();
    let log = qemu_log::deliveries(&session.log());
    let nmis = log.iter().filter(|delivery| delivery.vector == NMI).count();
    ensure_eq!(counted, nmis as u64, "NMIs by the kernel and by QEMU's log");
    for nmis in all {
        // One NMI may have several causes, and one run may handle several NMIs, but no NMI lacks a
        // cause.
        let causes = nmis.causes.values().sum::<u64>() + nmis.late + nmis.unknown;
        ensure!(
            nmis.delivered == 0 || causes > 0 && nmis.nested < nmis.delivered,
            "the counts do not fit together: {nmis:?}"
        );
    }
    Ok(())
}

/// The address range of CPU 0's NMI stack.
fn nmi_stack(session: &mut Session) -> Result<Range<u64>> {
    let memory = session.command("memory json", TIMEOUT)?;
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
        "whether vector {} was handled on the NMI stack, RSP {rsp:#x}",
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

//! Timers: the queue of each CPU on every machine, compared with QEMU's log, and the users of
//! timers.

mod watchdog;

use libtest_mimic::Trial;
use serde::Deserialize;
use tocsin_tests::interrupt_records::Delivery;
use tocsin_tests::interrupts::{counted_by_kernel, delivered_by_qemu};
use tocsin_tests::output::TimerRecord;
use tocsin_tests::records;
use tocsin_tools::Session;

use crate::{
    MODES, Result, SIZES, TIMEOUT, check_timer, ensure, ensure_eq, machine, machine_in, plain,
    power_off, trial, with,
};

/// The vectors of the timer interrupt and of the IPI for timer commands.
const VECTORS: [u8; 2] = [0xe0, 0xe2];

/// Number of instructions from a deadline to the first one of the timer's function.
pub const LATENCY: u64 = 80;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("timers::as_delivered", || {
            with(&machine(2)?.log("int"), as_delivered)
        }),
        trial("timers::outlive_the_timer_command", || {
            with(&machine(2)?, outlive)
        }),
        trial("timers::before_the_first", || {
            // In a script, because the prompt uses timers.
            let sent =
                VECTORS.map(|it| format!("spurious ipi {it} 0 json; spurious ipi {it} 1 json; "));
            let script = format!("run=\"{}timer json; timers json\"", sent.concat());
            with(&machine(2)?.append(script), before_the_first)
        }),
        trial("timers::mistakes", || with(&plain(), mistakes)),
    ];
    for mode in MODES {
        for cpus in SIZES {
            let name = format!("timers::test::{mode}::smp{cpus}");
            trials.push(trial(name, move || {
                with(&machine_in(mode, cpus)?, |session| {
                    session.wait_prompt(TIMEOUT)?;
                    test(session, u64::from(cpus))?;
                    power_off(session)
                })
            }));
        }
        trials.push(trial(format!("timers::latency::{mode}"), move || {
            let machine = plain().icount("shift=0,sleep=off");
            with(&machine.append(format!("apic={mode}")), latency)
        }));
    }
    trials.extend(watchdog::trials());
    trials
}

/// The kernel's own test of all timers; its output contains the seed for a failure.
fn test(session: &mut Session, cpus: u64) -> Result {
    // It has a timer on each CPU.
    session.command("mce off", TIMEOUT)?;
    check_test(&session.command("timers test json", TIMEOUT)?, cpus)?;
    let left = timers(session)?;
    ensure!(left.is_empty(), "timers are left: {left:?}");
    Ok(())
}

/// The timers of all CPUs.
pub fn timers(session: &mut Session) -> Result<Vec<TimerRecord>> {
    let reply = session.command("timers json", TIMEOUT)?;
    Ok(records::any(&reply, "timer")?)
}

/// A record of kind `timers_case`.
#[derive(Deserialize)]
struct CaseRecord {
    case: String,
    expected: u64,
    received: u64,
}

/// A record of kind `timers_violation`.
#[derive(Deserialize)]
struct ViolationRecord {
    violation: String,
    count: u64,
}

/// All counts of `timers test` have the expected values.
pub fn check_test(reply: &str, cpus: u64) -> Result {
    // At least this many on each CPU.
    let least = [
        ("scattered", 200),
        ("periodic", 12),
        ("elsewhere", 6),
        ("dropped_while_firing", 1),
        ("restarted_inside", 12),
        ("dropped_inside", 6),
        ("from_handlers", 12),
        ("from_a_function", 6),
        ("full", 250),
    ];
    let cases: Vec<CaseRecord> = records::all(reply, "timers_case")?;
    ensure_eq!(cases.len(), least.len(), "cases");
    for (case, (name, least)) in cases.iter().zip(least) {
        ensure_eq!(case.case, name, "case");
        ensure_eq!(case.received, case.expected, "{name}, in:\n{reply}");
        ensure!(
            case.expected >= least * cpus,
            "{name}: only {}, in:\n{reply}",
            case.expected
        );
    }
    let violations: Vec<ViolationRecord> = records::all(reply, "timers_violation")?;
    let kinds: Vec<_> = violations
        .iter()
        .map(|kind| kind.violation.as_str())
        .collect();
    let expected = [
        "early",
        "out_of_order",
        "twice",
        "after_cancel",
        "after_drop",
        "other_cpu",
        "rejected",
        "not_freed",
        "drift",
    ];
    ensure_eq!(kinds, expected, "kinds of violations");
    let all: u64 = violations.iter().map(|kind| kind.count).sum();
    ensure_eq!(all, 0, "violations in:\n{reply}");
    Ok(())
}

/// QEMU delivered as many timer interrupts and command IPIs as the kernel counted.
fn as_delivered(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    test(session, 2)?;
    let reply = session.command("irqs json", TIMEOUT)?;
    power_off(session)?;
    let counted = counted_by_kernel(&reply)?;
    let delivered = delivered_by_qemu(&session.log());
    for vector in VECTORS {
        let reported = counted.get(&vector).copied().unwrap_or_default();
        ensure!(
            reported > 100,
            "vector {vector:#04x} was counted only {reported} times"
        );
        ensure_eq!(
            delivered.get(&vector),
            Some(&reported),
            "interrupts {vector:#04x}"
        );
    }
    Ok(())
}

/// A CPU without a timer so far has no timer tables. Timer interrupts and command IPIs have no
/// effect on it, its hardware can be borrowed, and its first timers then work.
fn before_the_first(session: &mut Session) -> Result {
    let reply = session.expect("tocsin> timer json\r\n", TIMEOUT)?;
    let count = 1;
    let expected = VECTORS.map(|vector| [0, 1].map(|cpu| Delivery { cpu, vector, count }));
    let expected: Vec<_> = expected.into_iter().flatten().collect();
    let found: Vec<Delivery> = records::all(&reply, "delivery")?;
    ensure_eq!(found, expected, "interrupts");
    check_timer(&session.expect("tocsin> timers json\r\n", TIMEOUT)?)?;
    let reply = session.wait_prompt(TIMEOUT)?;
    let timers: Vec<TimerRecord> = records::any(&reply, "timer")?;
    ensure!(timers.is_empty(), "a timer is there: {timers:?}");
    test(session, 2)?;
    power_off(session)
}

/// The `timer` command takes the hardware and returns it: the watchdog's timers fire again.
fn outlive(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.command("watchdog on", TIMEOUT)?;
    for _ in 0..2 {
        let before = fired(session)?;
        ensure_eq!(before.len(), 2, "timers of the watchdog");
        check_timer(&session.command("timer json", TIMEOUT)?)?;
        // This output takes time; without the timer, the command would not end.
        let begin = std::time::Instant::now();
        while fired(session)?
            .iter()
            .zip(&before)
            .any(|(now, before)| now <= before)
        {
            ensure!(begin.elapsed() < TIMEOUT, "the timers fire no more");
        }
    }
    session.command("watchdog off", TIMEOUT)?;
    ensure_eq!(fired(session)?.len(), 0, "timers when the watchdog is off");
    power_off(session)
}

/// How often each of the watchdog's timers has fired.
fn fired(session: &mut Session) -> Result<Vec<u64>> {
    let mut timers = timers(session)?;
    timers.retain(|timer| timer.name == "watchdog");
    Ok(timers.iter().map(|timer| timer.fired).collect())
}

/// A record of kind `timer_wait`.
#[derive(Debug, Deserialize)]
pub struct Wait {
    pub duration_ns: u64,
    pub late_cycles: u64,
    pub interrupts: u64,
}

/// With `-icount`, a cycle is an instruction, and the result is the same each time.
fn latency(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    // The timers of other code would count, too.
    session.command("mce off", TIMEOUT)?;
    let reply = session.command("bench timer clock=instructions", TIMEOUT)?;
    let row = reply
        .lines()
        .find(|line| line.contains("timer.queue") && line.contains("load idle"))
        .ok_or(format!("no row of the timer in:\n{reply}"))?;
    let words = row.split_whitespace();
    let cycles: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
    ensure_eq!(cycles.len(), 6, "metrics of the timer");
    ensure!(
        cycles[0] > 20,
        "the function cannot begin that early: {row}"
    );
    ensure!(
        cycles[1] <= LATENCY && cycles[3] <= LATENCY,
        "more than {LATENCY} instructions: {row}"
    );
    // A 32-bit counter at 1 GHz wraps after 4.29 s.
    for (milliseconds, interrupts) in [(1, 1), (4000, 1), (60_000, 14)] {
        let reply = session.command(&format!("timers wait {milliseconds} json"), TIMEOUT)?;
        let wait: Wait = records::one(&reply, "timer_wait")?;
        ensure_eq!(wait.duration_ns, milliseconds * 1_000_000, "duration");
        ensure!(wait.late_cycles <= LATENCY, "too late: {wait:?}");
        ensure_eq!(wait.interrupts, interrupts, "interrupts in {wait:?}");
    }
    power_off(session)
}

fn mistakes(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    for (line, error) in [
        (
            "timers tset",
            "timers: invalid argument `tset` (expected nothing, `test` or `wait`)",
        ),
        (
            "timers test x",
            "timers: invalid argument `x` (expected a number to draw the deadlines from)",
        ),
        ("timers test 1 2", "timers: extra argument `2`"),
        (
            "timers wait",
            "timers: missing argument (usage: timers wait <milliseconds>)",
        ),
        (
            "timers wait 86400001",
            "timers: invalid argument `86400001` (expected a number from 0 to 86400000)",
        ),
        ("timer 1", "timer: extra argument `1`"),
    ] {
        let reply = session.command(line, TIMEOUT)?;
        ensure_eq!(reply.trim(), error, "answer to {line:?}");
    }
    Ok(())
}

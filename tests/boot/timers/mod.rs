//! Timers: the queue of each CPU on every machine, compared with QEMU's log, and the users of
//! timers.

mod watchdog;

use libtest_mimic::Trial;
use tocsin_tests::interrupts::{counted_by_kernel, delivered_by_qemu};
use tocsin_tools::Session;

use crate::{
    MODES, PATIENCE, Result, SIZES, check_timer, ensure, ensure_eq, machine, machine_in, plain,
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
            let sent = VECTORS.map(|it| format!("stray ipi {it} 0; stray ipi {it} 1; "));
            let script = format!("run=\"{}timer; timers\"", sent.concat());
            with(&machine(2)?.append(script), before_the_first)
        }),
        trial("timers::mistakes", || with(&plain(), mistakes)),
    ];
    for mode in MODES {
        for cpus in SIZES {
            let name = format!("timers::test::{mode}::smp{cpus}");
            trials.push(trial(name, move || {
                with(&machine_in(mode, cpus)?, |session| {
                    session.wait_prompt(PATIENCE)?;
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
    session.command("mce off", PATIENCE)?;
    check_test(&session.command("timers test", PATIENCE)?, cpus)?;
    let answer = session.command("timers", PATIENCE)?;
    ensure!(answer.contains("  none"), "a timer is left:\n{answer}");
    Ok(())
}

/// All counts of `timers test` have the expected values.
pub fn check_test(answer: &str, cpus: u64) -> Result {
    let row = |what: &str| -> Result<[u64; 2]> {
        let row = answer
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(what))
            .ok_or(format!("no row {what:?} in:\n{answer}"))?;
        let counts: Vec<u64> = row
            .split_whitespace()
            .map(str::parse)
            .collect::<std::result::Result<_, _>>()?;
        counts
            .try_into()
            .map_err(|_| format!("{what:?} has not two counts in:\n{answer}").into())
    };
    // At least this many on each CPU.
    for (what, least) in [
        ("fired or cancelled, of many", 200),
        ("periods fired or missed", 12),
        ("on other CPUs, fired or cancelled", 6),
        ("calls before a drop returned", 1),
        ("started by their own function", 12),
        ("dropped by their own function", 6),
        ("started by handlers", 12),
        ("started by another's function", 6),
        ("places, all in use", 250),
    ] {
        let [expected, came] = row(what)?;
        ensure_eq!(came, expected, "{what}, in:\n{answer}");
        ensure!(
            expected >= least * cpus,
            "{what}: only {expected}, in:\n{answer}"
        );
    }
    for what in [
        "fired early",
        "fired out of order",
        "fired twice",
        "fired when cancelled",
        "fired when dropped",
        "fired on another CPU",
        "refused",
        "functions not freed",
        "off the period's grid",
    ] {
        ensure_eq!(row(what)?, [0, 0], "{what}, in:\n{answer}");
    }
    Ok(())
}

/// QEMU delivered as many timer interrupts and command IPIs as the kernel counted.
fn as_delivered(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    test(session, 2)?;
    let answer = session.command("irqs", PATIENCE)?;
    power_off(session)?;
    let counted = counted_by_kernel(&answer)?;
    let delivered = delivered_by_qemu(&session.log());
    for vector in VECTORS {
        let told = counted.get(&vector).copied().unwrap_or_default();
        ensure!(told > 100, "vector {vector:#04x} came only {told} times");
        ensure_eq!(
            delivered.get(&vector),
            Some(&told),
            "interrupts {vector:#04x}"
        );
    }
    Ok(())
}

/// A CPU without a timer so far has no timer tables. Timer interrupts and command IPIs have no
/// effect on it, its hardware can be borrowed, and its first timers then work.
fn before_the_first(session: &mut Session) -> Result {
    for vector in VECTORS {
        for cpu in 0..2 {
            let counted = format!("Vector {vector:#04x} came to CPU {cpu} 1 times");
            session.expect(&counted, PATIENCE)?;
        }
    }
    session.expect("tocsin> timer\r\n", PATIENCE)?;
    check_timer(&session.expect("tocsin> timers\r\n", PATIENCE)?)?;
    let answer = session.wait_prompt(PATIENCE)?;
    ensure!(answer.contains("  none"), "a timer is there:\n{answer}");
    test(session, 2)?;
    power_off(session)
}

/// The `timer` command takes the hardware and returns it: the watchdog's timers fire again.
fn outlive(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    session.command("watchdog on", PATIENCE)?;
    for _ in 0..2 {
        let before = fired(session)?;
        ensure_eq!(before.len(), 2, "timers of the watchdog");
        check_timer(&session.command("timer", PATIENCE)?)?;
        // This output takes time; without the timer, the command would not end.
        let begin = std::time::Instant::now();
        while fired(session)?
            .iter()
            .zip(&before)
            .any(|(now, before)| now <= before)
        {
            ensure!(begin.elapsed() < PATIENCE, "the timers fire no more");
        }
    }
    session.command("watchdog off", PATIENCE)?;
    ensure_eq!(fired(session)?.len(), 0, "timers when the watchdog is off");
    power_off(session)
}

/// How often each of the watchdog's timers has fired.
fn fired(session: &mut Session) -> Result<Vec<u64>> {
    let answer = session.command("timers", PATIENCE)?;
    let rows = answer.lines().filter(|line| line.contains("watchdog"));
    rows.map(|row| {
        let words: Vec<&str> = row.split_whitespace().collect();
        // Fired, then missed.
        let fired = words.iter().rev().nth(1).ok_or("a row without counts")?;
        Ok(fired.parse()?)
    })
    .collect()
}

/// With `-icount`, a cycle is an instruction, and the result is the same each time.
fn latency(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    // The timers of other code would count, too.
    session.command("mce off", PATIENCE)?;
    let answer = session.command("bench timer clock=instructions", PATIENCE)?;
    let row = answer
        .lines()
        .find(|line| line.contains("timer.queue") && line.contains("load idle"))
        .ok_or(format!("no row of the timer in:\n{answer}"))?;
    let words = row.split_whitespace();
    let cycles: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
    ensure_eq!(cycles.len(), 6, "figures of the timer");
    ensure!(
        cycles[0] > 20,
        "the function cannot begin that early: {row}"
    );
    ensure!(
        cycles[1] <= LATENCY && cycles[3] <= LATENCY,
        "more than {LATENCY} instructions: {row}"
    );
    // A 32-bit counter at 1 GHz wraps after 4.29 s.
    for (milliseconds, time, interrupts) in [(1, "1 ms", 1), (4000, "4 s", 1), (60_000, "60 s", 14)]
    {
        let answer = session.command(&format!("timers wait {milliseconds}"), PATIENCE)?;
        let rest = answer
            .trim()
            .strip_prefix(&format!("Fired {time} after it was started, "))
            .ok_or(format!("found {answer:?}"))?;
        let (late, rest) = rest.split_once(" TSC cycles late").unwrap_or_default();
        ensure!(late.parse::<u64>()? <= LATENCY, "too late: {answer}");
        let expected = format!(", at interrupt {interrupts} of the local APIC's timer.");
        ensure_eq!(rest, expected, "interrupts in {time}");
    }
    power_off(session)
}

fn mistakes(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    for (line, error) in [
        (
            "timers tset",
            "timers: `tset` will not do; expected nothing, `test` or `wait`",
        ),
        (
            "timers test x",
            "timers: `x` will not do; expected a number to draw the deadlines from",
        ),
        ("timers test 1 2", "timers: `2` is one argument too many"),
        (
            "timers wait",
            "timers: an argument is missing; usage: timers wait <milliseconds>",
        ),
        (
            "timers wait 86400001",
            "timers: `86400001` will not do; expected a number from 0 to 86400000",
        ),
        ("timer 1", "timer: `1` is one argument too many"),
    ] {
        let answer = session.command(line, PATIENCE)?;
        ensure_eq!(answer.trim(), error, "answer to {line:?}");
    }
    Ok(())
}

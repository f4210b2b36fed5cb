//! The programs of `kernel/examples/deadlocks.rs`: each completes, or is rejected with the rule
//! that it violates.

use libtest_mimic::Trial;
use tocsin_tools::{Outcome, workspace};

use crate::{Result, STOPPED, TIMEOUT, ensure, machine, trial, with};

/// The programs that complete, and the messages that they must log.
const END: [(&str, &str); 14] = [
    ("cancel", ""),
    ("mutual", ""),
    ("timer-drop", ""),
    ("timer-drop-notified", ""),
    ("timer-full", ""),
    ("timer-renew", ""),
    ("job-waiting", ""),
    ("timer-first", ""),
    ("served-ceiling", ""),
    ("order", ""),
    ("handover", ""),
    ("mutex-order", ""),
    ("mutex-section", ""),
    (
        "long-wait",
        "warning: wait: CPU 0 has waited 3 s for CPU 1 to run a called function (it runs a thread; \
         `backtrace 1` shows where)",
    ),
];

/// The rule of operations that wait for another CPU.
const WAIT: &str =
    "(it is for threads and handlers up to class 12 that hold no IrqMutex, because it waits";

/// The rejected programs: the context and the rule in the message.
const REJECTED: [(&str, &str, &str); 20] = [
    (
        "call-in-call",
        "call::sync: called in a handler of class 13",
        WAIT,
    ),
    (
        "call-in-served",
        "call::sync: called in a thread that waits, in a function called by another CPU",
        WAIT,
    ),
    (
        "call-in-timer",
        "call::sync: called in a handler of class 14",
        WAIT,
    ),
    (
        "call-raised",
        "call::sync: called in a thread with CR8 raised to class 13",
        WAIT,
    ),
    (
        "call-locked",
        "call::sync: called in a thread with 1 IrqMutex held",
        WAIT,
    ),
    (
        "timer-raised",
        "Timer::at: called in a thread with CR8 raised to class 15",
        "(it is for threads and handlers up to class 14",
    ),
    (
        "ceiling-off",
        "CeilingMutex::lock: called in a thread with interrupts disabled",
        "(it is for threads and handlers up to class 6 with interrupts enabled",
    ),
    (
        "ceiling-above",
        "CeilingMutex::lock: called in a handler of class 6",
        "(it is for threads and handlers up to class 3",
    ),
    (
        "ceiling-order",
        "CeilingMutex::lock: called in a thread with CR8 raised to class 9",
        "(it is for threads and handlers up to class 6",
    ),
    (
        "ceiling-twice",
        "ceiling: lock of class 6: CPU 0 takes a lock that it holds",
        "(it would wait forever",
    ),
    (
        "ceiling-raised",
        "CeilingMutex::lock: called in a thread with CR8 raised to class 9",
        "(it is for threads and handlers up to class 6",
    ),
    (
        "job-handler",
        "jobs::run_on: called in a handler of class 2",
        "(it is for threads at class 0",
    ),
    (
        "job-keeps-lock",
        "jobs: the return of a job: called in a thread with 1 IrqMutex held",
        "(it is for threads at class 0",
    ),
    (
        "job-keeps-own-lock",
        "jobs: the return of a job: called in a thread with 1 IrqMutex held",
        "(it is for threads at class 0",
    ),
    (
        "job-keeps-priority",
        "jobs: the return of a job: called in a thread with CR8 raised to class 9",
        "(it is for threads at class 0",
    ),
    (
        "mutex-twice",
        "sync: IrqMutex: CPU 0 takes a lock that it holds",
        "(it would wait forever",
    ),
    (
        "line-drop-self",
        "Line::drop: called in a handler of class 6",
        "(it is for threads and handlers up to class 5",
    ),
    (
        "line-move-self",
        "Line::move_to: called in a handler of class 6",
        "(it is for threads and handlers up to class 5",
    ),
    (
        "line-forget",
        "Line::drop: called in a thread with CR8 raised to class 6",
        "(it is for threads and handlers up to class 5",
    ),
    (
        "shared-handler-drop-self",
        "SharedHandler::drop: called in a thread with CR8 raised to class 6",
        "(it is for threads and handlers up to class 5",
    ),
];

pub fn trials() -> Vec<Trial> {
    let end = END.into_iter().map(|(name, logged)| {
        trial(format!("deadlocks::{name}"), move || {
            let text = run(name, Outcome::Kernel(0))?;
            ensure!(text.contains(logged), "not logged: {logged}\n{text}");
            Ok(())
        })
    });
    let rejected = REJECTED.into_iter().map(|(name, context, rule)| {
        trial(format!("deadlocks::{name}"), move || {
            let text = run(name, STOPPED)?;
            let line = text.lines().find(|line| line.contains(context));
            ensure!(
                line.is_some_and(|line| line.contains(rule)),
                "not rejected with \"{context} ... {rule}\":\n{text}"
            );
            Ok(())
        })
    });
    end.chain(rejected).collect()
}

/// Runs a program up to the expected end. Returns its output.
fn run(name: &str, end: Outcome) -> Result<String> {
    let image = workspace().join("target/image/deadlocks.elf");
    if !image.exists() {
        return Err("not built; EXAMPLE=deadlocks tools/build-kernel.sh does it".into());
    }
    let mut text = String::new();
    with(&machine(5)?.image(image).append(name), |session| {
        session.expect(&format!("{name}: begins"), TIMEOUT)?;
        session.expect_exit(end, TIMEOUT)?;
        text = session.transcript().tail(200);
        Ok(())
    })?;
    Ok(text)
}

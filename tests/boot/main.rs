//! Boots the kernel and checks it through its console and through QEMU.
//!
//! Every test boots one machine or a few and has a name, so that it can be run separately: `cargo
//! test -p tocsin-tests --test boot -- machine::direct::q35`.

mod bench;
mod bochs;
mod calls;
mod command;
mod console;
mod contexts;
mod deadlocks;
mod debugger;
mod entry;
mod example;
mod faults;
mod firmware;
mod gdb;
mod injected;
mod iommu;
mod lines;
mod machines;
mod monitor;
mod outside;
mod pci;
mod priority;
mod regression;
mod smp;
mod sources;
mod timers;
mod trouble;

use std::error::Error;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tocsin_tests::output::TimerRun;
use tocsin_tests::{matrix, records};
use tocsin_tools::settings::{Accel, BootWay, Smp};
use tocsin_tools::{Machine, Outcome, Session};

/// Time limit: far more than any test takes, even if two machines share a slow host.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Default number of concurrent machines: each uses a CPU of the host.
const AT_A_TIME: usize = 2;

/// The modes of the local APIC, as named by `apic=`.
const MODES: [&str; 2] = ["x2apic", "xapic"];

/// Numbers of CPUs for tests of both modes.
const SIZES: [u32; 5] = [1, 2, 4, 8, 32];

/// The exit status of a kernel that stopped after a fault.
const STOPPED: Outcome = Outcome::Kernel(tocsin_logic::exit::STOPPED);

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Fails the test with a message unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+).into());
        }
    };
}

/// Fails the test unless two values are the same.
macro_rules! ensure_eq {
    ($found:expr, $expected:expr, $($what:tt)+) => {
        let (found, expected) = (&$found, &$expected);
        ensure!(
            found == expected,
            "{}: found {found:x?}, expected {expected:x?}",
            format_args!($($what)+)
        );
    };
}

use {ensure, ensure_eq};

/// The machine for tests that need only one: booted directly, and under TCG, whose log contains all
/// deliveries.
fn plain() -> Machine {
    Machine::new(BootWay::Direct).accel(Accel::Tcg)
}

/// The default machine with this many CPUs.
fn machine(cpus: u32) -> Result<Machine> {
    Ok(plain().smp(Smp::parse(&cpus.to_string())?))
}

/// Like [`machine`], with its local APICs in one of the [`MODES`].
fn machine_in(mode: &str, cpus: u32) -> Result<Machine> {
    Ok(machine(cpus)?.append(format!("apic={mode}")))
}

/// Boots `machine`; if `test` fails, the error includes the output of COM1.
fn with(machine: &Machine, test: impl FnOnce(&mut Session) -> Result) -> Result {
    let mut session = Session::start(machine)?;
    test(&mut session).map_err(|e| {
        let message = e.to_string();
        if message.contains("--- command line") {
            return e;
        }
        let output = session.transcript().tail(60);
        format!(
            "{message}\n--- COM1 (seconds | line)\n{output}--- command line\n{}",
            session.command_line()
        )
        .into()
    })
}

/// Powers the kernel off; no command has failed.
fn power_off(session: &mut Session) -> Result {
    leave(session, "poweroff", 0)
}

/// Powers the kernel off; its status shows that a command has failed, as expected.
fn power_off_failed(session: &mut Session) -> Result {
    leave(session, "poweroff", 1)
}

/// Powers the kernel off with this status, regardless of failed commands.
fn power_off_with(session: &mut Session, status: u8) -> Result {
    leave(session, &format!("poweroff {status}"), status)
}

fn leave(session: &mut Session, command: &str, status: u8) -> Result {
    session.send_line(command)?;
    session.expect_exit(Outcome::Kernel(status), TIMEOUT)?;
    Ok(())
}

/// The beginning of the record that `idt VECTOR json` prints, for tests of the prompt.
fn gate_record(vector: u8) -> String {
    format!("@json {{\"kind\":\"gate\",\"vector\":{vector},")
}

/// Checks the records of `timer` without TSC-deadline mode: every expected interrupt arrived.
fn check_timer(reply: &str) -> Result {
    check_timer_modes(reply, &[("one_shot", 1), ("periodic", 10)])
}

/// The local APIC timer interrupted this often in each of these modes.
fn check_timer_modes(reply: &str, modes: &[(&str, u32)]) -> Result {
    let runs: Vec<TimerRun> = records::all(reply, "timer_run")?;
    let expected = modes.iter().map(|&(mode, count)| TimerRun {
        mode: mode.to_owned(),
        expected: count,
        received: count,
    });
    ensure_eq!(runs, expected.collect::<Vec<_>>(), "timer interrupts");
    Ok(())
}

/// A test with a name.
fn trial(name: impl Into<String>, test: impl FnOnce() -> Result + Send + 'static) -> Trial {
    Trial::test(name, move || {
        test().map_err(|e| Failed::from(e.to_string()))
    })
}

/// A test with a name, skipped if `missing` returns a reason.
fn trial_unless(
    missing: impl FnOnce() -> Result<Option<String>> + Send + 'static,
    name: impl Into<String>,
    test: impl FnOnce() -> Result + Send + 'static,
) -> Trial {
    let failed = |e: Box<dyn Error>| Failed::from(e.to_string());
    Trial::ignorable_test(name, move || {
        if let Some(why) = missing().map_err(failed)? {
            return Ok(Completion::ignored_with(why));
        }
        test().map_err(failed)?;
        Ok(Completion::Completed)
    })
}

/// The reason why Limine cannot boot a machine here, if any.
fn missing_limine() -> Result<Option<String>> {
    Ok(matrix::missing(BootWay::Limine)?)
}

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_A_TIME);
    let mut trials = monitor::trials();
    trials.extend(calls::trials());
    trials.extend(bench::trials());
    trials.extend(bochs::trials());
    trials.extend(command::trials());
    trials.extend(contexts::trials());
    trials.extend(console::trials());
    trials.extend(debugger::trials());
    trials.extend(entry::trials());
    trials.extend(deadlocks::trials());
    trials.extend(example::trials());
    trials.extend(faults::trials());
    trials.extend(regression::trials());
    trials.extend(injected::trials());
    trials.extend(iommu::trials());
    trials.extend(outside::trials());
    trials.extend(pci::trials());
    trials.extend(priority::trials());
    trials.extend(lines::trials());
    trials.extend(machines::trials());
    trials.extend(timers::trials());
    trials.extend(smp::trials());
    trials.extend(sources::trials());
    trials.extend(trouble::trials());
    trials.extend(firmware::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

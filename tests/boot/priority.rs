//! Interrupts by priority: nesting, masking, and lockup detection between CPUs.

use libtest_mimic::Trial;
use serde::Deserialize;
use tocsin_logic::irq::stack;
use tocsin_tests::interrupt_records::CodeAddress;
use tocsin_tests::interrupts::{CpuCount, Irq, vectors_by_qemu};
use tocsin_tests::records;
use tocsin_tools::Session;

use crate::{
    MODES, Result, SIZES, TIMEOUT, ensure, ensure_eq, machine, machine_in, plain, power_off,
    power_off_failed, trial, with,
};

/// The order of delivery in `nest`: upwards through the classes from inside each handler, then the
/// pending ones, the highest class first.
const DELIVERED: [u8; 7] = [0x29, 0x51, 0x91, 0xe1, 0x92, 0x52, 0x2a];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("priority::nest_as_delivered", || {
            with(&plain().log("int"), nest_as_delivered)
        }),
        trial("priority::depth_is_the_number_of_classes", || {
            with(&machine(2)?, depth)
        }),
        trial("priority::backtrace", || with(&machine(3)?, backtrace)),
        trial("priority::watchdog", || with(&machine(4)?, watchdog)),
    ];
    for mode in MODES {
        for cpus in SIZES {
            let name = format!("priority::nest::{mode}::smp{cpus}");
            trials.push(trial(name, move || {
                with(&machine_in(mode, cpus)?, |session| nest(session, cpus))
            }));
        }
    }
    trials
}

/// A record of `nest json`, of kind `nesting_test`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct NestingTest {
    /// The number of CPUs that took part.
    cpus: u64,
    /// The number of CPUs on which handlers nested in the order of their priorities.
    in_order: u64,
    /// The number of CPUs on which CR8 masked lower classes.
    masked: u64,
}

/// Runs twice, because the second run starts with the state that the first left.
fn nest(session: &mut Session, cpus: u32) -> Result {
    session.wait_prompt(TIMEOUT)?;
    for _ in 0..2 {
        check_nest(&session.command("nest json", TIMEOUT)?, cpus.into())?;
    }
    // Each vector ran once per run on each CPU: none lost, none duplicated.
    let irqs: Vec<Irq> = records::all(&session.command("irqs json", TIMEOUT)?, "irq")?;
    for vector in DELIVERED {
        let irq = irqs.iter().find(|irq| irq.vector == vector);
        let irq = irq.ok_or(format!("no record of {vector:#04x} in {irqs:?}"))?;
        let expected = (0..cpus).map(|cpu| CpuCount { cpu, count: 2 });
        ensure_eq!(irq.cpus, expected.collect::<Vec<_>>(), "{vector:#04x}");
        ensure_eq!(irq.owner, "none", "owner of {vector:#04x}");
    }
    power_off(session)
}

/// Checks that the output of `nest json` shows that all CPUs have passed, and shows the order of
/// one.
pub fn check_nest(reply: &str, cpus: u64) -> Result {
    #[derive(Deserialize)]
    struct Step {
        begins: bool,
        vector: u8,
    }
    let expected = NestingTest {
        cpus,
        in_order: cpus,
        masked: cpus,
    };
    let found: NestingTest = records::one(reply, "nesting_test")?;
    ensure_eq!(found, expected, "CPUs that have passed");
    let steps = records::all::<Step>(reply, "nesting_step")?;
    let begun: Vec<_> = steps.iter().filter(|step| step.begins).collect();
    let begun: Vec<_> = begun.iter().map(|step| step.vector).collect();
    ensure_eq!(begun, DELIVERED, "vectors by the kernel");
    ensure_eq!(steps.len(), 2 * DELIVERED.len(), "steps");
    Ok(())
}

/// QEMU's log of the deliveries, in the order that the classes require.
fn nest_as_delivered(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.command("nest", TIMEOUT)?;
    power_off(session)?;
    let log = session.log();
    let delivered = vectors_by_qemu(&log).filter(|vector| DELIVERED.contains(vector));
    let delivered: Vec<u8> = delivered.collect();
    ensure_eq!(delivered, DELIVERED, "vectors that QEMU delivered");
    Ok(())
}

/// Four classes nest, so the depth is four, and never more; before, there was no nesting.
fn depth(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    for row in depths(session)? {
        let [depth, most, used, bound] = row;
        ensure!(depth == 0 && most <= 1, "depth {depth}, most {most}");
        ensure_eq!(used > 0, most == 1, "whether the stack was used");
        ensure_eq!(bound, of_handlers(most), "its bound");
    }
    session.command("nest", TIMEOUT)?;
    for row in depths(session)? {
        let [depth, most, used, bound] = row;
        ensure_eq!([depth, most], [0, 4], "depth now and most");
        ensure_eq!(bound, of_handlers(4), "bound of the interrupt stack");
        // Three have pushed their entries onto it, the first onto the thread's stack.
        let least = 3 * (stack::ENTRY - 8);
        let is_sound = (least..=bound).contains(&used);
        ensure!(is_sound, "interrupt stack use {used}");
    }
    power_off(session)
}

/// Stack that handlers may use in a release build, with `depth` of them nested and one without EOI
/// on top; these tests may use a debug build, where handlers have more.
fn of_handlers(depth: u64) -> u64 {
    const HANDLER: u64 = 2048;
    depth * (stack::ENTRY + HANDLER) + stack::EXCEPTION + HANDLER
}

/// The output of `prio` for the two CPUs: current and maximum depth, stack use and its bound.
fn depths(session: &mut Session) -> Result<[[u64; 4]; 2]> {
    #[derive(Deserialize)]
    struct Nesting {
        depth: u64,
        max_depth: u64,
        stack_used: u64,
        stack_bound: u64,
    }
    let reply = session.command("prio json", TIMEOUT)?;
    let rows = records::all::<Nesting>(&reply, "nesting")?.into_iter();
    let rows = rows.map(|it| [it.depth, it.max_depth, it.stack_used, it.stack_bound]);
    let rows: Vec<[u64; 4]> = rows.collect();
    rows.try_into()
        .map_err(|rows| format!("rows of CPUs: {rows:?}").into())
}

/// A record of `backtrace json`, of kind `backtrace`.
#[derive(Debug, Deserialize)]
struct Backtrace {
    cpu: u32,
    calls: Vec<CodeAddress>,
}

/// Each CPU reports its location by NMI: the boot CPU in the command, the others idle.
fn backtrace(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let reply = session.command("backtrace all json", TIMEOUT)?;
    let backtraces: Vec<Backtrace> = records::all(&reply, "backtrace")?;
    ensure_eq!(backtraces.len(), 3, "backtraces");
    for (cpu, backtrace) in (0..).zip(&backtraces) {
        ensure_eq!(backtrace.cpu, cpu, "CPU");
        let function = match cpu {
            0 => "tocsin_monitor::shell::execute",
            _ => "tocsin::smp::ap::idle",
        };
        ensure!(
            backtrace.calls.iter().any(|call| call.is_in(function)),
            "CPU {cpu} is not in {function}: {backtrace:x?}"
        );
    }
    let reply = session.command("backtrace 7", TIMEOUT)?;
    ensure!(reply.contains("CPU 7 is not online"), "{reply}");
    let reply = session.command("backtrace x", TIMEOUT)?;
    ensure!(reply.contains("invalid argument `x`"), "{reply}");
    power_off_failed(session)
}

/// A CPU with interrupts disabled is reported with its activity, and again when it has recovered.
fn watchdog(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.command("watchdog on", TIMEOUT)?;
    session.send_line("fault lockup 2")?;
    session.expect(
        "error: watchdog: CPU 2: hard lockup: no interrupts for",
        TIMEOUT,
    )?;
    session.expect(
        "tocsin_monitor::commands::fault_injection::lock_up+0x",
        TIMEOUT,
    )?;
    session.expect(
        "warning: watchdog: CPU 2: handles interrupts again",
        TIMEOUT,
    )?;
    session.expect("fault: the kernel continues", TIMEOUT)?;
    session.wait_prompt(TIMEOUT)?;
    session.command("watchdog off", TIMEOUT)?;
    power_off(session)
}

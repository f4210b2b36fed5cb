//! Interrupts by priority: nesting, masking, and lockup detection between CPUs.

use libtest_mimic::Trial;
use tocsin_logic::irq::stack;
use tocsin_tests::interrupts::vectors_by_qemu;
use tocsin_tools::Session;

use crate::{
    MODES, PATIENCE, Result, SIZES, ensure, ensure_eq, machine, machine_in, plain, power_off,
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

/// The kernel's output of the order, twice, because the second run starts with the state that the
/// first left.
fn nest(session: &mut Session, cpus: u32) -> Result {
    session.wait_prompt(PATIENCE)?;
    for _ in 0..2 {
        let answer = session.command("nest", PATIENCE)?;
        let expected = format!(
            "{cpus} of {cpus} CPUs nested in the order of the priorities; \
             on {cpus}, CR8 held back what it must"
        );
        ensure!(answer.contains(&expected), "no {expected:?} in:\n{answer}");
    }
    // Each vector ran once per run on each CPU: none lost, none duplicated.
    let answer = session.command("irqs", PATIENCE)?;
    for vector in DELIVERED {
        let row = answer
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{vector:#06x}")))
            .ok_or(format!("no row for {vector:#04x} in:\n{answer}"))?;
        let sum = format!(" {}", 2 * cpus);
        ensure!(
            row.contains(&sum) && row.ends_with("nobody answers now"),
            "{vector:#04x} did not run {} times: {row}",
            2 * cpus
        );
    }
    power_off(session)
}

/// QEMU's log of the deliveries, in the order that the classes require.
fn nest_as_delivered(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    session.command("nest", PATIENCE)?;
    power_off(session)?;
    let log = session.log();
    let delivered = vectors_by_qemu(&log).filter(|vector| DELIVERED.contains(vector));
    let delivered: Vec<u8> = delivered.collect();
    ensure_eq!(delivered, DELIVERED, "vectors that QEMU delivered");
    Ok(())
}

/// Four classes nest, so the depth is four, and never more; before, there was no nesting.
fn depth(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    for row in depths(session)? {
        let [depth, most, used, bound] = row;
        ensure!(depth == 0 && most <= 1, "depth {depth}, most {most}");
        ensure_eq!(used > 0, most == 1, "whether the stack was used");
        ensure_eq!(bound, of_handlers(most), "its bound");
    }
    session.command("nest", PATIENCE)?;
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
    let answer = session.command("prio", PATIENCE)?;
    let rows = answer.lines().filter_map(|line| {
        let words = line.split_whitespace();
        let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        numbers.get(1..)?.try_into().ok()
    });
    let rows: Vec<[u64; 4]> = rows.collect();
    rows.try_into()
        .map_err(|rows| format!("rows of CPUs: {rows:?}").into())
}

/// Each CPU reports its location by NMI: the boot CPU in the command, the others idle.
fn backtrace(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    let answer = session.command("backtrace all", PATIENCE)?;
    ensure_eq!(
        answer.matches("tocsin::smp::ap::idle+0x").count(),
        2,
        "idle CPUs"
    );
    ensure!(
        answer.contains("tocsin_monitor::shell::execute+0x"),
        "the boot CPU is not in its command:\n{answer}"
    );
    let answer = session.command("backtrace 7", PATIENCE)?;
    ensure!(answer.contains("CPU 7 is not online"), "{answer}");
    let answer = session.command("backtrace x", PATIENCE)?;
    ensure!(answer.contains("`x` will not do"), "{answer}");
    power_off_failed(session)
}

/// A CPU with interrupts disabled is reported with its activity, and again when it has recovered.
fn watchdog(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    session.command("watchdog on", PATIENCE)?;
    session.send_line("fault lockup 2")?;
    session.expect(
        "error: watchdog: CPU 2 has not answered interrupts for",
        PATIENCE,
    )?;
    session.expect("tocsin_monitor::commands::provoke::lock_up+0x", PATIENCE)?;
    session.expect(
        "warning: watchdog: CPU 2 answers interrupts again",
        PATIENCE,
    )?;
    session.expect("fault: the kernel goes on", PATIENCE)?;
    session.wait_prompt(PATIENCE)?;
    session.command("watchdog off", PATIENCE)?;
    power_off(session)
}

//! CPUs that fail to start: a kernel option stops one at each stage of its bring-up, checked from
//! outside; and invalid values of options.

use libtest_mimic::Trial;
use tocsin_tests::controllers::LocalApic;
use tocsin_tests::output::{self, CpuRecord, Ready};
use tocsin_tests::processor::{Mode, Processor};
use tocsin_tests::records;
use tocsin_tools::Session;
use tocsin_tools::settings::Memory;

use super::TIMEOUT;
use crate::outside::State;
use crate::{Result, ensure, ensure_eq, machine, power_off, power_off_failed, trial, with};

/// Number of CPUs of the machine, and the failing one.
const CPUS: u32 = 4;
const VICTIM: u32 = 2;

/// A stage of failure, and its externally visible state.
struct Stage {
    name: &'static str,
    /// The kernel's name of the stage.
    words: &'static str,
    mode: Mode,
    /// Whether it has the kernel's IDT and a TSS.
    tables: bool,
    /// Whether its local APIC is set up.
    apic: bool,
}

const fn stage(name: &'static str, words: &'static str, mode: Mode) -> Stage {
    Stage {
        name,
        words,
        mode,
        tables: false,
        apic: false,
    }
}

const STAGES: [Stage; 6] = [
    stage("silent", "no response", Mode::Protected),
    stage("protected", "protected mode", Mode::Protected),
    stage("long", "long mode", Mode::Long),
    stage("kernel", "kernel code", Mode::Long),
    Stage {
        tables: true,
        ..stage("tables", "descriptor tables", Mode::Long)
    },
    Stage {
        tables: true,
        apic: true,
        ..stage("apic", "local APIC", Mode::Long)
    },
];

/// Invalid values of `failcpu=`.
const MISTAKES: [&str; 8] = [
    "",
    "2@real",
    "2",
    "@long",
    "0@long",
    "2@ready",
    "x@long",
    "2@long@long",
];

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = STAGES
        .iter()
        .map(|stage| {
            trial(format!("smp::dies_at_{}", stage.name), move || {
                let append = format!("failcpu={VICTIM}@{}", stage.name);
                with(&machine(CPUS)?.append(append), |session| {
                    dies(stage, session)
                })
            })
        })
        .collect();
    trials.push(trial("smp::no_memory_for_stacks", no_memory));
    trials.push(trial("smp::the_last_dies", || {
        with(&machine(CPUS)?.append("failcpu=3@long"), last_dies)
    }));
    trials.push(trial("smp::code_for_a_late_cpu_is_not_writable", || {
        with(&machine(CPUS)?.append("failcpu=2@silent"), |session| {
            session.wait_prompt(TIMEOUT)?;
            // The trampoline page stays mapped, because this CPU might still start.
            State::of(session)?.check_rights()
        })
    }));
    trials.push(trial("smp::failcpu_mistakes_are_named", mistakes));
    trials
}

/// The other CPUs come online; the failed one is reported, and halts where it failed.
fn dies(stage: &Stage, session: &mut Session) -> Result {
    let log = session.wait_prompt(TIMEOUT)?;
    let ready = Ready::parse(&log)?;
    ensure_eq!((ready.online, ready.present), (CPUS - 1, CPUS), "CPUs");
    ensure_eq!(output::started(&log)?, (CPUS - 2, CPUS - 1), "started");
    let words = stage.words;
    let error = format!("smp: CPU {VICTIM} (APIC ID 0x02) did not start; last seen: {words}");
    let mut errors = vec![error];
    if stage.name == "silent" {
        // It ran the start-up code, and found no slot.
        errors.insert(
            0,
            "smp: 1 CPU(s) with unknown or duplicate APIC IDs ran the start-up code, the last with ID 0x02 \
             (halted; compare with the MADT's IDs in `cpus`)"
                .to_owned(),
        );
    }
    ensure_eq!(output::of_level(&log, "error"), errors, "errors");
    let rows = records::all::<CpuRecord>(&session.command("cpus json", TIMEOUT)?, "cpu")?;
    let states: Vec<_> = rows.iter().map(|row| row.state.as_str()).collect();
    let dead = format!("dead: {words}");
    ensure_eq!(states, ["online", "online", &dead, "online"], "states");

    let processors = Processor::all(session)?;
    let (boot, victim) = (&processors[0], &processors[VICTIM as usize]);
    ensure!(victim.halted, "it runs: {victim:x?}");
    ensure!(!victim.takes_interrupts()?, "it would wake up: {victim:x?}");
    ensure_eq!(victim.mode()?, stage.mode, "its mode");
    let has_idt = victim.table("IDT")? == boot.table("IDT")?;
    ensure_eq!(has_idt, stage.tables, "whether it has the IDT");
    let has_task = victim.segment("TR")?.selector != 0;
    ensure_eq!(has_task, stage.tables, "whether it has a TSS");
    if stage.mode == Mode::Long {
        let tables = (victim.register("CR3")?, boot.register("CR3")?);
        ensure_eq!(tables.0, tables.1, "its page tables");
    }
    let apic = LocalApic::of(session, VICTIM)?;
    ensure_eq!(!apic.unmasked().is_empty(), stage.apic, "its local APIC");
    // It accepts no jobs, and the others do.
    let reply = session.command(&format!("fault bp {VICTIM}"), TIMEOUT)?;
    let offline = format!("fault: CPU {VICTIM} is not online; `cpus` lists those that are");
    ensure!(reply.starts_with(&offline), "found {reply:?}");
    for other in [1, 3] {
        let reply = session.command(&format!("fault bp {other}"), TIMEOUT)?;
        let title = format!("#### CPU {other}: #BP breakpoint (vector 3) #");
        ensure!(
            reply.contains(&title),
            "CPU {other} is out of reach: {reply}"
        );
    }
    // A command has failed: the one for the failed CPU.
    power_off_failed(session)
}

fn last_dies(session: &mut Session) -> Result {
    let ready = Ready::parse(&session.wait_prompt(TIMEOUT)?)?;
    ensure_eq!((ready.online, ready.present), (3, 4), "CPUs");
    let reply = session.command("fault bp 3", TIMEOUT)?;
    ensure!(reply.contains("CPU 3 is not online"), "found {reply:?}");
    Ok(())
}

/// An invalid value is reported, and all CPUs come online.
fn mistakes() -> Result {
    for value in MISTAKES {
        let item = format!("failcpu={value}");
        with(&machine(CPUS)?.append(&item), |session| {
            let log = session.wait_prompt(TIMEOUT)?;
            let warnings = output::of_level(&log, "warning");
            let expected = format!(
                "command line: `{item}` at column 1: CPU@STAGE, the stage silent, protected, \
                 long, kernel, tables or apic, is needed"
            );
            ensure_eq!(warnings, [expected], "warnings");
            let ready = Ready::parse(&log)?;
            ensure_eq!((ready.online, ready.present), (CPUS, CPUS), "CPUs");
            Ok(())
        })?;
    }
    Ok(())
}

/// CPUs without memory for their stacks are skipped, and the others run.
fn no_memory() -> Result {
    const CPUS: u32 = 48;
    let machine = machine(CPUS)?.memory(Memory::parse("8M")?);
    with(&machine, |session| {
        let log = session.wait_prompt(TIMEOUT)?;
        let ready = Ready::parse(&log)?;
        ensure_eq!(ready.present, CPUS, "CPUs of the machine");
        ensure!(
            (2..CPUS).contains(&ready.online),
            "{} CPUs are online",
            ready.online
        );
        let errors = output::of_level(&log, "error");
        ensure_eq!(errors.len() as u32, CPUS - ready.online, "errors");
        for (error, cpu) in errors.iter().zip(ready.online..) {
            let begin =
                format!("smp: CPU {cpu} (APIC ID {cpu:#04x}) was not started: no free block of ");
            ensure!(error.starts_with(&begin), "not {begin:?}: {error}");
        }
        let cpus = records::all::<CpuRecord>(&session.command("cpus json", TIMEOUT)?, "cpu")?;
        let left_out = cpus.iter().filter(|cpu| cpu.state == "no memory");
        ensure_eq!(left_out.count(), errors.len(), "CPUs without memory");
        // The online CPUs have enough memory.
        session.command("ipi; nest; timer", TIMEOUT)?;
        power_off(session)
    })
}

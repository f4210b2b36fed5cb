//! `irqs`, `prio`, `nest`: interrupt counts, and the priority classes.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;
use tocsin::cpu::handlers::INTERRUPTS;
use tocsin_logic::irq::priority::ClassSet;
use tocsin_logic::irq::stack;
use tocsin_logic::layout::StackKind;
use tocsin_logic::script;
use tocsin_logic::units::Nanoseconds;
use tocsin_logic::vector::Vector;

use super::stretch;
use crate::command::{Arguments, CommandError};
use crate::stress::priority_nesting::{self, Step, TimeLine};
use tocsin::cpu::{self, PerCpu, handlers};
use tocsin::hw::control;
use tocsin::ipi::jobs;
use tocsin::ipi::nmi::{self, NmiError};
use tocsin::timer::watchdog;
use tocsin::trap::stack_use::StackUse;
use tocsin::{Machine, println, priority, smp};

pub(super) fn prio(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    match arguments.next_word() {
        None => {}
        Some("watch") => return stretch::watch(arguments),
        Some("hold") => return stretch::hold(arguments),
        Some(word) => {
            return Err(CommandError::BadArgument {
                given: word.into(),
                expected: "`watch`, `hold` or nothing".into(),
            });
        }
    }
    println!(
        "CPU {}: CR8 {}, running at class {}",
        cpu::current().id(),
        control::priority_class().get(),
        priority::current().get()
    );
    println!(
        "Interrupt stacks have {} bytes; all {} classes at once, and a fault on top, take {}.",
        StackKind::Interrupt.size(),
        ClassSet::USABLE.len(),
        stack::bound(ClassSet::USABLE)
    );
    println!("  CPU  depth  most  stack used  bound at that depth");
    let mut problems = Vec::new();
    for cpu in handlers::all_cpus() {
        let (depth, most) = (INTERRUPTS.of(cpu).depth(), INTERRUPTS.of(cpu).max_depth());
        let stack = StackUse::of(cpu);
        println!(
            "  {:>3}  {depth:>5}  {most:>4}  {:>10}  {:>19}",
            cpu.id(),
            stack.used,
            stack.bound
        );
        if stack.is_too_much() {
            problems.push(format!("CPU {}: {stack}", cpu.id()));
        }
    }
    stretch::show();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(CommandError::Failed(problems.join("; ")))
    }
}

/// The timelines of the CPUs, by CPU number.
static LINES: Once<Vec<TimeLine>> = Once::new();

/// The number of CPUs on which the interrupts were not pending while CR8 masked them.
static NOT_HELD: AtomicU64 = AtomicU64::new(0);

pub(super) fn nest(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    arguments.end()?;
    let cpus = handlers::all_cpus();
    let lines: &'static [TimeLine] = LINES.call_once(|| {
        // Indexed by CPU number, including the numbers of CPUs that did not start.
        let most = cpus.iter().map(|cpu| cpu.id() as usize).max().unwrap_or(0);
        (0..=most).map(|_| TimeLine::new()).collect()
    });
    lines.iter().for_each(TimeLine::clear);
    NOT_HELD.store(0, Ordering::Relaxed);
    jobs::run_on_all(nest_here).map_err(CommandError::Cpu)?;

    let own = cpu::current().id();
    println!("CPU {own}, cycles since the first step:");
    let first = lines[own as usize]
        .steps()
        .next()
        .map_or(0, |(_, time)| time);
    let mut depth = 0;
    for (Step { vector, begins }, cycles) in lines[own as usize].steps() {
        depth -= usize::from(!begins).min(depth);
        println!(
            "  {:>10}  {:indent$}{} class {:<2} vector {vector:#04x}",
            cycles - first,
            "",
            if begins { ">" } else { "<" },
            Vector(vector).priority_class().get(),
            indent = depth * 4
        );
        depth += usize::from(begins);
    }
    let took_part: Vec<&PerCpu> = cpus
        .iter()
        .filter(|cpu| lines[cpu.id() as usize].began())
        .collect();
    let right = took_part
        .iter()
        .filter(|cpu| lines[cpu.id() as usize].is_as_expected())
        .count();
    let held = took_part.len() as u64 - NOT_HELD.load(Ordering::Relaxed);
    println!(
        "{right} of {} CPUs nested in the order of the priorities; on {held}, CR8 held back what it must",
        took_part.len()
    );
    Ok(())
}

fn nest_here(cpu: u64) {
    // The numbers are those of CPUs, which have timelines.
    let line = LINES.get().and_then(|lines| lines.get(cpu as usize));
    if !line.is_some_and(priority_nesting::run_here) {
        NOT_HELD.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) fn backtrace(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let Some(word) = arguments.next_word() else {
        return Err(CommandError::MissingArgument("backtrace <cpu>|all"));
    };
    arguments.end()?;
    let all = smp::all().iter().map(|online| online.cpu.id());
    if word == "all" {
        // A CPU without a reply does not end the loop over the others.
        let silent: Vec<_> = all
            .filter_map(|cpu| show_backtrace(cpu).err())
            .map(|error| error.to_string())
            .collect();
        if silent.is_empty() {
            return Ok(());
        }
        return Err(CommandError::Failed(silent.join("; ")));
    }
    let number = script::parse_number(word)
        .ok()
        .and_then(|number| u32::try_from(number).ok());
    let number = number.ok_or_else(|| CommandError::BadArgument {
        given: word.into(),
        expected: "the number of a CPU, or `all`".into(),
    })?;
    show_backtrace(number).map_err(|error| CommandError::Failed(error.to_string()))
}

fn show_backtrace(cpu: u32) -> Result<(), NmiError> {
    let backtrace = nmi::backtrace_of(cpu)?;
    tocsin::print!("CPU {cpu}:\n{backtrace}");
    Ok(())
}

pub(super) fn watchdog(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let word = arguments.required()?;
    arguments.end()?;
    match word {
        "on" => match watchdog::start() {
            Ok(cpus) => {
                println!(
                    "Each CPU's heart beats every {}, and is missed after {}; deferred work after {}, the \
                     thread after {}.",
                    Nanoseconds(watchdog::PERIOD),
                    Nanoseconds(watchdog::LIMIT),
                    Nanoseconds(watchdog::HANDLERS_LIMIT),
                    Nanoseconds(watchdog::THREAD_LIMIT)
                );
                if cpus == 1 {
                    println!(
                        "Only one CPU is online: there is none to see that its interrupts stay disabled."
                    );
                }
            }
            Err(error) => println!("The watchdog cannot run: {error}."),
        },
        "off" => watchdog::stop(),
        "show" => {
            println!("CPU  heartbeat     deferred work  thread        ran so long ago");
            watchdog::for_each(|it| {
                let [interrupts, handlers, thread] = [it.interrupts, it.handlers, it.thread]
                    .map(|time| Nanoseconds(time).to_string());
                println!("{:>3}  {interrupts:<12}  {handlers:<13}  {thread}", it.cpu);
            });
        }
        _ => {
            return Err(CommandError::BadArgument {
                given: word.into(),
                expected: "`on`, `off` or `show`".into(),
            });
        }
    }
    Ok(())
}

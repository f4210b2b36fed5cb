//! `nest`: interrupts that nest in the order of their priority classes, on all CPUs.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use spin::Once;

use super::checks::Checks;
use crate::command::{Arguments, CommandError};
use crate::record::Output;
use crate::stress::priority_nesting::{self, Step, TimeLine};
use tocsin::cpu::{self, handlers};
use tocsin::ipi::jobs;
use tocsin::{Machine, println};

/// The timelines of the CPUs, by CPU number.
static LINES: Once<Vec<TimeLine>> = Once::new();

/// The number of CPUs on which the interrupts were not pending while CR8 masked them.
static NOT_MASKED: AtomicU64 = AtomicU64::new(0);

/// A step of the timeline of the CPU that executes the command.
#[derive(Serialize)]
struct NestingStep {
    cpu: u32,
    /// Cycles since the first step.
    cycles: u64,
    /// Whether the handler begins; otherwise it ends.
    begins: bool,
    /// The number of handlers that the step interrupts, or that remain after it.
    depth: usize,
    class: u8,
    vector: u8,
}

impl fmt::Display for NestingStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  {:>10}  {:indent$}{} class {:<2} vector {:#04x}",
            self.cycles,
            "",
            if self.begins { ">" } else { "<" },
            self.class,
            self.vector,
            indent = self.depth * 4
        )
    }
}

/// The result of the test.
#[derive(Serialize)]
struct NestingTest {
    /// The number of CPUs that took part.
    cpus: u64,
    /// The number of CPUs on which the handlers ran in the order of the priorities.
    in_order: u64,
    /// The number of CPUs on which CR8 masked the interrupts of lower classes.
    masked: u64,
}

impl fmt::Display for NestingTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpus,
            in_order,
            masked,
        } = self;
        write!(
            f,
            "order of the priorities: {in_order}/{cpus} CPUs\n\
             masking by CR8: {masked}/{cpus} CPUs"
        )
    }
}

pub(super) fn nest(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let output = arguments.output();
    arguments.end()?;
    let cpus = handlers::all_cpus();
    let lines: &'static [TimeLine] = LINES.call_once(|| {
        // Indexed by CPU number, including the numbers of CPUs that did not start.
        let most = cpus.iter().map(|cpu| cpu.id() as usize).max().unwrap_or(0);
        (0..=most).map(|_| TimeLine::new()).collect()
    });
    lines.iter().for_each(TimeLine::clear);
    NOT_MASKED.store(0, Ordering::Relaxed);
    jobs::run_on_all(nest_here).map_err(CommandError::Cpu)?;

    let own = cpu::current().id();
    show_steps(output, own, &lines[own as usize]);
    let took_part = || lines.iter().filter(|line| line.began());
    let count = took_part().count() as u64;
    let test = NestingTest {
        cpus: count,
        in_order: took_part().filter(|line| line.is_as_expected()).count() as u64,
        masked: count - NOT_MASKED.load(Ordering::Relaxed),
    };
    output.print("nesting_test", &test);
    let checks = Checks::default();
    checks.note_all(test.in_order, count);
    checks.note_all(test.masked, count);
    checks.finish(output)
}

fn show_steps(output: Output, cpu: u32, line: &TimeLine) {
    if output == Output::Text {
        println!("CPU {cpu}, cycles since the first step:");
    }
    let first = line.steps().next().map_or(0, |(_, time)| time);
    let mut depth = 0;
    for (Step { vector, begins }, time) in line.steps() {
        depth -= usize::from(!begins).min(depth);
        let step = NestingStep {
            cpu,
            cycles: time - first,
            begins,
            depth,
            class: vector.priority_class().get(),
            vector: vector.get(),
        };
        output.print("nesting_step", &step);
        depth += usize::from(begins);
    }
}

fn nest_here(cpu: u64) {
    // The numbers are those of CPUs, which have timelines.
    let line = LINES.get().and_then(|lines| lines.get(cpu as usize));
    if !line.is_some_and(priority_nesting::run_here) {
        NOT_MASKED.fetch_add(1, Ordering::Relaxed);
    }
}

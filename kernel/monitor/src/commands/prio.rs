//! `prio`: the priorities, the nesting depths, and the use of the interrupt stacks.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;
use tocsin_logic::irq::priority::ClassSet;
use tocsin_logic::irq::stack;
use tocsin_logic::layout::StackKind;

use super::sections;
use crate::command::{Arguments, CommandError};
use tocsin::cpu::handlers::{self, INTERRUPTS};
use tocsin::cpu::{self, PerCpu};
use tocsin::hw::control;
use tocsin::trap::stack_use::StackUse;
use tocsin::{Machine, priority};

/// The priorities of the CPU that executes the command, and the properties of all interrupt stacks.
#[derive(Serialize)]
struct Priority {
    cpu: u32,
    cr8: u8,
    /// The class at which the CPU runs.
    class: u8,
    stack_size: u64,
    usable_classes: u32,
    /// The maximum stack use if handlers of all classes nest, with a fault on top.
    stack_bound: u64,
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            cr8,
            class,
            stack_size,
            usable_classes,
            stack_bound,
        } = self;
        write!(
            f,
            "CPU {cpu}: CR8 {cr8}, running at class {class}\n\
             Interrupt stacks: {stack_size} bytes; bound with {usable_classes} nested classes and a \
             fault: {stack_bound} bytes"
        )
    }
}

/// The nesting of handlers on a CPU.
#[derive(Serialize)]
struct Nesting {
    cpu: u32,
    depth: u32,
    max_depth: u32,
    stack_used: u64,
    /// The bound of the stack use at the maximum depth.
    stack_bound: u64,
}

impl Nesting {
    fn of(cpu: PerCpu, stack: StackUse) -> Self {
        Self {
            cpu: cpu.id(),
            depth: INTERRUPTS.of(cpu).depth(),
            max_depth: stack.depth,
            stack_used: stack.used,
            stack_bound: stack.bound,
        }
    }
}

impl fmt::Display for Nesting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            depth,
            max_depth,
            stack_used,
            stack_bound,
        } = self;
        write!(
            f,
            "  {cpu:>3}  {depth:>5}  {max_depth:>9}  {stack_used:>10}  {stack_bound:>18}"
        )
    }
}

pub(super) fn prio(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let output = arguments.output();
    match arguments.next_word() {
        None => {}
        Some("watch") => return sections::watch(arguments),
        Some("hold") => return sections::hold(arguments),
        Some(word) => {
            return Err(CommandError::BadArgument {
                given: word.into(),
                expected: "`watch`, `hold` or nothing".into(),
            });
        }
    }
    let priority = Priority {
        cpu: cpu::current().id(),
        cr8: control::priority_class().get(),
        class: priority::current().get(),
        stack_size: StackKind::Interrupt.size(),
        usable_classes: ClassSet::USABLE.len(),
        stack_bound: stack::bound(ClassSet::USABLE),
    };
    output.print("priority", &priority);
    output.heading("  CPU  depth  max depth  stack used  bound at max depth");
    let mut problems = Vec::new();
    for cpu in handlers::all_cpus() {
        let stack = StackUse::of(cpu);
        output.print("nesting", &Nesting::of(cpu, stack));
        if stack.exceeds_bound() {
            problems.push(format!("CPU {}: {stack}", cpu.id()));
        }
    }
    sections::show(output);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(CommandError::Failed(problems.join("; ")))
    }
}

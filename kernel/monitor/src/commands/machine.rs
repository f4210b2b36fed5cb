//! `cpus`, and the boot summary.

use alloc::format;
use alloc::string::{String, ToString};
use core::ops::Range;

use serde::Serialize;
use tocsin_logic::layout::{StackKind, stack_range};
use tocsin_logic::topology::{Cpu, CpuState};

use crate::command::{Arguments, CommandError};
use crate::record::{self, Output};
use tocsin::apic::io;
use tocsin::smp::Cause;
use tocsin::{Machine, println, smp};

/// The number of CPUs in the table that is printed at boot; `cpus` shows all.
const SHOWN_AT_BOOT: usize = 16;

/// Prints the boot summary: the CPUs, the inputs, and the line that reports that the machine is
/// ready.
pub(crate) fn show_machine(machine: &Machine) {
    show_cpus(machine, SHOWN_AT_BOOT);
    show_inputs(machine);
    let online = smp::all().len();
    let present = [CpuState::Enabled, CpuState::Limited, CpuState::Unreachable]
        .map(|state| machine.topology.count(state))
        .iter()
        .sum::<usize>();
    let pins = io::all().iter().map(|io_apic| io_apic.pins).sum::<u32>();
    let controllers = io::all().len();
    println!(
        "tocsin: ready: {online}/{present} CPUs online, {}, {controllers} I/O APIC{} ({pins} pins)",
        machine.apic_mode.mode,
        if controllers == 1 { "" } else { "s" },
    );
}

pub(super) fn cpus(
    machine: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    arguments.end()?;
    if output == Output::Records {
        for cpu in machine.topology.cpus() {
            record::print("cpu", &CpuRecord::of(machine, cpu));
        }
        return Ok(());
    }
    show_cpus(machine, usize::MAX);
    println!(
        "Socket, core and thread are read from the APIC ID by {}.",
        machine.id_layout.source
    );
    Ok(())
}

fn show_cpus(machine: &Machine, most: usize) {
    println!("  CPU  APIC ID  ACPI UID  state                    location stacks");
    let all = machine.topology.cpus();
    for cpu in all.iter().take(most) {
        show_cpu(machine, cpu);
    }
    if all.len() > most {
        println!("  ... and {} more; `cpus` shows all", all.len() - most);
    }
}

/// A CPU, as a record.
#[derive(Serialize)]
struct CpuRecord {
    number: u32,
    apic_id: u32,
    uid: Option<u32>,
    state: String,
    /// Socket, core and thread.
    location: (u32, u32, u32),
    /// From its lowest stack to the end of its highest one.
    stacks: Option<Range<u64>>,
}

impl CpuRecord {
    fn of(machine: &Machine, cpu: &Cpu) -> Self {
        let number = cpu.number.get();
        let location = machine.id_layout.location(cpu.apic_id);
        Self {
            number,
            apic_id: cpu.apic_id.get(),
            uid: cpu.uid,
            state: state(cpu),
            location: (location.socket, location.core, location.thread),
            stacks: (cpu.state == CpuState::Enabled).then(|| {
                let first = stack_range(number, StackKind::Thread).start;
                first..stack_range(number, StackKind::Debug).end
            }),
        }
    }
}

fn show_cpu(machine: &Machine, cpu: &Cpu) {
    let CpuRecord {
        number,
        uid,
        state,
        stacks,
        ..
    } = CpuRecord::of(machine, cpu);
    let uid = uid.map_or("-".into(), |uid| uid.to_string());
    let stacks = stacks.map_or(String::new(), |stacks| {
        format!("{:#x} to {:#x}", stacks.start, stacks.end - 1)
    });
    println!(
        "  {number:>3}  {:>7}  {uid:>8}  {state:<23}  {:<7}  {stacks}",
        cpu.apic_id.to_string(),
        machine.id_layout.location(cpu.apic_id).to_string(),
    );
}

/// Returns the state of a CPU.
fn state(cpu: &Cpu) -> String {
    let number = cpu.number.get();
    let Some(cpus) = smp::online() else {
        return cpu.state.to_string();
    };
    if smp::find(number).is_some() {
        return "online".into();
    }
    match cpus.failures.iter().find(|failure| failure.cpu == number) {
        Some(failure) => match failure.cause {
            Cause::Stopped(stage) => format!("dead: {stage}"),
            Cause::NoMemory(_) => "no memory".into(),
        },
        None if cpu.state == CpuState::Enabled => "not started".into(),
        None => cpu.state.to_string(),
    }
}

fn show_inputs(machine: &Machine) {
    for io_apic in io::all() {
        println!(
            "  I/O APIC {:#04x} at {:#010x}: {} pins, GSI {} to {}",
            io_apic.id,
            io_apic.address,
            io_apic.pins,
            io_apic.gsi_base,
            io_apic.last_gsi()
        );
    }
    for (irq, route) in machine.topology.overrides() {
        println!("  ISA IRQ {irq:>2} is {route}");
    }
}

//! The commands of the monitor: each parses its arguments, calls the function that it demonstrates,
//! and prints the result.

use tocsin_logic::exit;

mod acpi;
mod apic;
mod backtrace;
mod bench;
mod checks;
mod fault;
mod fault_injection;
mod fault_injection_smp;
mod gates;
mod ioapic;
mod iommu;
mod ipi;
mod irqs;
mod lines;
mod machine;
mod madt;
mod mce;
mod members;
mod memory;
mod names;
mod nest;
mod nmi;
mod pci;
mod prio;
mod sections;
mod sources;
mod spurious;
mod storm;
mod timer;
mod timers;
mod tlb;
mod watchdog;

use crate::command::{Arguments, Command, CommandError};
use crate::shell;
use tocsin::{Machine, hw};

pub(crate) use machine::show_machine;

/// The commands, in the order in which `help` lists them. `help` itself belongs to the shell.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: "idt",
        usage: "idt [vector]",
        help: "show the gates of the IDT, or all fields of one gate",
        run: gates::idt,
        details: None,
    },
    Command {
        name: "memory",
        usage: "memory",
        help: "show physical memory, the page tables, the heap and the stacks",
        run: memory::memory,
        details: None,
    },
    Command {
        name: "fault",
        usage: "fault <kind> [cpu]...",
        help: "inject a fault; `fault list` shows the kinds",
        run: fault::fault,
        details: None,
    },
    Command {
        name: "cpus",
        usage: "cpus",
        help: "list the CPUs and their states",
        run: machine::cpus,
        details: None,
    },
    Command {
        name: "madt",
        usage: "madt",
        help: "show the entries of the MADT and their problems",
        run: madt::madt,
        details: None,
    },
    Command {
        name: "acpi",
        usage: "acpi",
        help: "list the ACPI tables",
        run: acpi::acpi,
        details: None,
    },
    Command {
        name: "pci",
        usage: "pci [address|edu|port|shared|virtio]",
        help: "list the PCI functions, show one of them, or test the interrupts of a device",
        run: pci::pci,
        details: None,
    },
    Command {
        name: "apic",
        usage: "apic",
        help: "show the local APIC of this CPU and the I/O APICs",
        run: apic::apic,
        details: None,
    },
    Command {
        name: "lapic",
        usage: "lapic [cpu]",
        help: "show a CPU's local APIC, with its pending and in-service interrupts",
        run: apic::lapic,
        details: None,
    },
    Command {
        name: "ioapic",
        usage: "ioapic",
        help: "show the redirection entries of the I/O APICs",
        run: ioapic::ioapic,
        details: None,
    },
    Command {
        name: "iommu",
        usage: "iommu [test|flood]",
        help: "show the IOMMUs, their mappings and their faults, or test them",
        run: iommu::iommu,
        details: None,
    },
    Command {
        name: "timer",
        usage: "timer",
        help: "show the clocks, and test the local APIC's timer",
        run: timer::timer,
        details: None,
    },
    Command {
        name: "timers",
        usage: "timers [wait <ms>|test [seed]]",
        help: "list the timers of all CPUs, wait for a timer, or test many timers",
        run: timers::timers,
        details: None,
    },
    Command {
        name: "irqs",
        usage: "irqs",
        help: "show the interrupt counts by vector and CPU, with rates since the last call",
        run: irqs::irqs,
        details: None,
    },
    Command {
        name: "lines",
        usage: "lines [test [cpu]]",
        help: "show the interrupt lines and their vectors, or test every vector of a CPU",
        run: lines::lines,
        details: None,
    },
    Command {
        name: "sources",
        usage: "sources [what] [count] [cpu]",
        help: "test interrupts of pit, rtc, hpet, keyboard, com2, virtio or all on a CPU",
        run: sources::sources,
        details: None,
    },
    Command {
        name: "prio",
        usage: "prio [watch on|off|hold <what>]",
        help: "show priorities, nesting, interrupt stacks, and the longest IRQs-off sections",
        run: prio::prio,
        details: None,
    },
    Command {
        name: "nest",
        usage: "nest",
        help: "nest interrupts on all CPUs, and show the time line of this CPU",
        run: nest::nest,
        details: None,
    },
    Command {
        name: "ipi",
        usage: "ipi",
        help: "test IPIs, calls and deferred work between all CPUs",
        run: ipi::ipi,
        details: None,
    },
    Command {
        name: "storm",
        usage: "storm [seconds] [seed]|unclaimed [cpu]|latched",
        help: "test interrupts of all kinds at once, an unclaimed line, or a latched edge",
        run: storm::storm,
        details: None,
    },
    Command {
        name: "tlb",
        usage: "tlb",
        help: "change mappings that all CPUs have cached, and count the stale translations",
        run: tlb::tlb,
        details: None,
    },
    Command {
        name: "backtrace",
        usage: "backtrace <cpu>|all",
        help: "show the backtraces of CPUs, requested by NMI",
        run: backtrace::backtrace,
        details: None,
    },
    Command {
        name: "nmi",
        usage: "nmi [nest|edge [cpu]]",
        help: "show the NMI counts by CPU and cause, or test nested NMIs",
        run: nmi::nmi,
        details: None,
    },
    Command {
        name: "spurious",
        usage: "spurious [ipi <vector> [cpu]|register]",
        help: "count spurious and unhandled interrupts and APIC errors, or cause one",
        run: spurious::spurious,
        details: None,
    },
    Command {
        name: "mce",
        usage: "mce [every <seconds>|off]",
        help: "poll the machine-check banks, once or periodically, and count their errors",
        run: mce::mce,
        details: None,
    },
    Command {
        name: "watchdog",
        usage: "watchdog on|off|show",
        help: "detect lockups, or show the times since the last heartbeat, work and thread",
        run: watchdog::watchdog,
        details: None,
    },
    Command {
        name: "bench",
        usage: "bench [group ...] [clock=cycles|instructions] [samples=N] [json]",
        help: "measure the cost of interrupts; `help bench` lists the groups",
        run: bench::bench,
        details: Some(bench::words),
    },
    Command {
        name: "poweroff",
        usage: "poweroff [code]",
        help: "end QEMU with an exit status (default: 1 if a command has failed, else 0)",
        run: poweroff,
        details: None,
    },
    Command {
        name: "reboot",
        usage: "reboot",
        help: "restart the machine",
        run: reboot,
        details: None,
    },
];

fn poweroff(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let status = arguments.number(u64::from(exit::MAX))?;
    arguments.end()?;
    let default = u8::from(shell::has_failed());
    // The cast is lossless: `number` limits the value to 8 bits.
    hw::power::power_off(status.map_or(default, |status| status as u8))
}

fn reboot(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    arguments.end()?;
    hw::power::reset()
}

//! The commands of the monitor: each parses its arguments, calls the function that it demonstrates,
//! and prints the result.

use tocsin_logic::exit;

mod acpi;
mod apic;
mod bench;
mod fault;
mod gates;
mod ioapic;
mod ipi;
mod irq;
mod irqs;
mod lines;
mod machine;
mod madt;
mod mce;
mod memory;
mod names;
mod nmi;
mod pci;
mod provoke;
mod sources;
mod storm;
mod stray;
mod stretch;
mod timer;
mod timers;
mod tlb;
mod together;

use crate::command::{Arguments, Command, CommandError};
use crate::shell;
use tocsin::{Machine, hw};

pub(crate) use machine::show_machine;

/// The commands, in the order in which `help` lists them. `help` itself belongs to the shell.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: "idt",
        usage: "idt [vector]",
        help: "show the gates of the IDT, or all of one gate",
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
        help: "make something go wrong on purpose; `fault list` shows what can",
        run: fault::fault,
        details: None,
    },
    Command {
        name: "cpus",
        usage: "cpus",
        help: "list the CPUs and the state they are in",
        run: machine::cpus,
        details: None,
    },
    Command {
        name: "madt",
        usage: "madt",
        help: "show every entry of the MADT, and what was wrong with it",
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
        usage: "pci [what]",
        help: "list the PCI functions, show one by its address, or let `edu`, `port`, `shared` or `virtio` interrupt",
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
        help: "show a CPU's local APIC, with what waits and what is in service",
        run: apic::lapic,
        details: None,
    },
    Command {
        name: "ioapic",
        usage: "ioapic",
        help: "show how the I/O APICs deliver each pin",
        run: ioapic::ioapic,
        details: None,
    },
    Command {
        name: "timer",
        usage: "timer",
        help: "show the clocks, and let the local APIC's timer interrupt",
        run: timer::timer,
        details: None,
    },
    Command {
        name: "timers",
        usage: "timers [what]",
        help: "list the timers of all CPUs, `wait <ms>` for one, or `test [seed]` many and check each",
        run: timers::timers,
        details: None,
    },
    Command {
        name: "irqs",
        usage: "irqs",
        help: "count the interrupts by vector and CPU, with their rate since the last time",
        run: irqs::irqs,
        details: None,
    },
    Command {
        name: "lines",
        usage: "lines [test [cpu]]",
        help: "show who owns which interrupt, or try every vector of a CPU",
        run: lines::lines,
        details: None,
    },
    Command {
        name: "sources",
        usage: "sources [what] [count] [cpu]",
        help: "let pit, rtc, hpet, keyboard, com2, virtio or all of them interrupt a CPU, and count both ends",
        run: sources::sources,
        details: None,
    },
    Command {
        name: "prio",
        usage: "prio [watch on|off|hold <what>]",
        help: "show priorities, nesting depths, stacks, and who holds interrupts back longest",
        run: irq::prio,
        details: None,
    },
    Command {
        name: "nest",
        usage: "nest",
        help: "let interrupts nest on all CPUs, and show the order they run in",
        run: irq::nest,
        details: None,
    },
    Command {
        name: "ipi",
        usage: "ipi",
        help: "let CPUs call each other, and compare what was sent with what came",
        run: ipi::ipi,
        details: None,
    },
    Command {
        name: "storm",
        usage: "storm [seconds] [seed]|unclaimed [cpu]|latched",
        help: "send interrupts of all kinds at once and see that each arrives once; or leave a line unanswered, or mask one that interrupts once",
        run: storm::storm,
        details: None,
    },
    Command {
        name: "tlb",
        usage: "tlb",
        help: "change mappings that all CPUs have cached, and see that none uses the old ones",
        run: tlb::tlb,
        details: None,
    },
    Command {
        name: "backtrace",
        usage: "backtrace <cpu>|all",
        help: "ask CPUs by NMI what they are doing",
        run: irq::backtrace,
        details: None,
    },
    Command {
        name: "nmi",
        usage: "nmi [nest|edge [cpu]]",
        help: "count the NMIs by CPU and cause, or let a second one come during the first",
        run: nmi::nmi,
        details: None,
    },
    Command {
        name: "stray",
        usage: "stray [ipi <vector> [cpu]|register]",
        help: "count the interrupts that nobody sent or answers, or make one",
        run: stray::stray,
        details: None,
    },
    Command {
        name: "mce",
        usage: "mce [every <seconds>|off]",
        help: "poll the machine-check banks of all CPUs now, or regularly, and count the corrected errors",
        run: mce::mce,
        details: None,
    },
    Command {
        name: "watchdog",
        usage: "watchdog on|off|show",
        help: "let CPUs watch each other for lockups, or show when each last ran what",
        run: irq::watchdog,
        details: None,
    },
    Command {
        name: "bench",
        usage: "bench [group ...] [clock=cycles|instructions] [samples=N] [json]",
        help: "measure what interrupts cost; `help bench` has the groups",
        run: bench::bench,
        details: Some(bench::words),
    },
    Command {
        name: "poweroff",
        usage: "poweroff [code]",
        help: "end QEMU with an exit status (default 0, or 1 if a command has failed)",
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

//! The list of commands, and the small ones.

use alloc::string::ToString;

use tocsin_logic::exit;

use super::{
    Arguments, Command, CommandError, apic, bench, fault, gates, has_failed, ipi, irq, irqs, lines,
    machine, mce, memory, nmi, pci, sources, storm, stray, timer, timers, tlb,
};
use crate::{Machine, hw, println};

/// All commands, in the order of `help`.
const COMMANDS: &[Command] = &[
    Command {
        name: "help",
        usage: "help [command]",
        help: "list the commands, or show how one is used",
        run: help,
    },
    Command {
        name: "idt",
        usage: "idt [vector]",
        help: "show the gates of the IDT, or all of one gate",
        run: gates::idt,
    },
    Command {
        name: "memory",
        usage: "memory",
        help: "show physical memory, the page tables, the heap and the stacks",
        run: memory::memory,
    },
    Command {
        name: "fault",
        usage: "fault <kind> [cpu]...",
        help: "make something go wrong on purpose; `fault list` shows what can",
        run: fault::fault,
    },
    Command {
        name: "cpus",
        usage: "cpus",
        help: "list the CPUs and the state they are in",
        run: machine::cpus,
    },
    Command {
        name: "madt",
        usage: "madt",
        help: "show every entry of the MADT, and what was wrong with it",
        run: machine::madt,
    },
    Command {
        name: "acpi",
        usage: "acpi",
        help: "list the ACPI tables",
        run: machine::acpi,
    },
    Command {
        name: "pci",
        usage: "pci [what]",
        help: "list the PCI functions, show one by its address, or let `edu`, `port`, `shared` or `virtio` interrupt",
        run: pci::pci,
    },
    Command {
        name: "apic",
        usage: "apic",
        help: "show the local APIC of this CPU and the I/O APICs",
        run: apic::apic,
    },
    Command {
        name: "lapic",
        usage: "lapic [cpu]",
        help: "show a CPU's local APIC, with what waits and what is in service",
        run: apic::lapic,
    },
    Command {
        name: "ioapic",
        usage: "ioapic",
        help: "show how the I/O APICs deliver each pin",
        run: lines::ioapic,
    },
    Command {
        name: "timer",
        usage: "timer",
        help: "show the clocks, and let the local APIC's timer interrupt",
        run: timer::timer,
    },
    Command {
        name: "timers",
        usage: "timers [what]",
        help: "list the timers of all CPUs, `wait <ms>` for one, or `test [seed]` many and check each",
        run: timers::timers,
    },
    Command {
        name: "irqs",
        usage: "irqs",
        help: "count the interrupts by vector and CPU, with their rate since the last time",
        run: irqs::irqs,
    },
    Command {
        name: "lines",
        usage: "lines [test [cpu]]",
        help: "show who owns which interrupt, or try every vector of a CPU",
        run: lines::lines,
    },
    Command {
        name: "sources",
        usage: "sources [what] [count] [cpu]",
        help: "let pit, rtc, hpet, keyboard, com2, virtio or all of them interrupt a CPU, and count both ends",
        run: sources::sources,
    },
    Command {
        name: "prio",
        usage: "prio [watch on|off|hold <what>]",
        help: "show priorities, nesting depths, stacks, and who holds interrupts back longest",
        run: irq::prio,
    },
    Command {
        name: "nest",
        usage: "nest",
        help: "let interrupts nest on all CPUs, and show the order they run in",
        run: irq::nest,
    },
    Command {
        name: "ipi",
        usage: "ipi",
        help: "let CPUs call each other, and compare what was sent with what came",
        run: ipi::ipi,
    },
    Command {
        name: "storm",
        usage: "storm [seconds] [seed]|unclaimed [cpu]|latched",
        help: "send interrupts of all kinds at once and see that each arrives once; or leave a line unanswered, or mask one that interrupts once",
        run: storm::storm,
    },
    Command {
        name: "tlb",
        usage: "tlb",
        help: "change mappings that all CPUs have cached, and see that none uses the old ones",
        run: tlb::tlb,
    },
    Command {
        name: "backtrace",
        usage: "backtrace <cpu>|all",
        help: "ask CPUs by NMI what they are doing",
        run: irq::backtrace,
    },
    Command {
        name: "nmi",
        usage: "nmi [nest|edge [cpu]]",
        help: "count the NMIs by CPU and cause, or let a second one come during the first",
        run: nmi::nmi,
    },
    Command {
        name: "stray",
        usage: "stray [ipi <vector> [cpu]|register]",
        help: "count the interrupts that nobody sent or answers, or make one",
        run: stray::stray,
    },
    Command {
        name: "mce",
        usage: "mce [every <seconds>|off]",
        help: "poll the machine-check banks of all CPUs now, or regularly, and count the corrected errors",
        run: mce::mce,
    },
    Command {
        name: "watchdog",
        usage: "watchdog on|off|show",
        help: "let CPUs watch each other for lockups, or show when each last ran what",
        run: irq::watchdog,
    },
    Command {
        name: "bench",
        usage: "bench [group ...] [clock=cycles|instructions] [samples=N] [json]",
        help: "measure what interrupts cost; `help bench` has the groups",
        run: bench::bench,
    },
    Command {
        name: "poweroff",
        usage: "poweroff [code]",
        help: "end QEMU with an exit status (default 0, or 1 if a command has failed)",
        run: poweroff,
    },
    Command {
        name: "reboot",
        usage: "reboot",
        help: "restart the machine",
        run: reboot,
    },
];

/// What `help` shows of a command beside its line.
const MORE: &[(&str, fn())] = &[("bench", bench::words)];

/// The command called `name`.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// The names of all commands.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|command| command.name)
}

/// Columns of a command's usage in the list; a longer one has a line to itself.
const USAGE_WIDTH: usize = 20;

fn help(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    if let Some(name) = arguments.next() {
        arguments.end()?;
        let command = find(name).ok_or_else(|| CommandError::Unknown(name.to_string()))?;
        println!("{}\n    {}", command.usage, command.help);
        let mut more = MORE.iter().filter(|more| more.0 == name);
        if let Some((_, show)) = more.next() {
            show();
        }
        return Ok(());
    }
    for command in COMMANDS {
        if command.usage.len() > USAGE_WIDTH {
            println!(
                "  {}\n  {:USAGE_WIDTH$} {}",
                command.usage, "", command.help
            );
        } else {
            println!("  {:USAGE_WIDTH$} {}", command.usage, command.help);
        }
    }
    println!(
        "Commands can be joined with `;`. Tab completes, the arrow keys recall earlier lines."
    );
    Ok(())
}

fn poweroff(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let status = arguments.number(u64::from(exit::MAX))?;
    arguments.end()?;
    let default = u8::from(has_failed());
    // `number` keeps it within 8 bits.
    hw::machine::power_off(status.map_or(default, |status| status as u8))
}

fn reboot(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    arguments.end()?;
    hw::machine::reset()
}

//! `memory`: physical memory, its mappings and its use.

use tocsin_logic::layout::{self, StackKind};
use tocsin_logic::memory_map::RegionKind;
use tocsin_logic::units::Bytes;

use crate::command::{Arguments, CommandError};
use tocsin::boot::image;
#[cfg(feature = "heap")]
use tocsin::memory::heap_usage;
use tocsin::memory::{frames, paging};
use tocsin::{Machine, cpu, println};

pub(super) fn memory(
    machine: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    arguments.end()?;
    println!("Physical memory, from {}:", machine.boot.loader);
    println!("  first               last                      size  kind");
    for region in &machine.boot.memory {
        let last = region.start + (region.length - 1);
        println!(
            "  {:#018x}  {last:#018x}  {:>10}  {}",
            region.start,
            Bytes(region.length),
            region.kind
        );
    }
    let total = |kind| machine.boot.memory.total(kind);
    println!(
        "  usable {}, of it held by the loader until the kernel ran: {}",
        Bytes(total(RegionKind::Usable) + total(RegionKind::BootReclaimable)),
        Bytes(total(RegionKind::BootReclaimable))
    );

    println!("Kernel image, at physical {:#x}:", machine.boot.image);
    for section in image::sections() {
        println!(
            "  {:#018x}  {:#018x}  {:>10}  {:<7} {:?}",
            section.range.start,
            section.range.end - 1,
            Bytes(section.range.end - section.range.start),
            section.name,
            section.access
        );
    }

    let audit = paging::audit();
    println!("Page tables, all of them walked:");
    println!("  read and execute       {:>10}", Bytes(audit.execute));
    println!("  read only              {:>10}", Bytes(audit.read));
    println!("  read and write         {:>10}", Bytes(audit.write));
    println!(
        "  write and execute      {:>10}",
        Bytes(audit.write_and_execute)
    );
    println!("  open to ring 3         {:>10}", Bytes(audit.user));
    println!("  null page              {:>10}", mapped(0));

    let (low, high) = frames::usage();
    println!("Allocators:                   total        used");
    for (name, usage) in [
        ("frames below 1 MiB", low),
        ("frames above 1 MiB", high),
        #[cfg(feature = "heap")]
        ("heap", heap_usage()),
    ] {
        println!(
            "  {name:<20}  {:>12} {:>11}",
            Bytes(usage.total),
            Bytes(usage.used)
        );
    }

    let cpu = cpu::current().id();
    println!("Stacks of CPU {cpu}:");
    for kind in StackKind::ALL {
        let range = layout::stack_range(cpu, kind);
        let guard = layout::guard_range(cpu, kind);
        println!(
            "  {:#018x}  {:#018x}  {:>10}  {:<13} guard page {}",
            range.start,
            range.end - 1,
            Bytes(range.end - range.start),
            kind.name(),
            mapped(guard.end - frames::FRAME)
        );
    }
    Ok(())
}

fn mapped(address: u64) -> &'static str {
    if paging::is_mapped(address) {
        "MAPPED"
    } else {
        "unmapped"
    }
}

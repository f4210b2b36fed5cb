//! `memory`: physical memory, its mappings and its use.

use alloc::string::String;
use core::fmt;
use core::ops::Range;

use serde::Serialize;
use tocsin_logic::layout::{self, StackKind};
use tocsin_logic::memory_map::{Region, RegionKind};
use tocsin_logic::units::Bytes;

use crate::command::{Arguments, CommandError};
use crate::record::{self, Output};
use tocsin::boot::image::{self, Access, Section};
#[cfg(feature = "heap")]
use tocsin::memory::heap_usage;
use tocsin::memory::{frames, paging};
use tocsin::{Machine, cpu, println};

/// The memory that the loader passed on, and the location of the kernel image.
#[derive(Serialize)]
struct MemoryRecord {
    loader: String,
    /// The bytes of usable memory, and of these, those that the loader used.
    usable: u64,
    boot_reclaimable: u64,
    /// The physical address of the image.
    image: u64,
}

impl MemoryRecord {
    fn of(machine: &Machine) -> Self {
        let total = |kind| machine.boot.memory.total(kind);
        let boot_reclaimable = total(RegionKind::BootReclaimable);
        Self {
            loader: alloc::format!("{}", machine.boot.loader),
            usable: total(RegionKind::Usable) + boot_reclaimable,
            boot_reclaimable,
            image: machine.boot.image,
        }
    }
}

/// A region of physical memory.
#[derive(Serialize)]
struct RegionRecord {
    range: Range<u64>,
    usage: &'static str,
    #[serde(skip)]
    region: Region,
}

impl RegionRecord {
    fn of(region: &Region) -> Self {
        Self {
            range: region.start..region.end(),
            usage: match region.kind {
                RegionKind::Usable => "usable",
                RegionKind::BootReclaimable => "boot_reclaimable",
                RegionKind::AcpiReclaimable => "acpi_reclaimable",
                RegionKind::Kernel => "kernel",
                RegionKind::Framebuffer => "framebuffer",
                RegionKind::AcpiNvs => "acpi_nvs",
                RegionKind::Reserved => "reserved",
                RegionKind::Bad => "bad",
            },
            region: *region,
        }
    }
}

impl fmt::Display for RegionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Region {
            start,
            length,
            kind,
        } = self.region;
        let last = start + (length - 1);
        let size = Bytes(length);
        write!(f, "  {start:#018x}  {last:#018x}  {size:>10}  {kind}")
    }
}

/// A section of the kernel image.
#[derive(Serialize)]
struct SectionRecord {
    name: &'static str,
    range: Range<u64>,
    access: &'static str,
}

impl SectionRecord {
    fn of(section: Section) -> Self {
        Self {
            name: section.name,
            range: section.range,
            access: match section.access {
                Access::Execute => "execute",
                Access::Read => "read",
                Access::Write => "write",
            },
        }
    }
}

impl fmt::Display for SectionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        row(f, &self.range)?;
        write!(f, "  {:<7} {}", self.name, self.access)
    }
}

/// The bytes that the page tables map, by access rights.
#[derive(Serialize)]
struct PageTablesRecord {
    execute: u64,
    read: u64,
    write: u64,
    write_and_execute: u64,
    user: u64,
    null_page_is_mapped: bool,
}

impl PageTablesRecord {
    fn now() -> Self {
        let audit = paging::audit();
        Self {
            execute: audit.execute,
            read: audit.read,
            write: audit.write,
            write_and_execute: audit.write_and_execute,
            user: audit.user,
            null_page_is_mapped: paging::is_mapped(0),
        }
    }
}

/// The bytes of an allocator.
#[derive(Serialize)]
struct AllocatorRecord {
    name: &'static str,
    total: u64,
    used: u64,
    #[serde(skip)]
    title: &'static str,
}

impl AllocatorRecord {
    fn of(name: &'static str, title: &'static str, usage: frames::Usage) -> Self {
        Self {
            name,
            total: usage.total,
            used: usage.used,
            title,
        }
    }
}

impl fmt::Display for AllocatorRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, used) = (Bytes(self.total), Bytes(self.used));
        write!(f, "  {:<20}  {total:>12} {used:>11}", self.title)
    }
}

/// A stack.
#[derive(Serialize)]
struct StackRecord {
    cpu: u32,
    stack: &'static str,
    range: Range<u64>,
    guard_is_mapped: bool,
    #[serde(skip)]
    kind: StackKind,
}

impl StackRecord {
    fn of(cpu: u32, kind: StackKind) -> Self {
        let guard = layout::guard_range(cpu, kind);
        Self {
            cpu,
            stack: match kind {
                StackKind::Thread => "thread",
                StackKind::Interrupt => "interrupt",
                StackKind::DoubleFault => "double_fault",
                StackKind::Nmi => "nmi",
                StackKind::MachineCheck => "machine_check",
                StackKind::Debug => "debug",
            },
            range: layout::stack_range(cpu, kind),
            guard_is_mapped: paging::is_mapped(guard.end - frames::FRAME),
            kind,
        }
    }
}

impl fmt::Display for StackRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        row(f, &self.range)?;
        let guard = mapped(self.guard_is_mapped);
        write!(f, "  {:<13} guard page {guard}", self.kind.name())
    }
}

pub(super) fn memory(
    machine: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    arguments.end()?;
    show_physical(machine, output);
    for section in image::sections() {
        output.print("section", &SectionRecord::of(section));
    }
    show_page_tables(&PageTablesRecord::now(), output);

    let (low, high) = frames::usage();
    output.heading("Allocators:                   total        used");
    for allocator in [
        AllocatorRecord::of("low_frames", "frames below 1 MiB", low),
        AllocatorRecord::of("high_frames", "frames above 1 MiB", high),
        #[cfg(feature = "heap")]
        AllocatorRecord::of("heap", "heap", heap_usage()),
    ] {
        output.print("allocator", &allocator);
    }

    let cpu = cpu::current().id();
    output.heading(&alloc::format!("Stacks of CPU {cpu}:"));
    for kind in StackKind::ALL {
        output.print("stack", &StackRecord::of(cpu, kind));
    }
    Ok(())
}

fn show_physical(machine: &Machine, output: Output) {
    let memory = MemoryRecord::of(machine);
    match output {
        Output::Text => {
            println!("Physical memory, from {}:", memory.loader);
            println!("  first               last                      size  kind");
        }
        Output::Records => record::print("memory", &memory),
    }
    for region in &machine.boot.memory {
        output.print("memory_region", &RegionRecord::of(region));
    }
    if output == Output::Text {
        println!(
            "  usable {}, of it held by the loader until the kernel ran: {}",
            Bytes(memory.usable),
            Bytes(memory.boot_reclaimable)
        );
        println!("Kernel image, at physical {:#x}:", memory.image);
    }
}

fn show_page_tables(tables: &PageTablesRecord, output: Output) {
    if output == Output::Records {
        return record::print("page_tables", tables);
    }
    println!("Page tables, all of them walked:");
    println!("  read and execute       {:>10}", Bytes(tables.execute));
    println!("  read only              {:>10}", Bytes(tables.read));
    println!("  read and write         {:>10}", Bytes(tables.write));
    println!(
        "  write and execute      {:>10}",
        Bytes(tables.write_and_execute)
    );
    println!("  open to ring 3         {:>10}", Bytes(tables.user));
    println!(
        "  null page              {:>10}",
        mapped(tables.null_page_is_mapped)
    );
}

/// The beginning of a row about virtual addresses.
fn row(f: &mut fmt::Formatter<'_>, range: &Range<u64>) -> fmt::Result {
    let (first, last) = (range.start, range.end - 1);
    let size = Bytes(range.end - range.start);
    write!(f, "  {first:#018x}  {last:#018x}  {size:>10}")
}

fn mapped(is_mapped: bool) -> &'static str {
    if is_mapped { "MAPPED" } else { "unmapped" }
}

//! Saves the ACPI tables that QEMU gives its machines, as data for the tests of
//! `tocsin-logic`: `cargo run -p tocsin-tools --example capture-acpi -- FOLDER`.
//!
//! Each machine boots the kernel, so that firmware is done with the tables, and is
//! paused when the kernel ends it. The tables are then read from the guest's
//! memory, by way of the root pointer.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use tocsin_logic::acpi::{Signature, root, rsdp, sdt};
use tocsin_tools::settings::{BootWay, Memory, Smp};
use tocsin_tools::{Machine, Session};

/// Enough for any of the machines; all of it is searched.
const MEMORY: &str = "256M";
/// For 288 CPUs to boot on a slow host.
const TIMEOUT: Duration = Duration::from_secs(180);
/// The tables that the tests read, besides the MADT.
const WANTED: [Signature; 3] = [Signature::FADT, Signature::HPET, Signature::MCFG];

/// A machine to capture: the name of its files, how it boots, and its arguments.
struct Case {
    name: &'static str,
    way: BootWay,
    board: &'static str,
    smp: &'static str,
    args: &'static [&'static str],
}

const fn direct(name: &'static str, board: &'static str, smp: &'static str) -> Case {
    Case {
        name,
        way: BootWay::Direct,
        board,
        smp,
        args: &[],
    }
}

/// QEMU puts the module into the last page of memory, where a microvm's firmware
/// has the tables. A small one leaves them alone.
const SMALL_MODULE: &[&str] = &[
    "-initrd",
    concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
];

const fn microvm(name: &'static str, smp: &'static str) -> Case {
    Case {
        args: SMALL_MODULE,
        ..direct(name, "microvm", smp)
    }
}

const IOMMU: &[&str] = &["-device", "intel-iommu,intremap=on,eim=on"];

const CASES: [Case; 13] = [
    direct("q35-1", "q35", "1"),
    direct("q35-4", "q35", "4"),
    direct("q35-6-sockets2-cores3", "q35", "6,sockets=2,cores=3"),
    direct("q35-2-maxcpus8", "q35", "2,maxcpus=8"),
    direct("q35-255", "q35", "255"),
    Case {
        args: IOMMU,
        ..direct("q35-288-iommu", "q35,kernel-irqchip=split", "288")
    },
    direct("pc-1", "pc", "1"),
    direct("pc-4", "pc", "4"),
    direct("pc-2-maxcpus8", "pc", "2,maxcpus=8"),
    microvm("microvm-1", "1"),
    microvm("microvm-4", "4"),
    Case {
        way: BootWay::LimineUefi,
        ..direct("ovmf-4", "q35", "4")
    },
    Case {
        way: BootWay::LimineUefi,
        ..direct("ovmf-6-sockets2-cores3", "q35", "6,sockets=2,cores=3")
    },
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args()
        .nth(1)
        .ok_or("give the folder to write to")?;
    for case in &CASES {
        capture(case, Path::new(&folder)).map_err(|e| format!("{}: {e}", case.name))?;
    }
    Ok(())
}

fn capture(case: &Case, folder: &Path) -> Result<(), Box<dyn Error>> {
    let machine = Machine::new(case.way)
        .board(case.board)
        .smp(Smp::parse(case.smp)?)
        .memory(Memory::parse(MEMORY)?)
        .args(case.args.iter().copied())
        .append("run=poweroff")
        .args(["-action", "shutdown=pause"]);
    let mut session = Session::start(&machine)?;
    // The command line on the CD is another one.
    if case.way != BootWay::Direct {
        session.wait_prompt(TIMEOUT)?;
        session.send_line("poweroff")?;
    }
    session.expect_event("SHUTDOWN", 1, TIMEOUT)?;
    let memory = session.physical_memory(0, Memory::parse(MEMORY)?.bytes())?;
    let (at, pointer) = find_rsdp(&memory).ok_or("no root pointer in memory")?;
    // The other tables do not depend on the CPUs.
    let all = case.smp == "4";
    let save = |name: &str, bytes: &[u8]| {
        let file = folder.join(format!("{}.{name}.bin", case.name));
        tocsin_tools::outln!("{}: {} bytes", file.display(), bytes.len());
        std::fs::write(file, bytes)
    };
    let size = if pointer.revision < 2 {
        rsdp::SIZE_V1
    } else {
        rsdp::SIZE_V2
    };
    let root = pointer.roots().next().ok_or("no root table is named")?;
    let root_bytes = table(&memory, root.address())?;
    if all {
        save("RSDP", &memory[at..at + size])?;
        save(&sdt::check(root_bytes)?.signature.to_string(), root_bytes)?;
    }
    for address in root::entries(root_bytes)?.addresses() {
        let bytes = table(&memory, address)?;
        let signature = sdt::check(bytes)?.signature;
        if signature == Signature::MADT || all && WANTED.contains(&signature) {
            save(&signature.to_string(), bytes)?;
        }
    }
    Ok(())
}

/// The sound root pointer of the highest revision, and its address. UEFI has two, of
/// which the second begins behind the 20 bytes of the first.
fn find_rsdp(memory: &[u8]) -> Option<(usize, rsdp::Rsdp)> {
    (0..memory.len())
        .step_by(4)
        .filter_map(|at| Some((at, rsdp::parse(&memory[at..]).ok()?)))
        .max_by_key(|(_, pointer)| pointer.revision)
}

/// The bytes of the table at this address.
fn table(memory: &[u8], address: u64) -> Result<&[u8], Box<dyn Error>> {
    let outside = || format!("a table at {address:#x}, outside the memory");
    let rest = usize::try_from(address)
        .ok()
        .and_then(|start| memory.get(start..))
        .ok_or_else(outside)?;
    let length = sdt::Header::parse(rest)?.length as usize;
    Ok(rest.get(..length).ok_or_else(outside)?)
}

//! The entry code: NMIs from the first instruction on, and machines that cannot run the kernel,
//! which the kernel must report in one line.

use libtest_mimic::Trial;
use tocsin_tests::symbols::Symbols;
use tocsin_tools::settings::{BootWay, GdbEndpoint, Memory};
use tocsin_tools::{Machine, Session};

use crate::gdb::Gdb;
use crate::{
    Result, STOPPED, TIMEOUT, ensure, ensure_eq, missing_limine, plain, power_off, trial,
    trial_unless, with,
};

/// The difference between the image's load address and its link address.
const KERNEL: u64 = 0xffff_ffff_8000_0000;

/// The points at which the PVH entry is stopped for an NMI: in 32-bit mode; in 64-bit mode at the
/// physical address; at the virtual address; in Rust.
const PVH_STOPS: [(&str, u64); 4] = [
    ("boot_check_processor", KERNEL),
    ("pvh_entry64", KERNEL),
    ("pvh_entry_high", 0),
    ("kernel_start", 0),
];

/// The same for the Limine entry.
const LIMINE_STOPS: [(&str, u64); 2] = [("boot_check_processor", 0), ("kernel_start", 0)];

/// Features that the kernel requires and a CPU may lack, with their names in QEMU and in the
/// kernel's message.
const LACKS: [(&str, &str); 5] = [
    ("sse2", "the processor lacks SSE2 (CPUID.01H:EDX bit 26)"),
    ("cmov", "the processor lacks CMOV (CPUID.01H:EDX bit 15)"),
    ("cx8", "the processor lacks CMPXCHG8B (CPUID.01H:EDX bit 8)"),
    ("msr", "the processor lacks MSR (CPUID.01H:EDX bit 5)"),
    ("lm", "this processor has no 64-bit mode"),
];

/// Offsets in the PVH start info (xen/include/public/arch-x86/hvm/start_info.h), the values written
/// there, and the expected message of the kernel.
const START_INFOS: [(&str, u64, u64, &str); 5] = [
    (
        "magic",
        0,
        0x1234_5678,
        "PVH start info begins with 0x12345678, not 0x336ec578",
    ),
    ("version", 0, 0x336e_c578, "the loader gave no memory map"),
    (
        "modules",
        16,
        u64::MAX - 5,
        "PVH start info: module list: address 0xfffffffffffffffa",
    ),
    (
        "command_line",
        24,
        1 << 40,
        "PVH start info: command line: address 0x10000000000",
    ),
    (
        "memory_map",
        40,
        0xffff_fff0,
        "PVH start info: memory map: address 0xfffffff0",
    ),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("entry::nmi::pvh", || nmis(plain(), &PVH_STOPS)),
        trial_unless(missing_limine, "entry::nmi::limine", || {
            nmis(plain().by(BootWay::Limine), &LIMINE_STOPS)
        }),
        trial("entry::nmi::many", nmi_many),
        trial("entry::memory_ends_in_the_image", || {
            refused(&small("3M")?, "the memory is too small")
        }),
        trial("entry::firmware_used_the_bss", || {
            with(&small("4M")?, |session| {
                session.wait_prompt(TIMEOUT)?;
                power_off(session)
            })
        }),
    ];
    trials.extend(LACKS.iter().map(|&(feature, message)| {
        trial(format!("entry::processor_without_{feature}"), move || {
            refused(&plain().cpu("qemu64").without_feature(feature), message)
        })
    }));
    trials.extend(START_INFOS.iter().map(|&(name, offset, value, message)| {
        trial(format!("entry::start_info::{name}"), move || {
            start_info(message, |gdb| {
                let address = gdb.register(1)?;
                gdb.write_physical(address + offset, value)
            })
        })
    }));
    for (name, address, message) in [
        ("nowhere", 0xfff_0000, "PVH start info begins with 0x"),
        (
            "at_the_end",
            0xffff_fff0,
            "PVH start info: start info: address 0xfffffff0",
        ),
    ] {
        trials.push(trial(format!("entry::start_info::{name}"), move || {
            start_info(message, |gdb| gdb.set_register(1, address))
        }));
    }
    trials
}

/// A machine with so little memory that QEMU would load a module over the kernel.
fn small(memory: &str) -> Result<Machine> {
    Ok(plain().memory(Memory::parse(memory)?).module(None))
}

/// Boots `machine`, stopped before its first instruction, with a debugger.
fn debugged(machine: Machine, test: impl FnOnce(&mut Session, &mut Gdb) -> Result) -> Result {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("gdb");
    let endpoint = GdbEndpoint::parse(&socket.to_string_lossy())?;
    with(&machine.stopped_for_gdb(endpoint), |session| {
        let mut gdb = Gdb::connect(&socket)?;
        test(session, &mut gdb)
    })
}

/// The address of a label of the image.
fn address(label: &str) -> Result<u64> {
    let symbols = Symbols::of_the_image()?;
    Ok(symbols.address(label).ok_or(format!("no {label}"))?)
}

/// An NMI at each of the stops is counted, and the kernel boots.
fn nmis(machine: Machine, stops: &[(&str, u64)]) -> Result {
    debugged(machine, |session, gdb| {
        for &(label, offset) in stops {
            gdb.run_to(address(label)? - offset)?;
            session.hmp("nmi")?;
        }
        gdb.expect("D", "OK")?;
        let log = session.wait_prompt(TIMEOUT)?;
        let reported = format!("warning: nmi: {} before the console was open", stops.len());
        ensure!(log.contains(&reported), "no {reported:?} in:\n{log}");
        power_off(session)
    })
}

/// Continuous NMIs from the kernel's first instruction in Rust until the prompt.
fn nmi_many() -> Result {
    for _ in 0..3 {
        debugged(plain(), |session, gdb| {
            gdb.run_to(address("kernel_start")?)?;
            session.hmp("nmi")?;
            gdb.expect("D", "OK")?;
            while !session
                .transcript()
                .text_from(0)
                .contains("tocsin: ready: ")
            {
                session.hmp("nmi")?;
            }
            session.wait_prompt(TIMEOUT)?;
            session.send_line("poweroff 9")?;
            session.expect_exit(tocsin_tools::Outcome::Kernel(9), TIMEOUT)?;
            Ok(())
        })?;
    }
    Ok(())
}

/// The kernel reports in one line with this text why it cannot run on `machine`, and stops.
fn refused(machine: &Machine, why: &str) -> Result {
    with(machine, |session| stopped(session, why))
}

fn stopped(session: &mut Session, why: &str) -> Result {
    session.expect_exit(STOPPED, TIMEOUT)?;
    let output = session.transcript().text_from(0);
    let lines: Vec<_> = output
        .lines()
        .filter(|line| line.contains("tocsin:"))
        .collect();
    ensure_eq!(lines.len(), 1, "lines of the kernel in:\n{output}");
    let expected = format!("tocsin: cannot start: {why}");
    ensure!(
        lines[0].contains(&expected),
        "no {expected:?} in:\n{output}"
    );
    ensure!(!output.contains("backtrace"), "it has faulted:\n{output}");
    Ok(())
}

/// Like [`refused`], after `change` has modified the data that the PVH loader passes.
fn start_info(why: &str, change: impl FnOnce(&mut Gdb) -> Result) -> Result {
    debugged(plain(), |session, gdb| {
        gdb.run_to(address("pvh_entry")? - KERNEL)?;
        change(gdb)?;
        gdb.expect("D", "OK")?;
        stopped(session, why)
    })
}

//! Unusual machines: registers configured by firmware, no local APIC, PCI buses that the MCFG
//! omits, and a COM1 that accepts no bytes.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::json;
use tocsin_logic::layout::DIRECT_MAP;
use tocsin_tests::firmware::entry::{interrupt_override, io_apic, nmi_source, raw};
use tocsin_tests::firmware::{Firmware, hpet, madt, mcfg};
use tocsin_tests::interrupt_records::Nmis;
use tocsin_tests::output;
use tocsin_tests::records;
use tocsin_tools::{Machine, Outcome, Session};

use super::cases::{ECAM, HPET, IO_APIC, cpus, good};
use super::loader::changed;
use crate::{
    Result, STOPPED, TIMEOUT, ensure, ensure_eq, machine, plain, power_off, power_off_failed,
    trial, with,
};

/// Addresses without a device on QEMU's q35.
const NOWHERE: u64 = 0xd000_0000;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("firmware::no_local_apic", no_local_apic),
        trial("firmware::smi_entry", smi_entry),
        trial("firmware::nmi_source", nmi_source_delivers),
        trial("firmware::mcfg_in_two_ranges", || {
            let second = ["-device", "pxb-pcie,bus_nr=100,id=p1", "-device"];
            let machine = machine(1)?.args(second);
            let machine = machine.args(["pcie-root-port,bus=p1,id=r1,chassis=1"]);
            let ranges = [(ECAM, 0, 31), (ECAM, 64, 255)];
            found_behind(machine, &ranges, "", "0000:65:00.0")
        }),
        trial("firmware::mcfg_with_too_few_buses", || {
            found_behind(root_port()?, &[(ECAM, 0, 0)], "", "0000:01:00.0")
        }),
        trial("firmware::mcfg_in_memory", || {
            let output = "buses 0 to 255 at 0x800000 cannot be in memory (usable) (ignored)";
            found_behind(root_port()?, &[(0x80_0000, 0, 255)], output, "0000:01:00.0")
        }),
        trial("firmware::mcfg_at_the_local_apics", || {
            let message = "cannot be in the registers of the ";
            found_behind(
                root_port()?,
                &[(0xfed0_0000, 0, 1)],
                message,
                "0000:01:00.0",
            )
        }),
        trial("firmware::mcfg_where_nothing_is", || {
            let output = "no device responds on any of its buses (ignored)";
            found_behind(root_port()?, &[(NOWHERE, 0, 7)], output, "0000:01:00.0")
        }),
        trial("firmware::rejected_mcfg_is_unmapped", rejected_mcfg),
        trial("firmware::com1_that_takes_nothing", stalled_console),
    ]
}

fn no_local_apic() -> Result {
    with(&plain().cpu("qemu64,-apic"), |session| {
        session.expect_exit(STOPPED, TIMEOUT)?;
        let printed = session.transcript().text_from(0);
        ensure!(
            printed.contains("cannot start: apic: the CPU has no local APIC"),
            "the kernel does not say that there is no local APIC"
        );
        Ok(())
    })
}

/// A machine with a port to bus 1.
fn root_port() -> Result<Machine> {
    Ok(machine(1)?.args(["-device", "pcie-root-port,id=r1,chassis=1"]))
}

/// With this MCFG, `pci` logs this warning, and finds this function behind the port `r1`.
fn found_behind(
    machine: Machine,
    ranges: &[(u64, u8, u8)],
    message: &str,
    function: &str,
) -> Result {
    let machine = machine.args(["-device", "virtio-rng-pci,bus=r1"]);
    let firmware = Firmware::new().table(good()).table(mcfg(ranges));
    let (_files, machine) = firmware.install(machine, "q35")?;
    with(&machine, |session| {
        session.wait_prompt(TIMEOUT)?;
        let reply = session.command("pci json", TIMEOUT)?;
        let warnings = output::of_level(&reply, "warning");
        ensure_eq!(warnings.len(), usize::from(!message.is_empty()), "warnings");
        ensure!(reply.contains(message), "no {message:?} in:\n{reply}");
        let found = json!({ "kind": "pci_function", "address": function, "vendor": 0x1af4 });
        ensure!(records::contain(&reply, &found)?, "no {found} in:\n{reply}");
        power_off(session)
    })
}

/// No page of an invalid configuration space range stays mapped; the pages of a valid one do.
fn rejected_mcfg() -> Result {
    let firmware = Firmware::new().table(good());
    // The second range would begin at bus 32, whose registers QEMU has.
    let ranges = [(ECAM, 0, 31), (NOWHERE - (32 << 20), 32, 39)];
    let (_files, machine) = firmware.table(mcfg(&ranges)).install(machine(2)?, "q35")?;
    with(&machine, |session| {
        session.wait_prompt(TIMEOUT)?;
        session.command("pci", TIMEOUT)?;
        let physical = |address| -> Result<String> {
            let printed = session.hmp(&format!("gva2gpa {:#x}", DIRECT_MAP + address))?;
            Ok(printed.trim().to_owned())
        };
        let mapped = format!("gpa: {ECAM:#x}");
        ensure_eq!(physical(ECAM)?, mapped, "configuration space");
        for bus in 32..40 {
            let page = NOWHERE + ((bus - 32) << 20);
            ensure_eq!(physical(page)?, "Unmapped", "bus {bus} at {page:#x}");
        }
        power_off(session)
    })
}

/// The pin of the RTC on QEMU's machines.
const RTC: u64 = 8;

/// A redirection entry that delivers SMIs keeps firmware's value, and no driver can claim it.
fn smi_entry() -> Result {
    let select = u64::from(IO_APIC);
    changed(
        machine(1)?,
        |gdb| {
            // The upper half, then the lower: edge, SMI, not masked.
            for (index, value) in [(0x11 + 2 * RTC, 0_u32), (0x10 + 2 * RTC, 0x200)] {
                gdb.write_physical_bytes(select, &(index as u32).to_le_bytes())?;
                gdb.write_physical_bytes(select + 0x10, &value.to_le_bytes())?;
            }
            Ok(())
        },
        |session| {
            session.wait_prompt(TIMEOUT)?;
            let reply = session.command("sources rtc 3", TIMEOUT)?;
            let words = "GSI 8 belongs to firmware (it delivers SMIs)";
            ensure!(reply.contains(words), "the RTC is used:\n{reply}");
            let reply = session.command("ioapic json", TIMEOUT)?;
            let entry = json!({
                "kind": "redirection_entry",
                "pin": RTC,
                "gsi": RTC,
                "delivery": "smi",
                "masked": false,
            });
            ensure!(
                records::contain(&reply, &entry)?,
                "the entry has changed:\n{reply}"
            );
            session.command("sources keyboard 3", TIMEOUT)?;
            power_off_failed(session)
        },
    )
}

/// A GSI that the MADT lists as an NMI source delivers NMIs. It is the keyboard's pin, and an
/// override assigns another one to its driver. The keyboard sends one byte, which is not read, so
/// there is one NMI.
fn nmi_source_delivers() -> Result {
    let mut entries = cpus(0..2);
    entries.extend([
        io_apic(0, IO_APIC, 0),
        interrupt_override(1, 20, 0),
        nmi_source(1, 0),
    ]);
    let firmware = Firmware::new().table(madt(&entries));
    let (_files, machine) = firmware.install(machine(2)?, "q35")?;
    with(&machine, |session| {
        let log = session.wait_prompt(TIMEOUT)?;
        ensure!(
            log.contains("ioapic: GSI 1 delivers NMI to CPU 0"),
            "the NMI source is not set up"
        );
        let reply = session.command("ioapic json", TIMEOUT)?;
        let entry = json!({ "kind": "redirection_entry", "pin": 1, "gsi": 1, "delivery": "nmi" });
        ensure!(records::contain(&reply, &entry)?, "no NMI entry:\n{reply}");
        let reply = session.command("sources keyboard 1", TIMEOUT)?;
        ensure!(
            reply.contains("NMI non-maskable interrupt"),
            "no NMI is reported:\n{reply}"
        );
        let nmis: Vec<Nmis> = records::all(&session.command("nmi json", TIMEOUT)?, "nmi")?;
        let unknown: Vec<_> = nmis.iter().map(|nmis| nmis.unknown).collect();
        ensure!(unknown[0] >= 1, "CPU 0 had no NMI: {nmis:?}");
        ensure_eq!(unknown[1..], [0], "NMIs of CPU 1");
        power_off_failed(session)
    })
}

/// The comparator of the HPET's first timer, which shows the test that a command has run.
fn comparator(session: &Session) -> Result<String> {
    Ok(session.hmp(&format!("xp /1gx {:#x}", HPET + 0x108))?)
}

/// Waits for a condition for which QEMU sends no event.
fn poll(mut is_over: impl FnMut() -> Result<bool>) -> Result {
    let start = Instant::now();
    while !is_over()? {
        ensure!(start.elapsed() < TIMEOUT, "nothing has come of it");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Output that COM1 does not accept is dropped after one wait, and later output reports that.
fn stalled_console() -> Result {
    // Linux's O_NONBLOCK.
    const NONBLOCKING: i32 = 0o4000;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("pipe");
    // QEMU reads from one pipe, and writes to the other until it is full.
    let ends = ["in", "out"].map(|end| path.with_extension(end));
    let status = Command::new("mkfifo").args(&ends).status()?;
    ensure!(status.success(), "mkfifo: {status}");
    let open = |end| {
        let mut options = File::options();
        options
            .read(true)
            .write(true)
            .custom_flags(NONBLOCKING)
            .open(end)
    };
    let (mut input, mut output) = (open(&ends[0])?, open(&ends[1])?);
    // Many entries, for a long output of `madt`.
    let mut entries = cpus(0..2);
    entries.push(io_apic(0, IO_APIC, 0));
    entries.extend((0..1000).map(|_| raw(0x80, 2, &[])));
    let firmware = Firmware::new().table(madt(&entries)).table(hpet(HPET));
    let (_files, machine) = firmware.install(machine(2)?, "q35")?;
    with(&machine, |session| {
        session.wait_prompt(TIMEOUT)?;
        let before = comparator(session)?;
        let change = format!("chardev-change com1 pipe,path={}", path.display());
        let reply = session.hmp(&change)?;
        ensure_eq!(reply.trim(), "", "{change}");
        // More than the capacity of a pipe, 64 KiB.
        let many = "madt; ".repeat(8);
        input.write_all(format!("{many}sources hpet 3\n").as_bytes())?;
        poll(|| Ok(comparator(session)? != before))?;
        // From now on the output is read again.
        let mut taken = Vec::new();
        input.write_all(b"cpus\n")?;
        poll(|| {
            let mut block = [0; 4096];
            match output.read(&mut block) {
                Ok(count) => taken.extend_from_slice(&block[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            let text = String::from_utf8_lossy(&taken);
            Ok(text.contains(" bytes were dropped"))
        })?;
        input.write_all(b"poweroff 9\n")?;
        session.expect_exit(Outcome::Kernel(9), TIMEOUT)?;
        Ok(())
    })
}

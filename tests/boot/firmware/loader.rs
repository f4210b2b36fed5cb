//! Errors in the data that the loader passes, the RSDP and the memory map, which are modified at
//! the kernel's entry.

use libtest_mimic::Trial;
use tocsin_tests::firmware::{Firmware, Xsdt};
use tocsin_tests::output::{self, Ready};
use tocsin_tools::settings::GdbEndpoint;
use tocsin_tools::{Machine, Session};

use super::cases::good;
use crate::gdb::Gdb;
use crate::{Result, STOPPED, TIMEOUT, ensure, ensure_eq, machine, power_off, trial, with};

pub fn trials() -> Vec<Trial> {
    let maps = [300, 1024].map(|regions| {
        trial(
            format!("firmware::memory_map_of_{regions}_regions"),
            move || memory_map(regions),
        )
    });
    let mut trials = vec![
        trial("firmware::no_memory_below_1_mib", no_low_memory),
        trial("firmware::memory_map_too_large", memory_map_too_large),
        trial("firmware::rsdp_of_4_gigabytes", || {
            let message = "RSDP: offset 0x14: the length field says 4294967295 bytes";
            wrong_extension(Xsdt::Empty, 20, &[0xff; 4], message)
        }),
        trial("firmware::rsdp_with_a_bad_extended_checksum", || {
            let message = "RSDP: bad checksum: its 36 bytes add up to 0x55";
            wrong_extension(Xsdt::Empty, 33, &[0x55], message)
        }),
        trial("firmware::xsdt_of_an_rsdp_with_a_bad_checksum", || {
            let message = "RSDP: bad checksum: its 36 bytes add up to 0x55";
            wrong_extension(Xsdt::Alone, 33, &[0x55], message)
        }),
    ];
    trials.extend(maps);
    trials
}

/// Boots `machine`; calls `change` at the kernel's first instruction.
pub fn changed(
    machine: Machine,
    change: impl FnOnce(&mut Gdb) -> Result,
    test: impl FnOnce(&mut Session) -> Result,
) -> Result {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("gdb");
    let machine = machine.stopped_for_gdb(GdbEndpoint::parse(&socket.to_string_lossy())?);
    with(&machine, |session| {
        let mut gdb = Gdb::connect(&socket)?;
        gdb.run_to_kernel()?;
        change(&mut gdb)?;
        gdb.expect("D", "OK")?;
        test(session)
    })
}

/// An RSDP whose extended part is invalid. The BIOS passes its own RSDP to the kernel, so bytes of
/// it are replaced after the BIOS has finished. All CPUs are found through the remaining root
/// table.
fn wrong_extension(xsdt: Xsdt, at: u64, bytes: &[u8], message: &str) -> Result {
    let firmware = Firmware::new().table(good()).xsdt(xsdt);
    let (_files, machine) = firmware.install(machine(4)?, "q35")?;
    changed(
        machine,
        |gdb| {
            let start_info = gdb.second_argument()?;
            let rsdp = word(&gdb.read_physical(start_info + RSDP, 8)?)?;
            ensure_eq!(gdb.read_physical(rsdp, 8)?, b"RSD PTR ", "the RSDP");
            gdb.write_physical_bytes(rsdp + at, bytes)
        },
        |session| {
            let log = session.wait_prompt(TIMEOUT)?;
            let ready = Ready::parse(&log)?;
            ensure_eq!((ready.online, ready.present), (4, 4), "CPUs");
            let warnings = output::of_level(&log, "warning");
            ensure!(
                warnings.iter().any(|warning| warning.contains(message)),
                "the kernel complains of {warnings:#?}, not of {message:?}"
            );
            power_off(session)
        },
    )
}

/// Offsets in `struct hvm_start_info` (Xen, arch-x86/hvm/start_info.h), and the size of an entry of
/// its memory map.
const RSDP: u64 = 32;
const MAP: u64 = 40;
const MAP_ENTRIES: u64 = 48;
const ENTRY: usize = 24;

/// Types of the BIOS call E820.
const USABLE: u32 = 1;
const RESERVED: u32 = 2;

/// An entry of the memory map: start, length, type.
type Entry = (u64, u64, u32);

fn word(bytes: &[u8]) -> Result<u64> {
    Ok(u64::from_le_bytes(bytes.try_into()?))
}

/// Replaces the kernel's memory map by the result of `change`.
fn change_map(gdb: &mut Gdb, change: impl FnOnce(&mut Vec<Entry>)) -> Result {
    // Memory that is free at the kernel's entry, far above the image.
    const PLACE: u64 = 0x0400_0000;
    let start_info = gdb.second_argument()?;
    let map = word(&gdb.read_physical(start_info + MAP, 8)?)?;
    let count = word(&gdb.read_physical(start_info + MAP_ENTRIES, 8)?)?;
    let mut entries = Vec::new();
    for index in 0..count {
        let entry = gdb.read_physical(map + index * ENTRY as u64, ENTRY)?;
        let kind = word(&entry[16..24])? as u32;
        entries.push((word(&entry[..8])?, word(&entry[8..16])?, kind));
    }
    change(&mut entries);
    let bytes: Vec<u8> = entries
        .iter()
        .flat_map(|&(start, length, kind)| [start, length, kind.into()])
        .flat_map(u64::to_le_bytes)
        .collect();
    gdb.write_physical_bytes(PLACE, &bytes)?;
    gdb.write_physical(start_info + MAP, PLACE)?;
    gdb.write_physical(start_info + MAP_ENTRIES, entries.len() as u64)
}

/// Without memory that real mode can address, no AP can be started.
fn no_low_memory() -> Result {
    let reserve = |entries: &mut Vec<Entry>| {
        for (_, _, kind) in entries.iter_mut().filter(|(start, ..)| *start < 1 << 20) {
            *kind = RESERVED;
        }
    };
    changed(
        machine(4)?,
        |gdb| change_map(gdb, reserve),
        |session| {
            let log = session.wait_prompt(TIMEOUT)?;
            let ready = Ready::parse(&log)?;
            ensure_eq!((ready.online, ready.present), (1, 4), "CPUs");
            let errors = output::of_level(&log, "error");
            ensure!(
                errors.len() == 1 && errors[0].contains("no memory below 1 MiB"),
                "the kernel complains of {errors:#?}"
            );
            let reply = session.command("cpus", TIMEOUT)?;
            ensure!(reply.contains("not started"), "`cpus` says:\n{reply}");
            session.command("sources keyboard 3", TIMEOUT)?;
            power_off(session)
        },
    )
}

/// Splits the largest usable region into `regions` more, every second of which is reserved, so that
/// no two merge.
fn split(entries: &mut Vec<Entry>, regions: u64) {
    const PIECE: u64 = 0x2000;
    let usable = entries.iter_mut().filter(|(.., kind)| *kind == USABLE);
    let largest = usable.max_by_key(|(_, length, _)| *length);
    if let Some((start, length, _)) = largest {
        *length -= regions * PIECE;
        let first = *start + *length;
        let kinds = [RESERVED, USABLE].into_iter().cycle();
        let pieces = (0..regions).zip(kinds);
        entries.extend(pieces.map(|(n, kind)| (first + n * PIECE, PIECE, kind)));
    }
}

fn memory_map(regions: u64) -> Result {
    changed(
        machine(4)?,
        |gdb| {
            change_map(gdb, |entries| {
                let more = regions - entries.len() as u64;
                split(entries, more);
            })
        },
        |session| {
            let log = session.wait_prompt(TIMEOUT)?;
            let ready = Ready::parse(&log)?;
            ensure_eq!((ready.online, ready.present), (4, 4), "CPUs");
            let (_, rest) = log.split_once(" usable in ").ok_or("no memory map")?;
            let count: u64 = rest.split(' ').next().unwrap_or_default().parse()?;
            // The image splits one region, and some of QEMU's regions merge.
            ensure!(count.abs_diff(regions) < 8, "{count} regions of {regions}");
            session.command("memory", TIMEOUT)?;
            power_off(session)
        },
    )
}

/// A map that is too large for the kernel is an error with that message.
fn memory_map_too_large() -> Result {
    changed(
        machine(1)?,
        |gdb| change_map(gdb, |entries| split(entries, 4000)),
        |session| {
            session.expect_exit(STOPPED, TIMEOUT)?;
            let output = session.transcript().text_from(0);
            ensure!(
                output.contains("cannot start: the memory map has more than 1280 regions"),
                "the kernel does not say that the map is too large"
            );
            Ok(())
        },
    )
}

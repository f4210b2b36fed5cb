//! The regression check of the benchmarks: two counts of one image are equal, and one additional
//! instruction on the path of every interrupt is detected.

use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use tocsin_tools::workspace;

use crate::{Result, ensure, ensure_eq, trial};

/// In x2APIC mode, the common target of the stubs of interrupts, and the first stub.
const ENTRY: &str = "entry_interrupt_x2apic";
const STUBS: &str = "entry_stubs_x2apic";

/// A vector's stub: PUSH RSI, MOV ESI, and a jump with a 32-bit displacement.
const PUSH: u8 = 0x56;
const MOVE: u8 = 0xbe;
const JUMP: u8 = 0xe9;
const STUB: usize = 11;
const NOP: u8 = 0x90;

/// What is counted.
const ONLY: &str = "self_ipi";

pub fn trials() -> Vec<Trial> {
    vec![trial("regression::one_more_instruction", || {
        let image = workspace().join("target/image/tocsin.elf");
        let files = tempfile::tempdir()?;
        let baseline = files.path().join("baseline.json");
        let worse = files.path().join("worse.elf");
        std::fs::write(&worse, planted(&std::fs::read(&image)?)?)?;

        let (accepted, printed) = run("accept", &baseline, &image)?;
        ensure!(accepted, "not accepted:\n{printed}");
        let first = std::fs::read_to_string(&baseline)?;
        let (passed, printed) = run("check", &baseline, &image)?;
        ensure!(
            passed && printed.contains(" passed"),
            "the same image is worse than itself:\n{printed}"
        );
        ensure!(
            !printed.contains("now"),
            "counted otherwise now:\n{printed}"
        );
        let (accepted, printed) = run("accept", &baseline, &image)?;
        ensure!(accepted, "not accepted:\n{printed}");
        ensure_eq!(
            std::fs::read_to_string(&baseline)?,
            first,
            "the baseline, counted again"
        );

        let (passed, printed) = run("check", &baseline, &worse)?;
        ensure!(!passed, "an instruction more passed:\n{printed}");
        let entry = printed
            .lines()
            .find(|line| line.starts_with("WORSE  self_ipi.round_trip tocsin (x2apic, 4 CPUs)"));
        let numbers: Vec<u64> = entry
            .ok_or_else(|| format!("no word of self_ipi.round_trip:\n{printed}"))?
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|word| word.parse().ok())
            .collect();
        // For x2apic: the number of CPUs, the baseline and the current value.
        ensure!(
            matches!(numbers[..], [2, 4, before, now] if now == before + 1),
            "not one instruction more: {entry:?}"
        );
        Ok(())
    })]
}

/// Runs the benchmarks' command; returns whether it succeeded, and its output.
fn run(command: &str, baseline: &Path, image: &Path) -> Result<(bool, String)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(workspace())
        .args(["run", "--quiet", "--package", "tocsin-benches", "--"])
        .args([command, "--only", ONLY])
        .arg("--baseline")
        .arg(baseline)
        .arg("--image")
        .arg(image)
        .output()?;
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    Ok((output.status.success(), printed))
}

/// The image with a NOP before the common entry, in the linker's padding, and with all stubs
/// jumping to it: one additional instruction for every interrupt, and no other difference.
fn planted(image: &[u8]) -> Result<Vec<u8>> {
    let elf = object::File::parse(image)?;
    let address = |name: &str| {
        let mut symbols = elf.symbols();
        let symbol = symbols.find(|symbol| symbol.name() == Ok(name));
        symbol
            .map(|symbol| symbol.address())
            .ok_or(format!("no symbol {name}"))
    };
    let (entry, stubs) = (address(ENTRY)?, address(STUBS)?);
    let section = elf
        .sections()
        .find(|section| (section.address()..section.address() + section.size()).contains(&entry))
        .ok_or("no section with the entry")?;
    let (begin, _) = section.file_range().ok_or("a section without bytes")?;
    let at = |address: u64| usize::try_from(begin + address - section.address());
    let mut changed = image.to_vec();
    let room = at(entry - 1)?;
    ensure!(
        // Also the last byte of a long NOP whose preceding bytes are zero.
        matches!(image[room], NOP | 0xcc | 0),
        "no room before {ENTRY}: {:#x}",
        image[room]
    );
    changed[room] = NOP;
    let mut jumps = 0;
    for stub in at(stubs)?..room - STUB {
        let bytes = &image[stub..stub + STUB];
        if (bytes[0], bytes[1], bytes[6]) != (PUSH, MOVE, JUMP) {
            continue;
        }
        let distance = i32::from_le_bytes(bytes[7..].try_into()?);
        let end = section.address() + (stub + STUB) as u64 - begin;
        if end.checked_add_signed(distance.into()) == Some(entry) {
            changed[stub + 7..stub + STUB].copy_from_slice(&(distance - 1).to_le_bytes());
            jumps += 1;
        }
    }
    ensure!(jumps > 200, "only {jumps} stubs jump to {ENTRY}");
    Ok(changed)
}

//! The CPUs from outside: shared state, per-CPU state, and idle CPUs that halt.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Instant;

use tocsin_tests::controllers::LocalApic;
use tocsin_tests::output::CpuRecord;
use tocsin_tests::processor::{Mode, Processor};
use tocsin_tools::Session;

use super::TIMEOUT;
use crate::outside::State;
use crate::{Result, ensure, ensure_eq};

/// Size of a 64-bit TSS, and offset of its IST (SDM vol. 3A, 9.7).
const TSS: u64 = 0x68;
const IST: usize = 36;

/// IST entries that the kernel's gates use, of 7.
const ISTS_IN_USE: usize = 4;

/// Number of stacks of a CPU, and their sizes: thread, interrupt, and one for each IST entry in
/// use.
const STACKS: [u64; 6] = [64 << 10, 48 << 10, 16 << 10, 16 << 10, 16 << 10, 16 << 10];

/// SVR: the software-enable bit, and the vector (SDM vol. 3A, 12.9).
const SVR: u64 = 0x1ff;

/// Checks all CPUs. `rows` are those of the kernel's table, in QEMU's order.
pub fn check(rows: &[CpuRecord], protections: &[String], session: &Session) -> Result {
    let online: Vec<_> = rows.iter().filter(|row| row.state == "online").collect();
    let processors = at_rest(&online, session)?;
    let there = rows.iter().filter(|row| row.state != "disabled").count();
    ensure_eq!(processors.len(), there, "CPUs by QEMU");
    let boot = &processors[0];
    let state = State::of_processor(session, boot.clone())?;
    state.check_control_registers(protections)?;
    state.check_rights()?;
    state.check_idt(session)?;

    let mut own = BTreeSet::new();
    for (row, processor) in online.iter().zip(&processors) {
        check_online(row, processor, boot, &state, session)
            .map_err(|e| format!("CPU {}: {e}", row.number))?;
        let bases = [processor.table("GDT")?.0, processor.segment("GS")?.base];
        for base in bases.into_iter().chain([processor.segment("TR")?.base]) {
            ensure!(
                own.insert(base),
                "CPU {} shares its GDT, TSS or per-CPU block at {base:#x}",
                row.number
            );
        }
    }
    let mut stacks: Vec<_> = online.iter().filter_map(|row| row.stacks.clone()).collect();
    stacks.sort_unstable_by_key(|stack| stack.start);
    let apart = stacks.windows(2).all(|pair| pair[0].end <= pair[1].start);
    ensure!(apart, "stacks of two CPUs overlap: {stacks:x?}");
    // The other CPUs have never run the kernel.
    for processor in &processors[online.len()..] {
        ensure!(
            processor.mode()? != Mode::Long,
            "CPU {} was left out, and runs",
            processor.index
        );
    }
    Ok(())
}

/// Waits until all online CPUs, except the boot CPU, have completed bring-up: they halt with
/// interrupts enabled, and mask none.
fn at_rest(online: &[&CpuRecord], session: &Session) -> Result<Vec<Processor>> {
    let start = Instant::now();
    loop {
        let all = Processor::all(session)?;
        let mut busy = None;
        for (row, processor) in online.iter().zip(&all).skip(1) {
            let tpr = LocalApic::of(session, row.apic_id)?.register("TPR")?;
            if !processor.halted || !processor.takes_interrupts()? || tpr != 0 {
                busy = Some((processor, tpr));
                break;
            }
        }
        let Some((processor, tpr)) = busy else {
            return Ok(all);
        };
        if start.elapsed() > TIMEOUT {
            return Err(format!("not at rest, TPR {tpr:#x}: {processor:x?}").into());
        }
    }
}

fn check_online(
    row: &CpuRecord,
    processor: &Processor,
    boot: &Processor,
    state: &State,
    session: &Session,
) -> Result {
    for name in ["CR0", "CR3", "CR4", "EFER"] {
        let (here, there) = (processor.register(name)?, boot.register(name)?);
        ensure_eq!(here, there, "{name}, compared with CPU 0's");
    }
    ensure_eq!(processor.table("IDT")?, boot.table("IDT")?, "IDTR");
    let stacks = row.stacks.clone().ok_or("the table shows no stacks")?;
    let found = check_stacks(&stacks, state)?;
    check_tables(processor, &found, state, session)?;
    let rsp = processor.register("RSP")?;
    let thread = stacks.start..stacks.start + STACKS[0];
    ensure!(
        thread.contains(&rsp),
        "RSP is {rsp:#x}, and its stack {thread:x?}"
    );

    let apic = LocalApic::of(session, row.apic_id)?;
    // The timer is that of the machine-check polling.
    ensure_eq!(
        apic.unmasked(),
        ["LVT1", "LVTERR", "LVTT"],
        "LVT entries in use"
    );
    ensure!(apic.delivers_nmi("LVT1")?, "LINT1 is no NMI: {apic:x?}");
    ensure_eq!(apic.register("SPIV")?, SVR, "SVR");
    ensure_eq!(apic.register("ESR")?, 0, "ESR");
    ensure!(!apic.in_service, "an interrupt is in service: {apic:x?}");
    Ok(())
}

/// The CPU's tables are not executable, and the IST entries in use are the tops of its exception
/// stacks, which follow those for threads and interrupts.
fn check_tables(
    processor: &Processor,
    stacks: &[Range<u64>],
    state: &State,
    session: &Session,
) -> Result {
    let task = processor.segment("TR")?;
    ensure_eq!(task.limit, TSS - 1, "limit of the TSS");
    let (gdt, limit) = processor.table("GDT")?;
    for address in [task.base, task.base + TSS - 1, gdt, gdt + limit] {
        let mapping = state.at(address).ok_or("GDT or TSS is not mapped")?;
        ensure!(!mapping.rights.execute, "GDT or TSS is code: {mapping:x?}");
    }
    let bytes = session.physical_memory(state.physical(task.base)?, TSS)?;
    let ist = bytes[IST..].as_chunks().0.iter().take(7);
    let ist: Vec<_> = ist.map(|entry| u64::from_le_bytes(*entry)).collect();
    let ends = stacks.iter().skip(STACKS.len() - ISTS_IN_USE);
    let mut expected: Vec<_> = ends.map(|stack| stack.end).collect();
    expected.resize(ist.len(), 0);
    ensure_eq!(ist, expected, "IST");
    Ok(())
}

/// Checks that there is the expected number of stacks between these bounds, with unmapped pages
/// between them and below the first; returns them in ascending order.
fn check_stacks(bounds: &Range<u64>, state: &State) -> Result<Vec<Range<u64>>> {
    let pages = (bounds.start - 4096..bounds.end).step_by(4096);
    let mut found: Vec<Range<u64>> = Vec::new();
    for page in pages {
        let Some(mapping) = state.at(page) else {
            continue;
        };
        ensure!(
            mapping.rights.write && !mapping.rights.execute,
            "a stack's page is of the wrong kind: {mapping:x?}"
        );
        match found.last_mut() {
            Some(stack) if stack.end == page => stack.end += 4096,
            _ => found.push(page..page + 4096),
        }
    }
    let sizes: Vec<_> = found.iter().map(|stack| stack.end - stack.start).collect();
    ensure_eq!(sizes, STACKS, "sizes of the stacks");
    ensure_eq!(found[0].start, bounds.start, "begin of the first stack");
    Ok(found)
}

//! State of the machine as read through QEMU: control registers, page tables and IDT, compared with
//! the kernel's output.

use std::ops::Range;

use libtest_mimic::Trial;
use serde_json::json;
use tocsin_tests::output::{GateRecord, RegionRecord, StackRecord};
use tocsin_tests::page_tables::{self, Mapping};
use tocsin_tests::processor::Processor;
use tocsin_tests::records;
use tocsin_tools::Session;
use tocsin_tools::settings::Memory;

use crate::{Result, TIMEOUT, ensure, ensure_eq, plain, trial, with};

/// CR0 and EFER (SDM vol. 3A, 2.5 and vol. 4, 2.1).
const CR0_WP: u64 = 1 << 16;
const EFER_NXE: u64 = 1 << 11;
const CR4_LA57: u64 = 1 << 12;

/// The CR4 bits of the protections that the kernel lists.
const CR4_BITS: [(&str, u64); 3] = [("UMIP", 1 << 11), ("SMEP", 1 << 20), ("SMAP", 1 << 21)];

/// Size of a gate, and number of gates of an IDT (SDM vol. 3A, 7.14.1).
const GATE: usize = 16;
const GATES: usize = 256;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("outside::idt_command_shows_the_gates", || {
            with(&plain(), idt_command)
        }),
        trial("outside::memory_command_shows_the_rights", || {
            with(&plain(), memory_command)
        }),
    ]
}

/// A CPU of a machine at its prompt, and its page tables, read through QEMU.
pub struct State {
    processor: Processor,
    mappings: Vec<Mapping>,
}

/// A gate of an IDT in long mode.
#[derive(Debug, PartialEq, Eq)]
struct Gate {
    present: bool,
    kind: u8,
    dpl: u8,
    ist: u8,
    selector: u16,
    entry: u64,
}

impl Gate {
    fn read(bytes: &[u8; GATE]) -> Self {
        let word = |at: usize| u64::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        Self {
            present: bytes[5] & 0x80 != 0,
            kind: bytes[5] & 0x0f,
            dpl: bytes[5] >> 5 & 3,
            ist: bytes[4] & 7,
            selector: word(2) as u16,
            entry: word(0) | word(6) << 16 | word(8) << 32 | word(10) << 48,
        }
    }
}

impl State {
    /// Reads the state of CPU 0.
    pub fn of(session: &Session) -> Result<Self> {
        Self::of_processor(session, Processor::all(session)?.swap_remove(0))
    }

    /// The state of this CPU.
    pub fn of_processor(session: &Session, processor: Processor) -> Result<Self> {
        let cr4 = processor.register("CR4")?;
        ensure_eq!(
            cr4 & CR4_LA57,
            0,
            "CR4.LA57; the page tables are read as four levels"
        );
        let mappings = page_tables::walk(session, processor.register("CR3")?)?;
        Ok(Self {
            processor,
            mappings,
        })
    }

    /// Address of the IDT's first and last byte.
    fn idt(&self) -> Result<(u64, u64)> {
        let (base, limit) = self.processor.table("IDT")?;
        Ok((base, base + limit))
    }

    /// All protections of the CPU are enabled, and the kernel lists no others.
    pub fn check_control_registers(&self, protections: &[String]) -> Result {
        let has = |name: &str| protections.iter().any(|protection| protection == name);
        let register = |name| self.processor.register(name);
        let (cr0, cr4, efer) = (register("CR0")?, register("CR4")?, register("EFER")?);
        ensure!(cr0 & CR0_WP != 0, "CR0.WP is off: {cr0:#x}");
        ensure_eq!(efer & EFER_NXE != 0, has("NX"), "EFER.NXE");
        for (name, bit) in CR4_BITS {
            ensure_eq!(cr4 & bit != 0, has(name), "CR4.{name}");
        }
        Ok(())
    }

    /// No page is writable and executable, no page is accessible from ring 3, address 0 is not
    /// mapped, and executable memory and the IDT have no writable alias.
    pub fn check_rights(&self) -> Result {
        ensure!(self.at(0).is_none(), "address 0 is mapped");
        for mapping in &self.mappings {
            let rights = mapping.rights;
            ensure!(
                !(rights.write && rights.execute),
                "writable and executable: {mapping:x?}"
            );
            ensure!(!rights.user, "open to ring 3: {mapping:x?}");
        }
        let executable = self
            .mappings
            .iter()
            .filter(|mapping| mapping.rights.execute);
        let mut guarded: Vec<_> = executable
            .map(|m| m.physical..m.physical + m.size)
            .collect();
        ensure!(!guarded.is_empty(), "nothing is executable");
        let (first, last) = self.idt()?;
        guarded.push(self.physical(first)?..self.physical(last)? + 1);
        for range in guarded {
            let alias = self.mappings.iter().find(|mapping| {
                let end = mapping.physical + mapping.size;
                mapping.rights.write && mapping.physical < range.end && range.start < end
            });
            ensure!(
                alias.is_none(),
                "{range:x?} is code or the IDT, and writable by {alias:x?}"
            );
        }
        Ok(())
    }

    /// The IDT is in one read-only mapping, and all its gates have the designed values.
    pub fn check_idt(&self, session: &Session) -> Result {
        let (base, last) = self.idt()?;
        ensure_eq!(last - base + 1, (GATE * GATES) as u64, "size of the IDT");
        for address in [base, last] {
            let mapping = self.at(address).ok_or("the IDT is not mapped")?;
            ensure!(
                !mapping.rights.write,
                "the IDT is writable at {address:#x}: {mapping:x?}"
            );
        }
        for (vector, gate) in self.gates(session)?.iter().enumerate() {
            ensure!(gate.present, "gate {vector} is not present");
            // SDM vol. 3A, table 3-2: 14 is a 64-bit interrupt gate.
            ensure_eq!(gate.kind, 14, "type of gate {vector}");
            ensure_eq!(
                gate.dpl,
                if vector == 3 { 3 } else { 0 },
                "DPL of gate {vector}"
            );
            let own_stack = matches!(vector, 1 | 2 | 8 | 18);
            ensure_eq!(gate.ist != 0, own_stack, "IST of gate {vector}");
            let entry = self
                .at(gate.entry)
                .ok_or(format!("gate {vector} leads nowhere"))?;
            ensure!(
                entry.rights.execute,
                "gate {vector} leads to data: {:#x}",
                gate.entry
            );
        }
        Ok(())
    }

    /// The page below every stack in the records of `memory` is unmapped, and the whole stack is
    /// mapped.
    pub fn check_stacks(&self, memory: &str) -> Result {
        let stacks = stacks(memory)?;
        ensure!(
            stacks.len() >= 6,
            "`memory` shows {} stacks: {stacks:x?}",
            stacks.len()
        );
        for (name, stack) in stacks {
            ensure!(
                self.at(stack.start - 1).is_none(),
                "no guard page below the {name} stack"
            );
            for address in stack.step_by(4096) {
                let mapping = self
                    .at(address)
                    .ok_or(format!("hole in the {name} stack"))?;
                ensure!(
                    mapping.rights.write,
                    "the {name} stack is read-only at {address:#x}"
                );
            }
        }
        Ok(())
    }

    /// The mapping that holds `address`.
    pub fn at(&self, address: u64) -> Option<&Mapping> {
        self.mappings
            .iter()
            .find(|mapping| mapping.contains(address))
    }

    /// The mapping of `address`.
    pub fn physical(&self, address: u64) -> Result<u64> {
        let mapping = self
            .at(address)
            .ok_or(format!("{address:#x} is not mapped"))?;
        Ok(mapping.physical + (address - mapping.start))
    }

    fn gates(&self, session: &Session) -> Result<Vec<Gate>> {
        let bytes =
            session.physical_memory(self.physical(self.idt()?.0)?, (GATE * GATES) as u64)?;
        Ok(bytes.as_chunks().0.iter().map(Gate::read).collect())
    }

    fn bytes_where(&self, rights: impl Fn(&Mapping) -> bool) -> u64 {
        self.mappings
            .iter()
            .filter(|mapping| rights(mapping))
            .map(|mapping| mapping.size)
            .sum()
    }
}

/// Number of bytes that `memory` lists as usable or as the kernel's own.
pub fn usable_bytes(memory: &str) -> Result<u64> {
    let mut regions: Vec<RegionRecord> = records::all(memory, "memory_region")?;
    regions.retain(|region| matches!(region.usage.as_str(), "usable" | "kernel"));
    let bytes: u64 = regions
        .iter()
        .map(|region| region.range.end - region.range.start)
        .sum();
    ensure!(bytes > 0, "`memory` shows no usable memory");
    Ok(bytes)
}

/// Names and addresses of the stacks that `memory` lists, whose guard pages are not mapped.
pub fn stacks(memory: &str) -> Result<Vec<(String, Range<u64>)>> {
    let stacks: Vec<StackRecord> = records::all(memory, "stack")?;
    for stack in &stacks {
        ensure!(
            !stack.guard_is_mapped,
            "the guard page is mapped: {stack:x?}"
        );
    }
    let stacks = stacks.into_iter().map(|stack| (stack.stack, stack.range));
    Ok(stacks.collect())
}

fn idt_command(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let reply = session.command("idt json", TIMEOUT)?;
    let state = State::of(session)?;
    let gates = state.gates(session)?;
    let base = state.idt()?.0;
    let head = json!({
        "kind": "idt", "base": base, "limit": 0xfff, "gates": 256, "is_writable": false,
    });
    ensure!(records::contain(&reply, &head)?, "no {head} in:\n{reply}");
    let reported: Vec<GateRecord> = records::all(&reply, "gate")?;
    let there = gates.iter().enumerate().map(|(vector, gate)| GateRecord {
        vector: vector as u8,
        address: base + (vector * GATE) as u64,
        r#type: "interrupt".to_owned(),
        dpl: gate.dpl,
        ist: gate.ist,
        selector: gate.selector,
        entry: gate.entry,
    });
    let there: Vec<_> = there.collect();
    ensure_eq!(reported, there, "gates");
    for vector in [0, 3, 8, 14, 32, 255] {
        let reply = session.command(&format!("idt {vector} json"), TIMEOUT)?;
        let gate: GateRecord = records::one(&reply, "gate")?;
        ensure_eq!(gate, there[vector], "gate {vector}");
    }
    Ok(())
}

fn memory_command(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let reply = session.command("memory json", TIMEOUT)?;
    let state = State::of(session)?;
    let rights =
        |write, execute| move |m: &Mapping| (m.rights.write, m.rights.execute) == (write, execute);
    let tables = json!({
        "kind": "page_tables",
        "execute": state.bytes_where(rights(false, true)),
        "read": state.bytes_where(rights(false, false)),
        "write": state.bytes_where(rights(true, false)),
        "write_and_execute": state.bytes_where(rights(true, true)),
        "user": state.bytes_where(|mapping| mapping.rights.user),
        "null_page_is_mapped": state.at(0).is_some(),
    });
    ensure!(
        records::contain(&reply, &tables)?,
        "no {tables} in:\n{reply}"
    );
    let there = Memory::default().bytes();
    ensure!(
        usable_bytes(&reply)? > there / 10 * 9,
        "memory is missing\n{reply}"
    );
    Ok(())
}

//! Tests of the lookup sequence, check by check.

use super::super::{Gate16, Gate32, Gate64, GateKind, TaskGate};
use super::{Fault, Idt, Mode, Source, Target, lookup};
use crate::error_code::{PageFaultErrorCode, SelectorErrorCode};
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

const BASE: u64 = 0x10_0000;
const SOURCES: [Source; 5] = [
    Source::Hardware,
    Source::Software { cpl: 0 },
    Source::Software { cpl: 1 },
    Source::Software { cpl: 2 },
    Source::Software { cpl: 3 },
];

/// Looks up a vector in a full table that has `entry` at every vector.
fn look_up(mode: Mode, entry: &[u8], vector: u8, source: Source) -> Result<Target, Fault> {
    let limit = (256 * mode.entry_size() - 1) as u16;
    let table = idt(mode, BASE, limit);
    lookup(table, vector, source, |address, buffer| {
        assert_eq!(address, BASE + u64::from(vector) * mode.entry_size());
        buffer.copy_from_slice(entry);
        true
    })
}

fn long(gate: Gate64, vector: u8, source: Source) -> Result<Target, Fault> {
    look_up(Mode::Long, &gate.encode().to_le_bytes(), vector, source)
}

fn protected(gate: u64, vector: u8, source: Source) -> Result<Target, Fault> {
    look_up(Mode::Protected, &gate.to_le_bytes(), vector, source)
}

fn gp(code: u32) -> Result<Target, Fault> {
    Err(Fault::GeneralProtection(Some(SelectorErrorCode(code))))
}

fn np(code: u32) -> Result<Target, Fault> {
    Err(Fault::NotPresent(SelectorErrorCode(code)))
}

fn idt(mode: Mode, base: u64, limit: u16) -> Idt {
    Idt { mode, base, limit }
}

fn handler(selector: u16, offset: u64, kind: GateKind, ist: u8) -> Target {
    Target::Handler {
        selector,
        offset,
        kind,
        ist,
    }
}

/// `vector * 8 + 2 + EXT`.
fn code(vector: u8, source: Source) -> u32 {
    u32::from(vector) * 8 + 2 + u32::from(source == Source::Hardware)
}

const GATE_32: Gate32 = Gate32 {
    offset: 0x1234_5678,
    selector: 8,
    dpl: 0,
    kind: GateKind::Interrupt,
    present: true,
};

#[test]
fn a_valid_gate_selects_its_handler() {
    let gate = Gate64::interrupt(0xffff_ffff_8020_1000, 8)
        .with_ist(1)
        .unwrap();
    let target = handler(8, 0xffff_ffff_8020_1000, GateKind::Interrupt, 1);
    assert_eq!(long(gate, 8, Source::Hardware), Ok(target));
    let target = handler(8, 0x1234_5678, GateKind::Interrupt, 0);
    assert_eq!(
        protected(GATE_32.encode(), 0x80, Source::Hardware),
        Ok(target)
    );
    let gate = Gate16 {
        offset: 0xabcd,
        selector: 16,
        dpl: 0,
        kind: GateKind::Trap,
        present: true,
    };
    let target = handler(16, 0xabcd, GateKind::Trap, 0);
    assert_eq!(protected(gate.encode(), 3, Source::Hardware), Ok(target));
    let gate = TaskGate {
        selector: 0x28,
        dpl: 0,
        present: true,
    };
    let target = Target::Task { selector: 0x28 };
    assert_eq!(protected(gate.encode(), 8, Source::Hardware), Ok(target));
}

/// All DPLs with all sources, for every vector.
#[test]
fn dpl_only_counts_for_software() {
    for vector in 0..=255 {
        for (dpl, source) in (0..=3).flat_map(|dpl| SOURCES.map(|source| (dpl, source))) {
            let allowed = match source {
                Source::Hardware => true,
                Source::Software { cpl } => dpl >= cpl,
            };
            let gate = Gate64::interrupt(0x1000, 8).with_dpl(dpl).unwrap();
            let outcome = long(gate, vector, source);
            assert_eq!(outcome.is_ok(), allowed);
            if !allowed {
                assert_eq!(outcome, gp(u32::from(vector) * 8 + 2));
            }
            let outcome = protected(Gate32 { dpl, ..GATE_32 }.encode(), vector, source);
            assert_eq!(outcome.is_ok(), allowed);
        }
    }
}

#[test]
fn a_gate_that_is_not_present_raises_np() {
    for source in SOURCES {
        let gate = Gate64 {
            present: false,
            dpl: 3,
            ..Gate64::interrupt(0x1000, 8)
        };
        assert_eq!(long(gate, 0x21, source), np(code(0x21, source)));
        let gate = Gate32 {
            present: false,
            dpl: 3,
            ..GATE_32
        };
        assert_eq!(
            protected(gate.encode(), 0x21, source),
            np(code(0x21, source))
        );
    }
}

#[test]
fn checks_come_in_the_order_type_dpl_presence_selector_offset() {
    let user = Source::Software { cpl: 3 };
    let worst = Gate64 {
        offset: 1 << 47,
        selector: 0,
        present: false,
        ..Gate64::interrupt(0, 0)
    };
    // Every field is invalid, including the type: an empty entry causes #GP, not #NP.
    assert_eq!(look_up(Mode::Long, &[0; 16], 5, user), gp(5 * 8 + 2));
    assert_eq!(look_up(Mode::Protected, &[0; 8], 5, user), gp(5 * 8 + 2));
    assert_eq!(long(worst, 5, user), gp(5 * 8 + 2));
    let gate = Gate64 { dpl: 3, ..worst };
    assert_eq!(long(gate, 5, user), np(5 * 8 + 2));
    let gate = Gate64 {
        present: true,
        ..gate
    };
    assert_eq!(long(gate, 5, user), gp(0));
    assert_eq!(long(gate, 5, Source::Hardware), gp(1));
    let gate = Gate64 {
        selector: 8,
        ..gate
    };
    assert_eq!(long(gate, 5, user), gp(0));
    assert_eq!(long(gate, 5, Source::Hardware), gp(1));
    let gate = Gate64 { offset: 0, ..gate };
    assert!(long(gate, 5, user).is_ok());
}

#[test]
fn a_null_selector_is_null_with_any_rpl() {
    for rpl in 0..=3 {
        assert_eq!(
            long(Gate64::interrupt(0x1000, rpl), 9, Source::Hardware),
            gp(1)
        );
        let gate = Gate32 {
            selector: rpl,
            ..GATE_32
        };
        assert_eq!(
            protected(gate.encode(), 9, Source::Software { cpl: 0 }),
            gp(0)
        );
    }
}

/// Types 5, 6 and 7 are gates of protected mode only.
#[test]
fn long_mode_has_64_bit_gates_only() {
    for bits in 0..32_u8 {
        let mut entry = Gate64::interrupt(0x1000, 8).encode().to_le_bytes();
        entry[5] = entry[5] & 0xe0 | bits;
        let outcome = look_up(Mode::Long, &entry, 7, Source::Hardware);
        assert_eq!(
            outcome.is_ok(),
            [0xe, 0xf].contains(&bits),
            "type {bits:#x}"
        );
        let outcome = look_up(Mode::Protected, &entry[..8], 7, Source::Hardware);
        assert_eq!(
            outcome.is_ok(),
            [5, 6, 7, 0xe, 0xf].contains(&bits),
            "type {bits:#x}"
        );
    }
}

#[test]
fn reserved_bits_do_not_stop_the_cpu() {
    let bits = Gate64::interrupt(0x1000, 8).encode() | 0x1f << 35 | 0xffff_ffff << 96;
    assert!(Gate64::decode(bits).is_err());
    assert!(look_up(Mode::Long, &bits.to_le_bytes(), 7, Source::Hardware).is_ok());
    let task = TaskGate {
        selector: 0x28,
        dpl: 0,
        present: true,
    }
    .encode()
        | 0xffff;
    assert!(protected(task, 7, Source::Hardware).is_ok());
}

#[test]
fn the_tss_of_a_task_gate_is_in_the_gdt() {
    for (selector, error) in [(0x2c, 0x2d), (0x2f, 0x2d), (0, 1), (3, 1)] {
        let gate = TaskGate {
            selector,
            dpl: 0,
            present: true,
        };
        assert_eq!(protected(gate.encode(), 8, Source::Hardware), gp(error));
    }
}

/// All relevant limits, for every vector and mode.
#[test]
fn the_limit_counts_to_the_last_byte_of_the_entry() {
    for mode in [Mode::Real, Mode::Protected, Mode::Long] {
        for vector in 0..=255 {
            let last = (u64::from(vector) + 1) * mode.entry_size() - 1;
            for (limit, inside) in [(last, true), (last - 1, false)] {
                let table = idt(mode, BASE, limit as u16);
                let outcome = lookup(table, vector, Source::Hardware, |_, buffer| {
                    assert!(inside, "vector {vector} was read beyond the limit {limit}");
                    buffer.fill(0xff);
                    true
                });
                match (mode, inside) {
                    (Mode::Real, true) => assert!(outcome.is_ok()),
                    (Mode::Real, false) => {
                        assert_eq!(outcome, Err(Fault::GeneralProtection(None)));
                    }
                    // 0xff is not a gate type (S is set), so this is #GP in either case.
                    (_, _) => assert_eq!(outcome, gp(code(vector, Source::Hardware))),
                }
            }
        }
    }
}

#[test]
fn real_mode_takes_any_pointer() {
    let outcome = look_up(
        Mode::Real,
        &[0x14, 0, 0, 0xc0],
        0x10,
        Source::Software { cpl: 0 },
    );
    let target = handler(0xc000, 0x14, GateKind::Interrupt, 0);
    assert_eq!(outcome, Ok(target));
    // Unmapped memory: the read returns all ones, and the CPU uses them as the handler's address.
    let table = idt(Mode::Real, 0, 0x3ff);
    let outcome = lookup(table, 0x10, Source::Hardware, |_, _| false);
    let target = handler(0xffff, 0xffff, GateKind::Interrupt, 0);
    assert_eq!(outcome, Ok(target));
}

#[test]
fn an_unmapped_table_is_a_page_fault() {
    for (mode, address) in [(Mode::Protected, BASE + 0x70), (Mode::Long, BASE + 0xe0)] {
        let table = idt(mode, BASE, 0xfff);
        let outcome = lookup(table, 14, Source::Software { cpl: 3 }, |_, _| false);
        // A supervisor access even from ring 3 (SDM vol. 3A, 5.6.1).
        let error_code = PageFaultErrorCode(0);
        assert_eq!(
            outcome,
            Err(Fault::PageFault {
                address,
                error_code
            })
        );
    }
}

#[test]
fn addresses_of_entries_wrap_as_the_mode_does() {
    let table = idt(Mode::Protected, 0xffff_fff8, 0x7ff);
    assert_eq!(table.entry(2), 8);
    // In long mode the table must not extend into the non-canonical range.
    for base in [
        0x0000_7fff_ffff_fff8,
        0x0000_7fff_ffff_fff1,
        0xffff_7fff_ffff_fff0,
    ] {
        let table = idt(Mode::Long, base, 0xfff);
        let outcome = lookup(table, 0, Source::Hardware, |_, _| panic!("no such address"));
        assert_eq!(outcome, gp(3), "{base:#x}");
    }
    let table = idt(Mode::Long, 0x0000_7fff_ffff_fff0, 0xfff);
    assert_eq!(
        lookup(table, 1, Source::Hardware, |_, _| panic!("no such address")),
        gp(11)
    );
}

#[test]
fn faults_have_vectors_codes_and_words() {
    let page_fault = Fault::PageFault {
        address: 0x1000,
        error_code: PageFaultErrorCode(0),
    };
    for (fault, vector, error_code, text) in [
        (Fault::GeneralProtection(None), 13, None, "#GP"),
        (
            gp(0x10b).unwrap_err(),
            13,
            Some(0x10b),
            "#GP(0x010b: IDT vector 0x21, external)",
        ),
        (
            np(0x10a).unwrap_err(),
            11,
            Some(0x10a),
            "#NP(0x010a: IDT vector 0x21)",
        ),
        (
            page_fault,
            14,
            Some(0),
            "#PF(0x0000: page not present, read, supervisor, data) at 0x1000",
        ),
    ] {
        assert_eq!(fault.vector(), vector);
        assert_eq!(fault.error_code(), error_code);
        assert_eq!(fault.to_string(), text);
    }
}

proptest! {
    /// For any table, the result is the handler in the entry, or a fault whose error code names the
    /// vector, the selector or neither.
    #[test]
    fn any_bytes_give_a_consistent_result(
        bytes: [u8; 16], vector: u8, cpl in 0_u8..5, mode in 0_usize..3, limit: u16,
    ) {
        let mode = [Mode::Real, Mode::Protected, Mode::Long][mode];
        let source = if cpl == 4 { Source::Hardware } else { Source::Software { cpl } };
        let table = idt(mode, BASE, limit);
        let outcome = lookup(table, vector, source, |_, buffer| {
            buffer.copy_from_slice(&bytes[..buffer.len()]);
            true
        });
        let ext = u32::from(source == Source::Hardware);
        match outcome {
            Ok(Target::Handler { offset, .. }) => {
                prop_assert!(table.contains(vector));
                let width = [16, 32, 64][match mode { Mode::Real => 0, Mode::Protected => 1, Mode::Long => 2 }];
                prop_assert!(width == 64 || offset >> width == 0);
            }
            Ok(Target::Task { selector }) => {
                prop_assert_eq!(mode, Mode::Protected);
                prop_assert_eq!(selector & 4, 0);
            }
            Err(fault) => {
                let selector = u16::from_le_bytes([bytes[2], bytes[3]]);
                let possible: Vec<Option<u32>> = [
                    None,
                    Some(u32::from(vector) * 8 + 2 + ext),
                    Some(ext),
                    Some(u32::from(selector & 0xfffc) + ext),
                ].into();
                prop_assert!(possible.contains(&fault.error_code()));
                prop_assert_eq!(fault.error_code().is_none(), mode == Mode::Real);
            }
        }
    }
}

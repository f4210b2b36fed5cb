//! I/O APICs, overrides, GSIs.

use super::{kinds, read, sound};
use crate::acpi::Gsi;
use crate::acpi::build::Table;
use crate::acpi::madt::InterruptFlags;
use crate::apic::{Polarity, Trigger};
use crate::topology::{Input, MAX_IO_APICS, Problem, ProblemKind, Problems, Route, Topology};
use std::string::ToString;
use std::vec::Vec;

fn base() -> Table {
    Table::madt(3).lapic(0, 0, 1)
}

const fn input(io_apic: usize, pin: u8) -> Input {
    Input { io_apic, pin }
}

/// Sets the pins of all I/O APICs, 0 for one that does not exist, and returns the problems
/// reported.
fn check(topology: &mut Topology, pins: &[u8]) -> Vec<Problem> {
    assert_eq!(topology.io_apics().len(), pins.len());
    let mut pins = pins.iter().map(|&pins| (pins > 0).then_some(pins));
    let mut problems = Problems::default();
    topology.set_pins(|_| pins.next().flatten(), &mut problems);
    problems.iter().copied().collect()
}

#[test]
fn isa_interrupts() {
    let table = base()
        .io_apic(0, 0xfec0_0000, 0)
        .iso(0, 0, 2, 0)
        .iso(0, 9, 20, 0x0f)
        .iso(0, 14, 14, 0x05);
    let topology = sound(table, 0);
    let route = |gsi, polarity, trigger, overridden| {
        Some(Route {
            gsi: Gsi(gsi),
            polarity,
            trigger,
            overridden,
        })
    };
    let isa = |gsi| route(gsi, Polarity::High, Trigger::Edge, false);
    for irq in 0..=15 {
        let expected = match irq {
            0 => route(2, Polarity::High, Trigger::Edge, true),
            9 => route(20, Polarity::Low, Trigger::Level, true),
            14 => route(14, Polarity::High, Trigger::Edge, true),
            _ => isa(irq.into()),
        };
        assert_eq!(topology.isa_irq(irq), expected);
    }
    assert_eq!(topology.isa_irq(16), None);
    assert_eq!(topology.isa_irq(255), None);
    let overridden: Vec<_> = topology.overrides().map(|(irq, _)| irq).collect();
    assert_eq!(overridden, [0, 9, 14]);
    assert_eq!(
        topology.isa_irq(9).map(|route| route.to_string()),
        Some("GSI 20, active low, level".into())
    );
}

/// All sixteen flag values on one interrupt.
#[test]
fn override_flags() {
    for flags in 0..16_u16 {
        let (topology, problems) = read(
            base().io_apic(0, 0xfec0_0000, 0).iso(0, 5, 5, flags),
            0,
            None,
        );
        let route = topology.isa_irq(5).expect("an ISA interrupt");
        assert_eq!(route.polarity == Polarity::Low, flags & 3 == 3);
        assert_eq!(route.trigger == Trigger::Level, flags >> 2 == 3);
        if flags & 3 == 2 || flags >> 2 == 2 {
            let flags = InterruptFlags(flags);
            assert_eq!(kinds(&problems), [ProblemKind::ReservedFlags { flags }]);
        } else {
            assert_eq!(problems, []);
        }
    }
}

#[test]
fn hostile_overrides() {
    let table = base()
        .io_apic(0, 0xfec0_0000, 0)
        .iso(0, 0, 2, 0)
        .iso(0, 0, 7, 0x0f)
        .iso(0, 16, 16, 0)
        .iso(0, 255, 16, 0)
        .iso(1, 3, 40, 0)
        .iso(0, 4, 2, 0)
        .iso(0, 5, 1000, 0);
    let (mut topology, problems) = read(table, 0, None);
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "MADT: entry at offset 0x4a: ISA IRQ 0 is already overridden (ignored)",
            "MADT: entry at offset 0x54: there is no ISA IRQ 16 to override (ignored)",
            "MADT: entry at offset 0x5e: there is no ISA IRQ 255 to override (ignored)",
            "MADT: entry at offset 0x68: an override for bus 1, which is not ISA (ignored)",
            "MADT: entry at offset 0x72: another ISA IRQ is overridden to GSI 2 too",
        ]
    );
    assert_eq!(topology.isa_irq(0).map(|route| route.gsi), Some(Gsi(2)));
    assert_eq!(topology.isa_irq(3).map(|route| route.gsi), Some(Gsi(3)));
    // That no I/O APIC has GSI 1000 is known only now.
    let problems = check(&mut topology, &[24]);
    assert_eq!(
        kinds(&problems),
        [ProblemKind::OverrideWithoutInput {
            source: 5,
            gsi: Gsi(1000)
        }]
    );
    assert_eq!(
        problems[0].to_string(),
        "MADT: ISA IRQ 5 is GSI 1000, which no I/O APIC has"
    );
}

/// Several I/O APICs out of order, with gaps between their GSIs.
#[test]
fn gsis_and_pins() {
    let table = base()
        .io_apic(2, 0xfec0_2000, 64)
        .io_apic(0, 0xfec0_0000, 0)
        .io_apic(1, 0xfec0_1000, 32);
    let mut topology = sound(table, 0);
    // Before the pins are known, each I/O APIC extends to the next.
    assert_eq!(topology.input(Gsi(31)), Some(input(1, 31)));
    assert_eq!(topology.input(Gsi(183)), Some(input(0, 119)));
    assert_eq!(topology.input(Gsi(184)), None);
    assert_eq!(check(&mut topology, &[32, 24, 24]), []);
    for gsi in 0..200 {
        let expected = match gsi {
            0..24 => Some(input(1, gsi as u8)),
            32..56 => Some(input(2, gsi as u8 - 32)),
            64..96 => Some(input(0, gsi as u8 - 64)),
            _ => None,
        };
        assert_eq!(topology.input(Gsi(gsi)), expected);
        if let Some(input) = expected {
            assert_eq!(topology.gsi(input), Some(Gsi(gsi)));
        }
    }
    assert_eq!(topology.input(Gsi(u32::MAX)), None);
    assert_eq!(
        topology.gsi(Input {
            io_apic: 1,
            pin: 24
        }),
        None
    );
    assert_eq!(topology.gsi(Input { io_apic: 3, pin: 0 }), None);
}

#[test]
fn overlapping_gsis() {
    let table = base()
        .io_apic(0, 0xfec0_0000, 0)
        .io_apic(1, 0xfec0_1000, 16)
        .nmi_source(0, 41);
    let mut topology = sound(table, 0);
    let problems = check(&mut topology, &[24, 24]);
    assert_eq!(
        kinds(&problems),
        [
            ProblemKind::GsiOverlap {
                gsi_base: Gsi(0),
                pins: 24,
                next: Gsi(16)
            },
            ProblemKind::NmiSourceWithoutInput { gsi: Gsi(41) },
        ]
    );
    assert_eq!(
        problems[0].to_string(),
        "MADT: the I/O APIC at GSI 0 has 24 pins, but another begins at GSI 16 \
         (the latter has the GSIs of both)"
    );
    // They belong to the I/O APIC with the higher first GSI.
    assert_eq!(topology.input(Gsi(15)), Some(input(0, 15)));
    assert_eq!(topology.input(Gsi(16)), Some(input(1, 0)));
    assert_eq!(
        topology.gsi(Input {
            io_apic: 0,
            pin: 16
        }),
        None
    );
    // Adjacent ranges without overlap are valid.
    assert_eq!(check(&mut topology, &[16, 26]), []);
}

/// An I/O APIC whose GSIs lie within another's: the GSIs above them belong to the other again.
#[test]
fn gsis_within_others() {
    let table = base()
        .io_apic(0, 0xfec0_0000, 0)
        .io_apic(1, 0xfec0_1000, 8)
        .iso(0, 5, 20, 0);
    let mut topology = sound(table, 0);
    let problems = check(&mut topology, &[24, 4]);
    assert_eq!(
        kinds(&problems),
        [ProblemKind::GsiOverlap {
            gsi_base: Gsi(0),
            pins: 24,
            next: Gsi(8)
        }]
    );
    for gsi in 0..24 {
        let expected = match gsi {
            8..12 => input(1, gsi as u8 - 8),
            _ => input(0, gsi as u8),
        };
        assert_eq!(topology.input(Gsi(gsi)), Some(expected));
        assert_eq!(topology.gsi(expected), Some(Gsi(gsi)));
    }
}

/// An I/O APIC that does not exist has no GSIs, and another one is not ignored because of it.
#[test]
fn absent_io_apics_are_ignored() {
    let table = base()
        .io_apic(2, 0xfec0_1000, 16)
        .io_apic(0, 0xfec0_0000, 0)
        .nmi_source(0, 20);
    let mut topology = sound(table, 0);
    assert_eq!(check(&mut topology, &[0, 24]), []);
    assert_eq!(topology.io_apics().len(), 1);
    assert_eq!(topology.input(Gsi(20)), Some(input(0, 20)));

    let table = base().io_apic(2, 0xfec0_1000, 0).io_apic(0, 0xfec0_0000, 0);
    let mut topology = sound(table.clone(), 0);
    assert_eq!(check(&mut topology, &[0, 24]), []);
    assert_eq!(topology.input(Gsi(1)), Some(input(0, 1)));
    assert_eq!(topology.io_apics()[0].id, 0);
    let mut topology = sound(table, 0);
    assert_eq!(
        kinds(&check(&mut topology, &[24, 24])),
        [ProblemKind::DuplicateIoApic {
            address: 0xfec0_0000,
            gsi_base: Gsi(0)
        }]
    );
    assert_eq!(topology.io_apics()[0].id, 2);
}

#[test]
fn gsis_at_the_end_of_their_range() {
    let table = base().io_apic(0, 0xfec0_0000, u32::MAX - 3);
    let mut topology = sound(table, 0);
    let problems = check(&mut topology, &[24]);
    assert_eq!(
        problems[0].to_string(),
        "MADT: the I/O APIC at GSI 4294967292 has 24 pins, of which 20 are beyond the last GSI (not used)"
    );
    assert_eq!(problems.len(), 1);
    assert_eq!(check(&mut topology, &[4]), []);
    assert_eq!(check(&mut topology, &[120]).len(), 1);
    assert_eq!(topology.input(Gsi(u32::MAX)), Some(input(0, 3)));
    assert_eq!(topology.gsi(Input { io_apic: 0, pin: 4 }), None);
}

#[test]
fn hostile_io_apics() {
    let table = base()
        .io_apic(0, 0xfec0_0000, 0)
        .io_apic(1, 0xfec0_0000, 24)
        .io_apic(2, 0xfec0_0040, 24)
        .io_apic(3, 0, 48)
        .io_apic(4, 0xfec0_2001, 48)
        .io_apic(0, 0xfec0_3000, 72);
    let (topology, problems) = read(table, 0, None);
    let found: Vec<_> = topology
        .io_apics()
        .iter()
        .map(|io_apic| {
            (
                io_apic.id,
                io_apic.address,
                io_apic.gsi_base.0,
                io_apic.pins,
            )
        })
        .collect();
    assert_eq!(
        found,
        [(0, 0xfec0_0000, 0, None), (0, 0xfec0_3000, 72, None)]
    );
    assert_eq!(
        kinds(&problems),
        [
            ProblemKind::DuplicateIoApic {
                address: 0xfec0_0000,
                gsi_base: Gsi(24)
            },
            ProblemKind::DuplicateIoApic {
                address: 0xfec0_0040,
                gsi_base: Gsi(24)
            },
            ProblemKind::IoApicAddress { address: 0 },
            ProblemKind::IoApicAddress {
                address: 0xfec0_2001
            },
            ProblemKind::DuplicateIoApicId { id: 0 },
        ]
    );
    assert_eq!(
        problems[1].to_string(),
        "MADT: entry at offset 0x4c: I/O APIC at 0xfec00040, GSI 24: an earlier one has \
         registers or GSI (ignored)"
    );
    assert_eq!(
        problems[3].to_string(),
        "MADT: entry at offset 0x64: an I/O APIC cannot be at 0xfec02001 (ignored)"
    );
}

#[test]
fn more_io_apics_than_fit() {
    let table = (0..MAX_IO_APICS as u32 + 2).fold(base(), |table, n| {
        table.io_apic(n as u8, 0xfec0_0000 + n * 0x1000, n * 24)
    });
    let (topology, problems) = read(table, 0, None);
    assert_eq!(topology.io_apics().len(), MAX_IO_APICS);
    assert_eq!(kinds(&problems), [ProblemKind::TooManyIoApics; 2]);
}

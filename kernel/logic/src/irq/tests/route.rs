//! Interrupt routing on machines with valid and invalid tables.

use crate::acpi::build::Table;
use crate::acpi::{Gsi, Madt};
use crate::apic::{ApicId, EncodingError, Polarity, Trigger};
use crate::irq::route::{Mode, ModeSource, Pin, Request, Route, RouteError, resolve};
use crate::topology::{Input, Problems, Topology};
use crate::vector::Vector;
use std::collections::HashMap;
use std::string::ToString;
use std::vec::Vec;

/// The pins of the I/O APIC of these machines.
const PINS: u32 = 24;

/// An override: ISA interrupt, GSI and flags.
type Override = (u8, u32, u16);

fn topology(overrides: &[Override]) -> Topology {
    let table = Table::madt(3).lapic(0, 0, 1).io_apic(0, 0xfec0_0000, 0);
    let table = overrides.iter().fold(table, |table, &(irq, gsi, flags)| {
        table.iso(0, irq, gsi, flags)
    });
    of_table(table.nmi_source(0, 23))
}

fn of_table(table: Table) -> Topology {
    let bytes = table.build();
    let madt = Madt::parse(&bytes).expect("a valid table");
    let (mut topology, _) = Topology::from_madt(&madt, ApicId(0), None);
    topology.set_pins(|_| Some(PINS as u8), &mut Problems::default());
    topology
}

fn mode(polarity: Polarity, trigger: Trigger) -> Mode {
    Mode { polarity, trigger }
}

const fn at(gsi: u32, request: Option<Mode>) -> Request {
    Request::Gsi {
        gsi: Gsi(gsi),
        mode: request,
    }
}

fn pin(request: Request, topology: &Topology) -> Result<Pin, RouteError> {
    resolve(request, topology).map(|route| match route {
        Route::Pin(pin) => pin,
        Route::Message => panic!("a message for {request}"),
    })
}

/// The overrides of nearly all PCs.
#[test]
fn an_ordinary_machine() {
    let topology = topology(&[(0, 2, 0), (9, 9, 0x0d)]);
    for irq in 0..16 {
        let found = pin(Request::Isa(irq), &topology);
        let expected = match irq {
            0 => Ok((2, Mode::ISA, ModeSource::Override(0))),
            2 => Err(RouteError::NotConnected { irq: 2, instead: 0 }),
            9 => Ok((
                9,
                mode(Polarity::High, Trigger::Level),
                ModeSource::Override(9),
            )),
            _ => Ok((irq.into(), Mode::ISA, ModeSource::Isa(irq))),
        };
        let found = found.map(|pin| (pin.gsi.0, pin.mode, pin.mode_source));
        assert_eq!(found, expected);
    }
    for irq in 16..=u8::MAX {
        let found = resolve(Request::Isa(irq), &topology);
        assert_eq!(found, Err(RouteError::NoSuchIsaIrq(irq)));
    }
    assert_eq!(resolve(Request::Message, &topology), Ok(Route::Message));
    for gsi in 16..23 {
        let found = pin(at(gsi, None), &topology).expect("PCI's");
        assert_eq!(
            (found.mode, found.mode_source),
            (Mode::PCI, ModeSource::Pci)
        );
        let found = pin(at(gsi, Some(Mode::ISA)), &topology).expect("as requested");
        assert_eq!(
            (found.mode, found.mode_source),
            (Mode::ISA, ModeSource::Request)
        );
    }
    assert_eq!(pin(at(23, None), &topology), Err(RouteError::Nmi(Gsi(23))));
    for gsi in [24, 1000, u32::MAX] {
        assert_eq!(
            pin(at(gsi, None), &topology),
            Err(RouteError::NoSuchGsi(Gsi(gsi)))
        );
    }
}

/// Every pair of overrides from a hostile choice, in both orders, and every request: each accepted
/// route is possible on some machine, and each rejected one is not.
#[test]
fn hostile_overrides() {
    let irqs = [0, 1, 2, 3];
    let gsis = [0, 1, 2, 20, 23, 1000];
    // Bus default; high, level; low, edge; low, level; both reserved.
    let flags = [0x0, 0xd, 0x7, 0xf, 0xa];
    let of_flags = |flags: u16| {
        let polarity = if flags & 3 == 3 {
            Polarity::Low
        } else {
            Polarity::High
        };
        let trigger = if flags >> 2 == 3 {
            Trigger::Level
        } else {
            Trigger::Edge
        };
        mode(polarity, trigger)
    };
    let single: Vec<Override> = irqs
        .into_iter()
        .flat_map(|irq| gsis.map(|gsi| (irq, gsi)))
        .flat_map(|(irq, gsi)| flags.map(|flags| (irq, gsi, flags)))
        .collect();
    let mut refused = 0;
    for &one in &single {
        for &other in single.iter().filter(|other| other.0 != one.0) {
            let topology = topology(&[one, other]);
            let to = |gsi: u32| {
                let there = [one, other].into_iter().filter(move |it| it.1 == gsi);
                there.map(|it| (it.0, of_flags(it.2))).collect::<Vec<_>>()
            };
            let mut modes: HashMap<u32, Mode> = HashMap::new();
            let isa = (0..4).map(Request::Isa);
            let global = gsis.into_iter().chain([3]).map(|gsi| at(gsi, None));
            for request in isa.chain(global) {
                let own = match request {
                    Request::Isa(irq) => [one, other].into_iter().find(|it| it.0 == irq),
                    _ => None,
                };
                let gsi = match request {
                    Request::Isa(irq) => own.map_or(irq.into(), |it| it.1),
                    Request::Gsi { gsi, .. } => gsi.0,
                    Request::Message => unreachable!("not requested"),
                };
                let there = to(gsi);
                let contradicts = there.iter().any(|it| it.1 != there[0].1);
                let is_elsewhere =
                    matches!(request, Request::Isa(_)) && own.is_none() && !there.is_empty();
                match pin(request, &topology) {
                    Ok(pin) => {
                        assert_eq!(pin.gsi, Gsi(gsi));
                        assert_eq!(topology.input(pin.gsi), Some(pin.input));
                        assert!(gsi < PINS - 1 && !contradicts && !is_elsewhere, "{pin}");
                        // The mode of the table, or else that of the bus.
                        if let Some(&(_, mode)) = there.first() {
                            assert_eq!(pin.mode, mode);
                        }
                        // A pin has one mode, for all requests.
                        assert_eq!(*modes.entry(gsi).or_insert(pin.mode), pin.mode, "{pin}");
                    }
                    Err(RouteError::Contradiction {
                        mode, other_mode, ..
                    }) => {
                        assert!(contradicts && mode != other_mode);
                        refused += 1;
                    }
                    Err(RouteError::NotConnected { irq, instead }) => {
                        assert_eq!(request, Request::Isa(irq));
                        assert!(is_elsewhere && there.iter().any(|it| it.0 == instead));
                        refused += 1;
                    }
                    Err(RouteError::Nmi(nmi)) => assert_eq!((nmi.0, gsi), (23, 23)),
                    Err(RouteError::NoSuchGsi(none)) => assert_eq!((none.0, gsi), (1000, 1000)),
                    Err(error) => panic!("{request} of {one:?}, {other:?}: {error}"),
                }
                // A request with any mode for a pin with an override succeeds only with the mode of
                // the table.
                for polarity in [Polarity::High, Polarity::Low] {
                    for trigger in [Trigger::Edge, Trigger::Level] {
                        let requested = mode(polarity, trigger);
                        let found = pin(at(gsi, Some(requested)), &topology);
                        let is_wrong = there.first().is_some_and(|it| it.1 != requested);
                        if gsi < PINS - 1 && !contradicts {
                            match found {
                                Ok(pin) => assert!(!is_wrong && pin.mode == requested),
                                Err(error) => {
                                    assert!(is_wrong, "{error}");
                                    assert!(matches!(error, RouteError::WrongMode { .. }));
                                }
                            }
                        } else {
                            assert!(found.is_err());
                        }
                    }
                }
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn machines_without() {
    let none = of_table(Table::madt(3).lapic(0, 0, 1));
    assert_eq!(pin(Request::Isa(4), &none), Err(RouteError::NoIoApic));
    assert_eq!(pin(at(4, None), &none), Err(RouteError::NoIoApic));
    assert_eq!(resolve(Request::Message, &none), Ok(Route::Message));
    // Without 8259s, no interrupt is an ISA interrupt by its number alone.
    let flags = Table::new(*b"APIC", 3).u32(0xfee0_0000).u32(0);
    let reduced = of_table(flags.lapic(0, 0, 1).io_apic(0, 0xfec0_0000, 0));
    let found = pin(at(4, None), &reduced).expect("a pin");
    assert_eq!(
        (found.mode, found.mode_source),
        (Mode::PCI, ModeSource::Pci)
    );
}

#[test]
fn pins_of_several_io_apics() {
    let table = Table::madt(3).lapic(0, 0, 1);
    let table = table.io_apic(1, 0xfec1_0000, 32).io_apic(0, 0xfec0_0000, 0);
    let topology = of_table(table.iso(0, 5, 33, 0x0f));
    for gsi in 0..64 {
        let input = match gsi {
            0..24 => Some((1, gsi)),
            32..56 => Some((0, gsi - 32)),
            _ => None,
        };
        let input = input.map(|(io_apic, pin)| Input {
            io_apic,
            pin: pin as u8,
        });
        let found = pin(at(gsi, None), &topology).ok().map(|it| it.input);
        // IRQ 5 is routed to GSI 33, and the interrupt at GSI 5 has the PCI default.
        assert_eq!(found, input, "{gsi}");
    }
    let found = pin(Request::Isa(5), &topology).expect("a pin");
    assert_eq!(
        found.to_string(),
        "GSI 33, pin 1 of I/O APIC 0, active low, level (ISA IRQ 5, overridden)"
    );
    let found = pin(at(5, None), &topology).expect("a pin");
    assert_eq!(
        (found.mode, found.mode_source),
        (Mode::PCI, ModeSource::Pci)
    );
}

#[test]
fn entry_of_a_pin() {
    let topology = topology(&[(9, 9, 0x0f)]);
    let pin = pin(Request::Isa(9), &topology).expect("a pin");
    let entry = |vector, cpu| {
        let entry = pin.entry(Vector(vector), ApicId(cpu), false);
        entry.and_then(crate::apic::Rte::encode)
    };
    assert_eq!(entry(0x51, 3), Ok(0x0300_0000_0000_a051));
    assert_eq!(entry(15, 3), Err(EncodingError::Vector(15)));
    assert!(entry(0x51, 255).is_err());
}

#[test]
fn error_texts() {
    let topology = topology(&[(0, 2, 0), (3, 7, 0x0f), (4, 7, 0), (9, 9, 0x0d)]);
    for (request, words) in [
        (
            Request::Isa(16),
            "there is no ISA IRQ 16 (they are 0 to 15)",
        ),
        (
            Request::Isa(2),
            "ISA IRQ 2 is not connected: the MADT has IRQ 0 at GSI 2",
        ),
        (
            Request::Isa(4),
            "the MADT contradicts itself: at GSI 7, IRQ 3 is active low, level, but IRQ 4 is \
             active high, edge",
        ),
        (
            at(9, Some(Mode::PCI)),
            "GSI 9 was requested as active low, level, but the MADT has IRQ 9 there, active \
             high, level (request it without a mode)",
        ),
        (
            at(23, None),
            "GSI 23 is delivered as NMI (it cannot have a handler)",
        ),
        (
            at(24, None),
            "no I/O APIC has GSI 24 (`ioapic` lists the GSIs)",
        ),
    ] {
        let error = pin(request, &topology).expect_err(words);
        assert_eq!(error.to_string(), words);
    }
    for (request, words) in [
        (Request::Isa(4), "ISA IRQ 4"),
        (at(7, None), "GSI 7"),
        (at(7, Some(Mode::PCI)), "GSI 7 (active low, level)"),
        (Request::Message, "messages"),
    ] {
        assert_eq!(request.to_string(), words);
    }
}

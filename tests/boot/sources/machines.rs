//! The machines, and the expected results of their sources.

use tocsin_tests::sources::Route;
use tocsin_tools::Machine;

use crate::{Result, machine, plain};

/// A machine with its sources, except for the RTC, which is slow.
#[derive(Clone, Copy)]
pub struct Board {
    pub name: &'static str,
    machine: &'static str,
    args: &'static [&'static str],
    append: &'static str,
    pub sources: &'static [Source],
}

impl Board {
    /// With this many CPUs, in this mode of the local APICs.
    pub fn machine(&self, mode: &str, cpus: u32) -> Result<Machine> {
        let append = format!("apic={mode} {}", self.append);
        let machine = machine(cpus)?.board(self.machine);
        Ok(machine.append(append).args(self.args.to_vec()))
    }

    /// Without additional devices and command line.
    pub fn bare(&self) -> Machine {
        plain().board(self.machine)
    }
}

pub const Q35: Board = Board {
    name: "q35",
    machine: "q35",
    // The second serial port is COM2.
    args: &["-serial", "null"],
    append: "",
    sources: &[PIT, HPET, KEYBOARD, COM2],
};

pub const PC: Board = Board {
    name: "pc",
    machine: "pc",
    sources: &[PIT, HPET_OF_PC, KEYBOARD, COM2],
    ..Q35
};

/// QEMU assigns the last slot to the first virtio device of its command line.
pub const TWO_IO_APICS: Board = Board {
    name: "microvm",
    machine: "microvm,ioapic2=on",
    args: &[
        "-global",
        "virtio-mmio.force-legacy=false",
        "-device",
        "virtio-rng-device",
    ],
    append: "virtio_mmio.device=512@0xfeb02e00:47",
    sources: &[PIT_OF_MICROVM, VIRTIO],
};

/// A source.
pub struct Source {
    /// Its name for `sources`.
    pub name: &'static str,
    /// How it is driven.
    ways: &'static [Way],
}

/// The beginning of the names of a source's runs, the ends, and its input; `None` for messages.
type Way = (
    &'static str,
    &'static [&'static str],
    Option<&'static ExpectedRoute>,
);

/// The pin that receives the interrupts of a source, and their mode.
#[derive(Debug)]
pub struct ExpectedRoute {
    gsi: u32,
    io_apic: usize,
    pin: u8,
    polarity: &'static str,
    trigger: &'static str,
    mode_source: &'static str,
}

impl ExpectedRoute {
    const fn edge(gsi: u32, mode_source: &'static str) -> Self {
        Self {
            gsi,
            io_apic: 0,
            pin: gsi as u8,
            polarity: "high",
            trigger: "edge",
            mode_source,
        }
    }

    const fn level(gsi: u32) -> Self {
        Self {
            polarity: "low",
            trigger: "level",
            ..Self::edge(gsi, "request")
        }
    }

    /// Whether a route leads there.
    pub fn is_of(&self, route: &Route) -> bool {
        route.gsi == self.gsi
            && route.io_apic == self.io_apic
            && route.pin == self.pin
            && route.polarity == self.polarity
            && route.trigger == self.trigger
            && route.mode_source == self.mode_source
    }
}

impl Source {
    /// The names of its runs, and their input.
    pub fn runs(&self) -> Vec<(String, Option<&'static ExpectedRoute>)> {
        let ways = self.ways.iter();
        ways.flat_map(|(begin, ends, route)| {
            ends.iter()
                .map(move |end| (format!("{begin} {end}"), *route))
        })
        .collect()
    }
}

const PIT_RUNS: &[&str] = &["one_shot", "masked", "periodic 1000"];
const HPET_RUNS: &[&str] = &["one_shot", "masked", "periodic"];
const PIT_ROUTE: Option<&ExpectedRoute> = Some(&ExpectedRoute::edge(2, "override"));
const EDGE_AT_16: Option<&ExpectedRoute> = Some(&ExpectedRoute::edge(16, "request"));
const LEVEL_AT_16: Option<&ExpectedRoute> = Some(&ExpectedRoute::level(16));
const EDGE_AT_17: Option<&ExpectedRoute> = Some(&ExpectedRoute::edge(17, "request"));
const LEVEL_AT_17: Option<&ExpectedRoute> = Some(&ExpectedRoute::level(17));
const EDGE_AT_18: Option<&ExpectedRoute> = Some(&ExpectedRoute::edge(18, "request"));
const LEVEL_AT_18: Option<&ExpectedRoute> = Some(&ExpectedRoute::level(18));
pub const RTC_ROUTE: ExpectedRoute = ExpectedRoute::edge(8, "isa");

pub const PIT: Source = Source {
    name: "pit",
    ways: &[("pit", PIT_RUNS, PIT_ROUTE)],
};

/// The MADT has no override here, but QEMU connects the PIT to pin 2.
const PIT_OF_MICROVM: Source = Source {
    name: "pit",
    ways: &[("pit", PIT_RUNS, Some(&ExpectedRoute::edge(2, "request")))],
};

/// Its comparators also list GSIs 2 and 8, which belong to ISA interrupts.
const HPET: Source = Source {
    name: "hpet",
    ways: &[
        ("hpet 0 edge", HPET_RUNS, EDGE_AT_16),
        ("hpet 0 level", HPET_RUNS, LEVEL_AT_16),
        ("hpet 1 edge", HPET_RUNS, EDGE_AT_17),
        ("hpet 1 level", HPET_RUNS, LEVEL_AT_17),
        ("hpet 2 edge", HPET_RUNS, EDGE_AT_18),
        ("hpet 2 level", HPET_RUNS, LEVEL_AT_18),
    ],
};

/// It has only the PIT's pin.
pub const HPET_OF_PC: Source = Source {
    name: "hpet",
    ways: &[
        ("hpet 0 edge", HPET_RUNS, PIT_ROUTE),
        ("hpet 1 edge", HPET_RUNS, PIT_ROUTE),
        ("hpet 2 edge", HPET_RUNS, PIT_ROUTE),
    ],
};

pub const HPET_WITH_MESSAGES: Source = Source {
    name: "hpet",
    ways: &[
        HPET.ways[0],
        HPET.ways[1],
        ("hpet 0 message", HPET_RUNS, None),
        HPET.ways[2],
        HPET.ways[3],
        ("hpet 1 message", HPET_RUNS, None),
        HPET.ways[4],
        HPET.ways[5],
        ("hpet 2 message", HPET_RUNS, None),
    ],
};

const KEYBOARD: Source = Source {
    name: "keyboard",
    ways: &[("keyboard", &["echo"], Some(&ExpectedRoute::edge(1, "isa")))],
};

const COM2: Source = Source {
    name: "com2",
    ways: &[("com2", &["transmit"], Some(&ExpectedRoute::edge(3, "isa")))],
};

const VIRTIO: Source = Source {
    name: "virtio",
    ways: &[(
        "virtio",
        &["requests", "masked"],
        Some(&ExpectedRoute {
            gsi: 47,
            io_apic: 1,
            pin: 23,
            polarity: "high",
            trigger: "level",
            mode_source: "request",
        }),
    )],
};

//! The machines, and the expected results of their sources.

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
    /// How it is driven: the beginnings of the rows, the ends, and its input.
    ways: &'static [Way],
}

type Way = (&'static str, &'static [&'static str], &'static str);

impl Source {
    /// The description and the input in its rows.
    pub fn rows(&self) -> Vec<(String, &'static str)> {
        let ways = self.ways.iter();
        ways.flat_map(|(begin, ends, place)| {
            ends.iter()
                .map(move |end| (format!("{begin}{end}"), *place))
        })
        .collect()
    }
}

const PIT_ROWS: &[&str] = &["one-shot", "masked", "1000 Hz"];
const HPET_ROWS: &[&str] = &["one-shot", "masked", "periodic"];
const PIT_PLACE: &str = "GSI 2, pin 2 of I/O APIC 0, active high, edge (ISA IRQ 0, overridden)";
const EDGE_AT_16: &str = "GSI 16, pin 16 of I/O APIC 0, active high, edge";
const LEVEL_AT_16: &str = "GSI 16, pin 16 of I/O APIC 0, active low, level";
const EDGE_AT_17: &str = "GSI 17, pin 17 of I/O APIC 0, active high, edge";
const LEVEL_AT_17: &str = "GSI 17, pin 17 of I/O APIC 0, active low, level";
const EDGE_AT_18: &str = "GSI 18, pin 18 of I/O APIC 0, active high, edge";
const LEVEL_AT_18: &str = "GSI 18, pin 18 of I/O APIC 0, active low, level";

pub const PIT: Source = Source {
    name: "pit",
    ways: &[("PIT ", PIT_ROWS, PIT_PLACE)],
};

/// The MADT has no override here, but QEMU connects the PIT to pin 2.
const PIT_OF_MICROVM: Source = Source {
    name: "pit",
    ways: &[(
        "PIT ",
        PIT_ROWS,
        "GSI 2, pin 2 of I/O APIC 0, active high, edge (as requested)",
    )],
};

/// Its comparators also list GSIs 2 and 8, which belong to ISA interrupts.
const HPET: Source = Source {
    name: "hpet",
    ways: &[
        ("HPET 0 edge ", HPET_ROWS, EDGE_AT_16),
        ("HPET 0 level ", HPET_ROWS, LEVEL_AT_16),
        ("HPET 1 edge ", HPET_ROWS, EDGE_AT_17),
        ("HPET 1 level ", HPET_ROWS, LEVEL_AT_17),
        ("HPET 2 edge ", HPET_ROWS, EDGE_AT_18),
        ("HPET 2 level ", HPET_ROWS, LEVEL_AT_18),
    ],
};

/// It has only the PIT's pin.
pub const HPET_OF_PC: Source = Source {
    name: "hpet",
    ways: &[
        ("HPET 0 edge ", HPET_ROWS, PIT_PLACE),
        ("HPET 1 edge ", HPET_ROWS, PIT_PLACE),
        ("HPET 2 edge ", HPET_ROWS, PIT_PLACE),
    ],
};

pub const HPET_WITH_MESSAGES: Source = Source {
    name: "hpet",
    ways: &[
        HPET.ways[0],
        HPET.ways[1],
        ("HPET 0 message ", HPET_ROWS, "message of HPET comparator 0"),
        HPET.ways[2],
        HPET.ways[3],
        ("HPET 1 message ", HPET_ROWS, "message of HPET comparator 1"),
        HPET.ways[4],
        HPET.ways[5],
        ("HPET 2 message ", HPET_ROWS, "message of HPET comparator 2"),
    ],
};

const KEYBOARD: Source = Source {
    name: "keyboard",
    ways: &[(
        "keyboard echo",
        &[""],
        "GSI 1, pin 1 of I/O APIC 0, active high, edge",
    )],
};

const COM2: Source = Source {
    name: "com2",
    ways: &[(
        "COM2 transmit",
        &[""],
        "GSI 3, pin 3 of I/O APIC 0, active high, edge",
    )],
};

const VIRTIO: Source = Source {
    name: "virtio",
    ways: &[(
        "virtio-mmio ",
        &["requests", "masked"],
        "GSI 47, pin 23 of I/O APIC 1, active high, level",
    )],
};

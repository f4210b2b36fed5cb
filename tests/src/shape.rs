//! A machine of several CPUs in `matrix.toml`, and what must become of them.

use serde::Deserialize;
use tocsin_tools::Machine;
use tocsin_tools::settings::{Accel, BootWay, Memory, Smp};

/// One machine to start all CPUs of.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// QEMU's `-smp`.
    pub cpus: String,
    /// The way into the kernel.
    #[serde(default = "direct")]
    pub boot: String,
    /// QEMU's `-machine`.
    #[serde(default = "q35")]
    pub board: String,
    /// QEMU's `-cpu`.
    #[serde(default = "max")]
    pub cpu: String,
    /// As `512M`.
    #[serde(default = "half_a_gigabyte")]
    pub memory: String,
    /// The kernel command line.
    #[serde(default)]
    pub append: String,
    /// More arguments for QEMU, separated by spaces.
    #[serde(default)]
    pub args: String,
    /// The mode that the local APICs come to be in.
    #[serde(default = "x2apic")]
    pub mode: String,
    /// How many CPUs come to be online; all, if it is not given.
    pub online: Option<u32>,
    /// The state of those that are there and not online.
    #[serde(default)]
    pub left_out: String,
    /// What the kernel must warn of, as words of its warning; of nothing, if it is not given.
    pub warning: Option<String>,
}

fn direct() -> String {
    BootWay::Direct.name().to_owned()
}

fn q35() -> String {
    "q35".to_owned()
}

fn max() -> String {
    "max".to_owned()
}

fn half_a_gigabyte() -> String {
    "512M".to_owned()
}

fn x2apic() -> String {
    "x2apic".to_owned()
}

impl Shape {
    /// As `direct::q35::max::6,sockets=2,cores=3`, with the command line if there is one.
    #[must_use]
    pub fn name(&self) -> String {
        let board = self.board.split(',').next().unwrap_or_default();
        let mut name = format!("{}::{board}::{}::{}", self.boot, self.cpu, self.cpus);
        if !self.append.is_empty() {
            name = format!("{name}::{}", self.append);
        }
        name
    }

    /// The way into the kernel.
    ///
    /// # Panics
    ///
    /// The file is part of this program; a way that is none is a mistake in it.
    #[must_use]
    pub fn way(&self) -> BootWay {
        let way = BootWay::parse(&self.boot).expect("matrix.toml");
        way.expect("matrix.toml: `auto` is not one way to boot")
    }

    /// The machine, under TCG, whose APICs tell what is written to them.
    ///
    /// # Panics
    ///
    /// As [`Shape::way`].
    #[must_use]
    pub fn machine(&self) -> Machine {
        let machine = Machine::new(self.way()).accel(Accel::Tcg);
        machine
            .board(&self.board)
            .cpu(&self.cpu)
            .smp(Smp::parse(&self.cpus).expect("matrix.toml"))
            .memory(Memory::parse(&self.memory).expect("matrix.toml"))
            .append(&self.append)
            .args(self.args.split_whitespace())
    }
}

//! A multiprocessor machine in `matrix.toml`, and the expected state of its CPUs.

use serde::Deserialize;
use tocsin_tools::Machine;
use tocsin_tools::settings::{Accel, BootWay, Memory, Smp};

/// A machine on which all CPUs are started.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// QEMU's `-smp`.
    pub cpus: String,
    /// The boot method.
    #[serde(default = "direct")]
    pub boot: String,
    /// QEMU's `-machine`.
    #[serde(default = "q35")]
    pub board: String,
    /// QEMU's `-cpu`.
    #[serde(default = "max")]
    pub cpu: String,
    /// Memory size, such as `512M`.
    #[serde(default = "half_a_gigabyte")]
    pub memory: String,
    /// The kernel command line.
    #[serde(default)]
    pub append: String,
    /// More arguments for QEMU, separated by spaces.
    #[serde(default)]
    pub args: String,
    /// The expected mode of the local APICs.
    #[serde(default = "x2apic")]
    pub mode: String,
    /// Expected number of online CPUs; all if absent.
    pub online: Option<u32>,
    /// The state of the CPUs that are found but not online.
    #[serde(default)]
    pub left_out: String,
    /// Words of the kernel's expected warning; none if absent.
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
    /// The name, such as `direct::q35::max::6,sockets=2,cores=3`, with the command line, if any.
    #[must_use]
    pub fn name(&self) -> String {
        let board = self.board.split(',').next().unwrap_or_default();
        let mut name = format!("{}::{board}::{}::{}", self.boot, self.cpu, self.cpus);
        if !self.append.is_empty() {
            name = format!("{name}::{}", self.append);
        }
        name
    }

    /// The boot method.
    ///
    /// # Panics
    ///
    /// If the file, which is part of this program, has an invalid boot method.
    #[must_use]
    pub fn way(&self) -> BootWay {
        let way = BootWay::parse(&self.boot).expect("matrix.toml");
        way.expect("matrix.toml: `auto` is not one way to boot")
    }

    /// The machine, under TCG, whose log contains writes to the APICs.
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

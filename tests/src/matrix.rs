//! The machines of `matrix.toml`.

use std::sync::LazyLock;

use serde::Deserialize;
use tocsin_tools::settings::{BootWay, Memory};
use tocsin_tools::{Firmware, Limine, Machine};

use crate::shape::Shape;

/// One machine to boot.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The boot method.
    pub way: BootWay,
    /// QEMU's `-machine`.
    pub board: String,
    /// The CPU model, and the protections expected on it.
    pub cpu: Cpu,
    /// Memory size, such as `64M`.
    pub memory: String,
}

/// A CPU model of QEMU.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// QEMU's `-cpu`.
    pub name: String,
    /// Protections that the model has, in the kernel's order.
    pub protections: Vec<String>,
    /// Protections that the model lacks, in the same order.
    pub missing: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Boot {
    way: String,
    memory: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Matrix {
    board: Vec<String>,
    boot: Vec<Boot>,
    cpu: Vec<Cpu>,
    smp: Vec<Shape>,
}

fn read() -> Matrix {
    toml::from_str(include_str!("../matrix.toml")).expect("matrix.toml")
}

/// The multiprocessor machines, each with the protections of its CPU model, in the order of the
/// file.
///
/// # Panics
///
/// As [`cells`].
#[must_use]
pub fn shapes() -> Vec<(Shape, Cpu)> {
    let Matrix { cpu, smp, .. } = read();
    let model = |shape: &Shape| cpu.iter().find(|cpu| cpu.name == shape.cpu).cloned();
    let shapes = smp.into_iter().map(|shape| {
        let cpu = model(&shape).expect("matrix.toml: a shape's CPU is not in [[cpu]]");
        (shape, cpu)
    });
    shapes.collect()
}

/// All machines, in the order of the file.
///
/// # Panics
///
/// If the file, which is part of this program, is invalid.
#[must_use]
pub fn cells() -> Vec<Cell> {
    let matrix = read();
    let mut cells = Vec::new();
    for boot in &matrix.boot {
        let way = BootWay::parse(&boot.way).expect("matrix.toml");
        let way = way.expect("matrix.toml: `auto` is not one way to boot");
        for board in &matrix.board {
            for cpu in &matrix.cpu {
                for memory in &boot.memory {
                    cells.push(Cell {
                        way,
                        board: board.clone(),
                        cpu: cpu.clone(),
                        memory: memory.clone(),
                    });
                }
            }
        }
    }
    cells
}

impl Cell {
    /// The name, such as `direct::q35::max::64M`.
    #[must_use]
    pub fn name(&self) -> String {
        format!(
            "{}::{}::{}::{}",
            self.way.name(),
            self.board,
            self.cpu.name,
            self.memory
        )
    }

    /// The memory size.
    ///
    /// # Panics
    ///
    /// As [`cells`].
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory::parse(&self.memory).expect("matrix.toml")
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> Machine {
        let machine = Machine::new(self.way)
            .board(&self.board)
            .cpu(&self.cpu.name);
        machine.memory(self.memory())
    }
}

/// The reason why this boot method cannot be tested here; `None` if it can.
///
/// # Errors
///
/// The environment specifies Limine or the firmware, and it does not exist.
pub fn missing(way: BootWay) -> Result<Option<String>, String> {
    use tocsin_tools::{FirmwareError, NoLimine};

    // One search for all tests, because it may access the network.
    static LIMINE: LazyLock<Result<Limine, NoLimine>> = LazyLock::new(Limine::find);
    if way == BootWay::Direct {
        return Ok(None);
    }
    match &*LIMINE {
        Ok(_) => {}
        Err(NoLimine::NotToBeHad(why)) => return Ok(Some(format!("no Limine: {why}"))),
        Err(e) => return Err(e.to_string()),
    }
    if way != BootWay::LimineUefi {
        return Ok(None);
    }
    match Firmware::find() {
        Ok(_) => Ok(None),
        Err(e @ FirmwareError::NotFound) => Ok(Some(e.to_string())),
        Err(e @ FirmwareError::NoSuchFile(_)) => Err(e.to_string()),
    }
}

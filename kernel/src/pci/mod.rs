//! PCI: enumeration of functions, and their interrupts by message (MSI, MSI-X) or by pin.
//!
//! A driver finds its function, claims it, and handles its messages through a line:
//!
//! ```no_run
//! # use tocsin::pci;
//! # use tocsin::prelude::*;
//! # let (name, class, handler) = ("nic", PriorityClass::LOWEST_USABLE, || {});
//! let device = pci::find(0x1234, 0x11e8)?.claim()?;
//! let line = Line::new(Request { name, source: Source::Message, class, cpu: 0 }, handler)?;
//! line.attach(device.msi()?)?;
//! ```
//!
//! The messages then belong to the line: dropping it disables them first. Dropping the device
//! disables its interrupts.
//!
//! The first call that needs the functions scans the buses. The kernel uses the bus numbers and
//! addresses that firmware has assigned, and assigns none.

mod config;
mod device;
mod error;
mod function;
mod msi;
mod msix;
mod window;

use alloc::vec::Vec;

use spin::Once;
use tocsin_logic::pci::walk::walk;
use tocsin_logic::pci::{Address, WalkProblem};
use tocsin_logic::units::Nanoseconds;

use crate::discover::machine;
use crate::time;

pub use config::ConfigSpace;
pub use device::Device;
pub(crate) use device::{Hold, is_reserved, reserve};
pub use error::PciError;
pub use function::{Function, FunctionProblem};
pub use msi::Msi;
pub use msix::{Msix, MsixMessage};
pub use window::{Window, Word};

/// The result of the bus scan.
#[derive(Debug)]
pub struct Bus {
    /// The access to configuration space.
    pub config: ConfigSpace,
    /// All functions; those behind a bridge follow the bridge.
    pub functions: Vec<Function>,
    /// The errors found in bridges.
    pub problems: Vec<WalkProblem>,
}

static BUS: Once<Bus> = Once::new();

/// The functions of the machine; the first call scans the buses. Must not be called in handlers.
///
/// Context: thread.
///
/// # Panics
///
/// Before the machine is discovered.
pub fn bus() -> &'static Bus {
    BUS.call_once(|| {
        let machine = machine().expect("drivers run when the machine is known");
        let begin = time::nanoseconds();
        let bus = search(ConfigSpace::find(machine));
        log::info!(
            "pci: {} functions found in {}",
            bus.functions.len(),
            Nanoseconds(time::nanoseconds() - begin)
        );
        bus
    })
}

fn search(config: ConfigSpace) -> Bus {
    let mut functions = Vec::new();
    let mut problems = Vec::new();
    let read = |address, offset| {
        config
            .registers(address)
            .map_or(u32::MAX, |registers| registers.read(offset))
    };
    let mut found = Vec::new();
    for segment in config.segments() {
        for step in walk(segment, config.buses(segment), read) {
            match step {
                Ok(function) => found.push(function),
                Err(problem) => {
                    log::warn!("pci: {problem}");
                    problems.push(problem);
                }
            }
        }
    }
    for function in found {
        let Some(registers) = config.registers(function.address) else {
            continue;
        };
        // SAFETY: The scan visits each function once, and before any driver claims one.
        let function = unsafe { Function::new(function, registers) };
        for problem in &function.problems {
            log::warn!("pci: function {}: {problem}", function.address);
        }
        functions.push(function);
    }
    Bus {
        config,
        functions,
        problems,
    }
}

/// The function at this address, if there is one.
///
/// Context: thread.
#[must_use]
pub fn function(address: Address) -> Option<&'static Function> {
    let mut functions = bus().functions.iter();
    functions.find(|function| function.address == address)
}

/// The first unclaimed function with these IDs; if all are claimed, the first one.
///
/// Context: thread.
///
/// # Errors
///
/// [`PciError::NotFound`].
pub fn find(vendor: u16, device: u16) -> Result<&'static Function, PciError> {
    let all = || {
        let functions = bus().functions.iter();
        functions.filter(move |it| (it.header.vendor, it.header.device) == (vendor, device))
    };
    let free = all().find(|function| !function.is_claimed());
    free.or_else(|| all().next())
        .ok_or(PciError::NotFound(vendor, device))
}

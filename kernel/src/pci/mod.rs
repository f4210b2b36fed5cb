//! PCI: what is there, and interrupts from it by message (MSI, MSI-X) or by pin.
//!
//! A driver finds its function, claims it, and has its messages answered by a line:
//!
//! ```ignore
//! let device = pci::find(0x1234, 0x11e8)?.claim()?;
//! let line = Line::new(Request { name, source: Source::Message, class, cpu: 0 }, handler)?;
//! line.attach(device.msi()?)?;
//! ```
//!
//! The messages belong to the line then: dropping it turns them off first. Dropping the device silences
//! it.
//!
//! Functions are searched for when somebody first asks. Firmware has numbered the buses and given
//! out the addresses; this kernel takes them as they are and assigns none.

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
pub use error::PciError;
pub use function::{Function, FunctionProblem};
pub use msi::Msi;
pub use msix::{Msix, MsixMessage};
pub use window::{Window, Word};

/// All that was found.
#[derive(Debug)]
pub struct Bus {
    /// How configuration space is reached.
    pub config: ConfigSpace,
    /// Every function; what is behind a bridge comes after the bridge.
    pub functions: Vec<Function>,
    /// What was wrong with bridges.
    pub problems: Vec<WalkProblem>,
}

static BUS: Once<Bus> = Once::new();

/// The functions of the machine, searched for at the first call. Not for handlers.
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
        // SAFETY: 1. The walk gives each function once, and drivers come later.
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

/// The first function with these IDs that nobody has claimed; if all are claimed, the first one.
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

//! The devices of the storm test, if the machine has them: two `edu` devices, one with MSI and one
//! with its pin, and a virtio entropy device with MSI-X. The line of a device is moved while an
//! interrupt is in transit.

use alloc::format;
use alloc::sync::Arc;

use fastrand::Rng;
use tocsin_logic::vector::PriorityClass;

use super::account::{self, Kind, moved, received, sent};
use super::any_cpu;
use crate::drivers::edu::{Edu, HandledEdu, Way};
use crate::drivers::virtio_rng::VirtioRng;
use tocsin::line::{Line, LineError};
use tocsin::machine;
use tocsin::pci::PciError;

/// The priority class of the devices' lines.
const CLASS: PriorityClass = PriorityClass::new(7).expect("a class is 0 to 15");

/// The maximum value for `edu`: bit 0 is that of its computation.
const MAX_VALUE: u32 = 0x7fff_ffff;

/// The devices of this machine.
#[derive(Debug)]
pub(super) struct Devices {
    msi: Option<HandledEdu>,
    level: Option<HandledEdu>,
    rng: Option<VirtioRng>,
}

impl Devices {
    /// Starts the devices that are present. The account records errors of the others.
    pub(super) fn find() -> Self {
        let edu = |way| {
            let topology = &machine().ok_or(PciError::NotFound(0, 0))?.topology;
            let edu = Arc::new(Edu::claim()?);
            edu.with_handler(way, CLASS, 0, topology)
        };
        Self {
            msi: present(edu(Way::Msi)),
            level: present(edu(Way::Pin)),
            rng: present(VirtioRng::start(CLASS, 0)),
        }
    }

    /// Makes a randomly chosen device interrupt, or usually none, because the devices are slow.
    pub(super) fn act(&self, rng: &mut Rng) {
        self.interrupt(rng.u32(0..24), rng);
    }

    /// Makes each device interrupt.
    pub(super) fn act_each(&self, rng: &mut Rng) {
        (0..3).for_each(|number| self.interrupt(number, rng));
    }

    fn interrupt(&self, number: u32, rng: &mut Rng) {
        match number {
            0 => raise(self.msi.as_ref(), Kind::Msi, rng),
            1 => raise(self.level.as_ref(), Kind::LevelPin, rng),
            2 => fill(self.rng.as_ref(), rng),
            _ => {}
        }
    }
}

/// Returns the device if it is present. Its absence is not an error.
fn present<T>(found: Result<T, PciError>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(PciError::NotFound(..) | PciError::Claimed(_)) => None,
        Err(error) => {
            account::error(format!("{error}"));
            None
        }
    }
}

fn raise(handled: Option<&HandledEdu>, kind: Kind, rng: &mut Rng) {
    let Some(handled) = handled else { return };
    let value = rng.u32(1..=MAX_VALUE) << 1;
    let target = rng.bool().then(|| any_cpu(rng));
    let tally = handled.raise_with(value, || move_to(handled.line(), target));
    sent(kind, tally.sent);
    received(kind, tally.received + tally.empty);
    if tally.values_sent != tally.values_received {
        account::error(format!(
            "edu: raised {:#x}, received {:#x}",
            tally.values_sent, tally.values_received
        ));
    }
}

fn fill(device: Option<&VirtioRng>, rng: &mut Rng) {
    let Some(device) = device else { return };
    let target = rng.bool().then(|| any_cpu(rng));
    let before = device.counted().received();
    sent(Kind::MsiX, 1);
    if let Err(error) = device.fill_with(|| move_to(device.counted().line(), target)) {
        account::error(format!("{error}"));
    }
    received(Kind::MsiX, device.counted().received() - before);
}

fn move_to(line: &Line, target: Option<u32>) {
    let Some(cpu) = target else { return };
    match line.move_to(cpu) {
        Ok(()) => moved(true),
        Err(LineError::Moving) => moved(false),
        Err(error) => account::error(format!("moving a line to CPU {cpu}: {error}")),
    }
}

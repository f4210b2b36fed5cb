//! The devices that take part in the storm, if the machine has them: two `edu`, one by message and one
//! by its pin, and a virtio entropy device by MSI-X. While an interrupt is on its way, its line is
//! moved.

use alloc::format;
use alloc::sync::Arc;

use fastrand::Rng;
use tocsin_logic::vector::PriorityClass;

use super::account::{self, Kind, moved, received, sent};
use super::any_cpu;
use crate::drivers::edu::{Answered, Edu, Way};
use crate::drivers::virtio_rng::VirtioRng;
use tocsin::line::{Line, LineError};
use tocsin::machine;
use tocsin::pci::PciError;

/// Priority class of the devices' lines.
const CLASS: PriorityClass = PriorityClass::new(7).expect("a class is 0 to 15");

/// The greatest value that `edu` is given: bit 0 is its computation's.
const MOST: u32 = 0x7fff_ffff;

/// What the machine has of them.
#[derive(Debug)]
pub(super) struct Devices {
    msi: Option<Answered>,
    level: Option<Answered>,
    rng: Option<VirtioRng>,
}

impl Devices {
    /// Starts those that are there; the account knows what is wrong with others.
    pub(super) fn find() -> Self {
        let edu = |way| {
            let topology = &machine().ok_or(PciError::NotFound(0, 0))?.topology;
            let edu = Arc::new(Edu::claim()?);
            edu.answer(way, CLASS, 0, topology)
        };
        Self {
            msi: present(edu(Way::Msi)),
            level: present(edu(Way::Pin)),
            rng: present(VirtioRng::start(CLASS, 0)),
        }
    }

    /// Lets one of them interrupt, if there is one, or none: they are slow.
    pub(super) fn act(&self, rng: &mut Rng) {
        self.interrupt(rng.u32(0..24), rng);
    }

    /// Lets each of them interrupt.
    pub(super) fn act_each(&self, rng: &mut Rng) {
        (0..3).for_each(|number| self.interrupt(number, rng));
    }

    fn interrupt(&self, number: u32, rng: &mut Rng) {
        match number {
            0 => raise(self.msi.as_ref(), Kind::Msi, rng),
            1 => raise(self.level.as_ref(), Kind::Level, rng),
            2 => fill(self.rng.as_ref(), rng),
            _ => {}
        }
    }
}

/// What there is; that it is not there is no fault.
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

fn raise(answered: Option<&Answered>, kind: Kind, rng: &mut Rng) {
    let Some(answered) = answered else { return };
    let value = rng.u32(1..=MOST) << 1;
    let target = rng.bool().then(|| any_cpu(rng));
    let tally = answered.raise_with(value, || move_to(answered.line(), target));
    sent(kind, tally.sent);
    received(kind, tally.received + tally.empty);
    if tally.values_sent != tally.values_received {
        account::error(format!(
            "edu was to raise {:#x}, but {:#x} came",
            tally.values_sent, tally.values_received
        ));
    }
}

fn fill(device: Option<&VirtioRng>, rng: &mut Rng) {
    let Some(device) = device else { return };
    let target = rng.bool().then(|| any_cpu(rng));
    let before = device.counted().received();
    sent(Kind::Msix, 1);
    if let Err(error) = device.fill_with(|| move_to(device.counted().line(), target)) {
        account::error(format!("{error}"));
    }
    received(Kind::Msix, device.counted().received() - before);
}

fn move_to(line: &Line, target: Option<u32>) {
    let Some(cpu) = target else { return };
    match line.move_to(cpu) {
        Ok(()) => moved(true),
        Err(LineError::Moving) => moved(false),
        Err(error) => account::error(format!("moving a line to CPU {cpu}: {error}")),
    }
}

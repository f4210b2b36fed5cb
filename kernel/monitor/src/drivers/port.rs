//! The slot of a PCI Express port (Express, 6.7.3): it interrupts when a command to it is completed,
//! and every write to its control is a command. Ports with MSI can mask it, which is what this shows.

use tocsin_logic::pci::capability::PCI_EXPRESS;
use tocsin_logic::pci::express::{
    COMMAND_COMPLETED, COMMAND_COMPLETED_ENABLE, ExpressCapability, INTERRUPT_ENABLE,
};
use tocsin_logic::vector::PriorityClass;

use super::counted::{CountedLine, Held};
use tocsin::pci::{Device, Function, PciError, bus};

/// A port whose slot we command, and whose messages are answered.
#[derive(Debug)]
pub struct Port {
    counted: CountedLine,
    express: ExpressCapability,
    /// What the slot control held when we came.
    control: u16,
    device: Device,
}

impl Port {
    /// Claims the first free port that completes commands and can mask its MSI, its message answered
    /// on CPU number `cpu` with priority class `class`.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`PciError::NoPort`] if there is none; others if the message cannot be answered.
    pub fn claim(class: PriorityClass, cpu: u32) -> Result<Self, PciError> {
        let mut ports = bus().functions.iter().filter(|it| !it.is_claimed());
        let found = ports.find_map(|function| Some((function, commanded(function)?)));
        let (function, express) = found.ok_or(PciError::NoPort)?;
        let device = function.claim()?;
        let msi = device.msi()?;
        // All that it has; the slot's events are one of them.
        let count = msi.messages().min(16);
        let number = express.message_number() % count;
        let counted = CountedLine::new("port", class, cpu, msi, count, number)?;
        // SAFETY: 1. A port writes nothing of its own to memory but its messages.
        unsafe { device.enable_bus_master() };
        let control = device.read(express.slot_control()) as u16;
        write(&device, express.slot_status(), COMMAND_COMPLETED);
        Ok(Self {
            counted,
            express,
            control,
            device,
        })
    }

    /// The function that the device is. Not as a [`Device`], which would give windows to its registers, and
    /// through them, as a bus master, to memory.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn function(&self) -> &Function {
        &self.device
    }

    /// The line that answers.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn counted(&self) -> &CountedLine {
        &self.counted
    }

    /// Gives the slot a command that changes nothing, and waits for the message that it is completed.
    /// Returns whether it came.
    ///
    /// Context: thread.
    #[must_use]
    pub fn command(&self) -> bool {
        let before = self.counted.received();
        self.send();
        self.counted.wait_beyond(before)
    }

    /// Gives a command with the message masked, and takes the mask away when it is completed.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// None of its own: what came is in the answer.
    pub fn command_masked(&self) -> Result<Held, PciError> {
        self.counted.hold(|| {
            self.send();
            Ok(())
        })
    }

    fn send(&self) {
        let (control, status) = (self.express.slot_control(), self.express.slot_status());
        let command = self.control | COMMAND_COMPLETED_ENABLE | INTERRUPT_ENABLE;
        // The port interrupts when the bit goes from 0 to 1.
        write(&self.device, status, COMMAND_COMPLETED);
        write(&self.device, control, command);
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let (control, status) = (self.express.slot_control(), self.express.slot_status());
        // Quiet before the control changes: QEMU's ports send a message for an event that ends, too.
        write(&self.device, status, COMMAND_COMPLETED);
        write(&self.device, control, self.control);
        write(&self.device, status, COMMAND_COMPLETED);
    }
}

/// Writes a 16-bit register of the slot, and not its neighbour.
fn write(device: &Device, offset: u16, value: u16) {
    // SAFETY: The slot's status and control neither let the port reach memory nor change its messages.
    unsafe { device.write_half(offset, value) }
}

/// The capability of a port that completes commands and can mask its MSI.
fn commanded(function: &Function) -> Option<ExpressCapability> {
    function.msi?.masks()?;
    let mut all = function.capabilities.iter();
    let found = all.find(|found| found.id == PCI_EXPRESS)?;
    let express = ExpressCapability::decode(found.offset, function.read(found.offset.into()))?;
    express
        .tells_commands(function.read(express.slot_capabilities()))
        .then_some(express)
}

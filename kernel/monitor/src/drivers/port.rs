//! The slot of a PCI Express port (Express, 6.7.3). The port interrupts when a command to the slot
//! is completed, and every write to the slot control register is a command. Ports with MSI can mask
//! the message, which this driver demonstrates.

use tocsin_logic::pci::capability::PCI_EXPRESS;
use tocsin_logic::pci::express::{
    COMMAND_COMPLETED, COMMAND_COMPLETED_ENABLE, ExpressCapability, INTERRUPT_ENABLE,
};
use tocsin_logic::vector::PriorityClass;

use super::counted::{CountedLine, MaskedMessage};
use tocsin::pci::{Device, Function, PciError, bus};

/// A port whose slot this driver controls, and whose messages it handles.
#[derive(Debug)]
pub struct Port {
    counted: CountedLine,
    express: ExpressCapability,
    /// The value of the slot control register when the port was claimed.
    control: u16,
    device: Device,
}

impl Port {
    /// Claims the first free port that reports command completion and can mask its MSI. The message
    /// is handled on CPU number `cpu` with priority class `class`.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`PciError::NoPort`] if there is none; others if the message cannot be handled.
    pub fn claim(class: PriorityClass, cpu: u32) -> Result<Self, PciError> {
        let mut ports = bus().functions.iter().filter(|it| !it.is_claimed());
        let found = ports.find_map(|function| Some((function, commanded(function)?)));
        let (function, express) = found.ok_or(PciError::NoPort)?;
        let device = function.claim()?;
        let msi = device.msi()?;
        // All messages of the port, one of which is that of the slot's events.
        let count = msi.messages().min(16);
        let number = express.message_number() % count;
        let counted = CountedLine::new("port", class, cpu, msi, count, number)?;
        // SAFETY: A port writes nothing to memory on its own except its messages.
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

    /// The PCI function of the device. It is not returned as a [`Device`], which would give access
    /// to its registers, and through them, as it is a bus master, to memory.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn function(&self) -> &Function {
        &self.device
    }

    /// The line that handles the messages.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn counted(&self) -> &CountedLine {
        &self.counted
    }

    /// Sends a command that changes nothing to the slot, and waits for the message that reports its
    /// completion. Returns whether the message was received.
    ///
    /// Context: thread.
    #[must_use]
    pub fn command(&self) -> bool {
        let before = self.counted.received();
        self.send();
        self.counted.wait_beyond(before)
    }

    /// Sends a command with the message masked, and unmasks the message when the command is
    /// completed.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// Never fails: the result contains what was received.
    pub fn command_masked(&self) -> Result<MaskedMessage, PciError> {
        self.counted.send_masked(|| {
            self.send();
            Ok(())
        })
    }

    fn send(&self) {
        let (control, status) = (self.express.slot_control(), self.express.slot_status());
        let command = self.control | COMMAND_COMPLETED_ENABLE | INTERRUPT_ENABLE;
        // The port interrupts when the bit changes from 0 to 1.
        write(&self.device, status, COMMAND_COMPLETED);
        write(&self.device, control, command);
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let (control, status) = (self.express.slot_control(), self.express.slot_status());
        // The event is cleared before the control register changes, because QEMU's ports also send
        // a message when an event ends.
        write(&self.device, status, COMMAND_COMPLETED);
        write(&self.device, control, self.control);
        write(&self.device, status, COMMAND_COMPLETED);
    }
}

/// Writes a 16-bit register of the slot without writing its neighbor.
fn write(device: &Device, offset: u16, value: u16) {
    // SAFETY: The slot's status and control neither let the port access memory nor change its
    // messages.
    unsafe { device.write_half(offset, value) }
}

/// Returns the capability of a port that reports command completion and can mask its MSI.
fn commanded(function: &Function) -> Option<ExpressCapability> {
    function.msi?.masks()?;
    let mut all = function.capabilities.iter();
    let found = all.find(|found| found.id == PCI_EXPRESS)?;
    let express = ExpressCapability::decode(found.offset, function.read(found.offset.into()))?;
    express
        .supports_command_completion(function.read(express.slot_capabilities()))
        .then_some(express)
}

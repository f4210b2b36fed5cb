//! PCI class codes and their names.

/// A class code (PCI, 6.2.1; codes, chapter 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    /// The base class.
    pub base: u8,
    /// The sub-class.
    pub sub: u8,
    /// The programming interface, if the sub-class has several.
    pub interface: u8,
}

impl Class {
    /// Decodes the register at offset 8, whose lowest byte is the revision.
    #[must_use]
    pub const fn from_register(register: u32) -> Self {
        let [_, interface, sub, base] = register.to_le_bytes();
        Self {
            base,
            sub,
            interface,
        }
    }

    /// Base class and sub-class as one number, such as `0x0604`.
    #[must_use]
    pub const fn number(self) -> u16 {
        (self.base as u16) << 8 | self.sub as u16
    }

    /// The most specific name: that of the sub-class, else that of the base class.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.base, self.sub) {
            (0x00, 0x01) => "old VGA adapter",
            (0x00, _) => "unclassified",
            (0x01, 0x00) => "SCSI controller",
            (0x01, 0x01) => "IDE controller",
            (0x01, 0x02) => "floppy controller",
            (0x01, 0x04) => "RAID controller",
            (0x01, 0x05) => "ATA controller",
            (0x01, 0x06) => "SATA controller",
            (0x01, 0x07) => "SAS controller",
            (0x01, 0x08) => "NVMe controller",
            (0x01, _) => "storage controller",
            (0x02, 0x00) => "Ethernet adapter",
            (0x02, _) => "network adapter",
            (0x03, 0x00) => "VGA adapter",
            (0x03, 0x02) => "3D adapter",
            (0x03, _) => "display adapter",
            (0x04, 0x00) => "video device",
            (0x04, 0x01 | 0x03) => "audio device",
            (0x04, _) => "multimedia device",
            (0x05, _) => "memory controller",
            (0x06, 0x00) => "host bridge",
            (0x06, 0x01) => "ISA bridge",
            (0x06, 0x02) => "EISA bridge",
            (0x06, 0x04 | 0x09) => "PCI bridge",
            (0x06, 0x07) => "CardBus bridge",
            (0x06, _) => "bridge",
            (0x07, 0x00) => "serial port",
            (0x07, 0x01) => "parallel port",
            (0x07, _) => "communication device",
            (0x08, 0x00) => "interrupt controller",
            (0x08, 0x01) => "DMA controller",
            (0x08, 0x02) => "timer",
            (0x08, 0x03) => "real-time clock",
            (0x08, 0x05) => "SD controller",
            (0x08, 0x06) => "IOMMU",
            (0x08, _) => "system peripheral",
            (0x09, _) => "input device",
            (0x0a, _) => "docking station",
            (0x0b, _) => "processor",
            (0x0c, 0x00) => "FireWire controller",
            (0x0c, 0x03) => "USB controller",
            (0x0c, 0x05) => "SMBus controller",
            (0x0c, _) => "serial bus controller",
            (0x0d, _) => "wireless adapter",
            (0x10, _) => "encryption device",
            (0x11, _) => "signal processor",
            (0x12, _) => "accelerator",
            (0x40, _) => "coprocessor",
            _ => "unknown class",
        }
    }
}

//! Hand-assembled guests of a few instructions with known behaviour: they verify that the runner
//! distinguishes a hang, a reset and a triple fault.
//!
//! They are flat Multiboot images: QEMU enters them in 32-bit protected mode with paging disabled,
//! through the same `-kernel` option that boots the kernel directly.

/// Load address of a guest.
const LOAD_ADDRESS: u32 = 0x10_0000;

/// Size of the Multiboot header, with the address fields.
const HEADER_SIZE: u32 = 32;

/// COM1's data register, and the line status register with its "data ready" bit.
const COM1: u16 = 0x3f8;
const COM1_STATUS: u16 = COM1 + 5;

/// A program under construction.
#[derive(Debug, Default)]
pub struct Guest {
    code: Vec<u8>,
}

impl Guest {
    /// An empty program.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends `text` on COM1.
    #[must_use]
    pub fn say(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            self.set_port(COM1);
            self.code.extend([0xb0, byte, 0xee]); // mov al, byte; out dx, al
        }
        self
    }

    /// Writes `value` to the 32-bit port at 0xf4, which exits QEMU.
    #[must_use]
    pub fn exit(mut self, value: u32) -> Self {
        self.set_port(0xf4);
        self.code.push(0xb8); // mov eax, value
        self.code.extend(value.to_le_bytes());
        self.code.push(0xef); // out dx, eax
        self
    }

    /// Requests a reset from the keyboard controller.
    #[must_use]
    pub fn reset(mut self) -> Self {
        self.code.extend([0xb0, 0xfe, 0xe6, 0x64]); // mov al, 0xfe; out 0x64, al
        self
    }

    /// Loads an empty IDT and raises an exception.
    #[must_use]
    pub fn triple_fault(mut self) -> Self {
        self.code.extend([0x6a, 0, 0x6a, 0]); // push 0; push 0: limit and base 0
        self.code.extend([0x0f, 0x01, 0x1c, 0x24]); // lidt [esp]
        self.code.extend([0x0f, 0x0b]); // ud2
        self
    }

    /// Waits for a byte on COM1 and echoes it, `count` times.
    #[must_use]
    pub fn echo(mut self, count: u8) -> Self {
        for _ in 0..count {
            self.set_port(COM1_STATUS);
            self.code.extend([0xec, 0xa8, 1, 0x74, 0xfb]); // again: in al, dx; test al, 1; jz again
            self.set_port(COM1);
            self.code.extend([0xec, 0xee]); // in al, dx; out dx, al
        }
        self
    }

    /// Halts permanently, and completes the program. Returns the image for QEMU.
    #[must_use]
    pub fn halt(mut self) -> Vec<u8> {
        self.code.extend([0xfa, 0xf4, 0xeb, 0xfd]); // cli; again: hlt; jmp again
        self.image()
    }

    /// Sends `byte` on COM1 forever, and completes the program, like [`halt`](Self::halt).
    #[must_use]
    pub fn babble(mut self, byte: u8) -> Vec<u8> {
        self.set_port(COM1);
        self.code.extend([0xb0, byte, 0xee, 0xeb, 0xfd]); // mov al, byte; again: out dx, al; jmp again
        self.image()
    }

    fn image(self) -> Vec<u8> {
        let stack_top = LOAD_ADDRESS + 0x10_0000;
        let mut entry = vec![0xbc]; // mov esp, stack_top
        entry.extend(stack_top.to_le_bytes());
        entry.extend(self.code);
        // Multiboot 1, section 3.1: bit 16 of the flags means that the header contains the
        // addresses.
        let (magic, flags) = (0x1bad_b002_u32, 1_u32 << 16);
        let checksum = 0_u32.wrapping_sub(magic).wrapping_sub(flags);
        let whole_file = 0;
        let no_bss = 0;
        let header = [
            magic,
            flags,
            checksum,
            LOAD_ADDRESS,
            LOAD_ADDRESS,
            whole_file,
            no_bss,
            LOAD_ADDRESS + HEADER_SIZE,
        ];
        let mut image: Vec<u8> = header.into_iter().flat_map(u32::to_le_bytes).collect();
        image.extend(entry);
        image
    }

    fn set_port(&mut self, port: u16) {
        self.code.extend([0x66, 0xba]); // mov dx, port
        self.code.extend(port.to_le_bytes());
    }
}

//! The two 8259A interrupt controllers (PIC): remapped and masked.
//!
//! A masked 8259A can still interrupt. If its request is withdrawn while the CPU acknowledges it,
//! it delivers its input 7 regardless of the mask (8259A data sheet, "interrupt sequence"):
//! spurious IRQ 7 of the first controller, IRQ 15 of the second. So their vectors are moved away
//! from the exceptions, and these two are handled and counted.

use core::sync::atomic::{AtomicU64, Ordering};

use tocsin_logic::vector::Vector;

use crate::cpu::handlers;
use crate::hw::port;

/// Vector of IRQ 0; the 16 inputs have 16 consecutive vectors.
pub const FIRST_VECTOR: u8 = 0x20;

/// Input on which an 8259A delivers spurious interrupts.
const SPURIOUS_INPUT: u8 = 7;

/// One of the two controllers.
struct Pic {
    command: u16,
    data: u16,
    first_vector: u8,
    spurious_irqs: AtomicU64,
}

static FIRST: Pic = Pic::new(0x20, FIRST_VECTOR);
static SECOND: Pic = Pic::new(0xa0, FIRST_VECTOR + 8);

/// The counts of spurious IRQs of the first and the second controller.
///
/// Context: any.
#[must_use]
pub fn spurious_irqs() -> (u64, u64) {
    (
        FIRST.spurious_irqs.load(Ordering::Relaxed),
        SECOND.spurious_irqs.load(Ordering::Relaxed),
    )
}

/// Initialises both controllers, masks all their inputs and registers the handlers of their
/// spurious interrupts. On the boot CPU, interrupts off.
pub(crate) fn set_up() {
    // ICW3: the second controller is connected to input 2 of the first.
    FIRST.initialise(1 << 2);
    SECOND.initialise(2);
    handlers::register(FIRST.spurious_vector(), handle_first_spurious);
    handlers::register(SECOND.spurious_vector(), handle_second_spurious);
}

extern "C" fn handle_first_spurious(_: usize, _: u8) {
    FIRST.handle_spurious(None);
}

extern "C" fn handle_second_spurious(_: usize, _: u8) {
    SECOND.handle_spurious(Some(&FIRST));
}

impl Pic {
    const fn new(command: u16, first_vector: u8) -> Self {
        Self {
            command,
            data: command + 1,
            first_vector,
            spurious_irqs: AtomicU64::new(0),
        }
    }

    fn spurious_vector(&self) -> Vector {
        Vector(self.first_vector + SPURIOUS_INPUT)
    }

    fn initialise(&self, icw3: u8) {
        // ICW1: begin, cascaded, edge-triggered, ICW4 follows. Then the vector, the wiring, and
        // ICW4: 8086 mode. An old controller needs a delay between the writes.
        write(self.command, 0x11);
        for word in [self.first_vector, icw3, 0x01, 0xff] {
            pause();
            write(self.data, word);
        }
        pause();
    }

    /// Handles an interrupt on the vector of spurious interrupts. `parent` is the controller to
    /// which this one is connected: it has received a real request, and needs an EOI in either
    /// case.
    fn handle_spurious(&self, parent: Option<&Self>) {
        // OCW3: the next read returns the in-service register.
        write(self.command, 0x0b);
        if read(self.command) & 1 << SPURIOUS_INPUT != 0 {
            write(self.command, 0x20);
        } else {
            self.spurious_irqs.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(parent) = parent {
            write(parent.command, 0x20);
        }
    }
}

/// Waits about a microsecond, by a write to an unused port.
fn pause() {
    write(0x80, 0);
}

fn write(port: u16, value: u8) {
    // SAFETY: The ports belong to the two controllers, or are the diagnostic port 0x80, which no
    // other code of the kernel uses.
    unsafe { port::write(port, value) };
}

fn read(port: u16) -> u8 {
    // SAFETY: As for `write`.
    unsafe { port::read(port) }
}

//! The interrupt of COM1, which wakes the monitor when input arrives, and the test of this
//! interrupt.

use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering};

use tocsin_logic::acpi::Signature;
use tocsin_logic::vector::PriorityClass;

use tocsin::line::{Line, Request, Source};
use tocsin::{console, cpu, machine, time};

/// Priority class of the serial port: low, because input from a person is slow.
pub(super) const CLASS: PriorityClass = PriorityClass::new(4).expect("a class is 0 to 15");

/// The timeout for the interrupt of the test, in nanoseconds: a virtual CPU may have to wait for
/// the host's scheduler, and the device for the emulator's main loop.
const TIMEOUT: u64 = 2_000_000_000;

/// The time to wait for the interrupt before a byte is sent, in nanoseconds.
const AT_ONCE: u64 = 200_000_000;

/// Signatures of the ACPI tables of IOMMUs that may drop an I/O APIC's interrupts.
const IOMMUS: [Signature; 2] = [Signature(*b"IVRS"), Signature(*b"DMAR")];

static ARRIVED: AtomicU64 = AtomicU64::new(0);

/// The serial port from which the monitor receives.
#[derive(Debug)]
pub(super) struct Port {
    /// `None` if the port is polled.
    line: Option<Line>,
}

impl Port {
    /// Sets up the port's interrupt to wake this CPU when bytes arrive. If the interrupt does not
    /// arrive, logs the reason.
    ///
    /// Context: thread.
    pub(super) fn start() -> Self {
        let line = match Self::line() {
            Ok(line) => Some(line),
            Err(why) => {
                log::warn!("console: COM1: {why} (input is polled)");
                None
            }
        };
        Self { line }
    }

    /// Whether the port's interrupt arrives; if not, the port must be polled.
    pub(super) fn arrives(&self) -> bool {
        self.line.is_some()
    }

    fn line() -> Result<Line, String> {
        let request = Request {
            name: "console",
            source: Source::Isa(console::ISA_IRQ),
            class: CLASS,
            cpu: cpu::current().id(),
        };
        // The handler only needs to end `hlt`.
        let count = || {
            ARRIVED.fetch_add(1, Ordering::Relaxed);
        };
        let line = Line::new(request, count).map_err(|error| alloc::format!("{error}"))?;
        if !console::is_present() {
            return Ok(line);
        }
        // An empty transmitter raises an interrupt.
        let before = ARRIVED.load(Ordering::Relaxed);
        console::enable_transmit_interrupt(true);
        let has_arrived = || ARRIVED.load(Ordering::Relaxed) != before;
        let arrives = time::wait_until(AT_ONCE, has_arrived) || {
            // Some ports interrupt only after a byte. This byte is not visible at the beginning of
            // a line.
            console::write_bytes(b"\r");
            time::wait_until(TIMEOUT, has_arrived)
        };
        console::enable_transmit_interrupt(false);
        if !arrives {
            return Err(alloc::format!(
                "its interrupt, {}, does not arrive{}",
                line.describe().source,
                cause()
            ));
        }
        console::enable_receive_interrupt();
        Ok(line)
    }
}

/// Returns the likely cause of interrupts that do not arrive.
fn cause() -> String {
    let tables = machine().and_then(|machine| machine.tables.as_ref());
    let iommu = IOMMUS
        .into_iter()
        .find(|&signature| tables.is_some_and(|tables| tables.get(signature).is_some()));
    iommu.map_or_else(String::new, |signature| {
        alloc::format!(
            "; ACPI lists an IOMMU ({signature}), which this kernel does not drive and which may drop \
             the interrupts of all devices: try without it"
        )
    })
}

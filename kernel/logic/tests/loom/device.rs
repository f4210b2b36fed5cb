//! A device that interrupts, and the registers with its route.

use crate::sync::point;
use crate::vector::Vector;
use loom::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tocsin_logic::irq::affinity::{SourceKind, Target};
use tocsin_logic::topology::CpuId;

/// The device, with the registers of its message or of its pin. Each access is one transaction of
/// the bus, also that of the device itself when it sends.
pub(crate) struct Device {
    source: SourceKind,
    registers: Mutex<Registers>,
    /// Numbers of events so far, and of events that the handlers have seen. Not part of the model.
    events: AtomicUsize,
    seen: AtomicUsize,
}

#[allow(clippy::struct_excessive_bools, reason = "they are bits of registers")]
struct Registers {
    cpu: CpuId,
    vector: Vector,
    masked: bool,
    /// Whether a message was not sent because of the mask.
    pending: bool,
    /// Of a level-triggered pin: its level, and whether an interrupt has been sent and not ended.
    asserted: bool,
    remote_irr: bool,
    /// Number of messages that have been sent and have not arrived.
    in_flight: usize,
}

impl Registers {
    /// Sends a message.
    fn send(&mut self) -> Target {
        self.in_flight += 1;
        Target {
            cpu: self.cpu,
            vector: self.vector,
        }
    }

    /// Sends the interrupt of a level-triggered pin, if a change requires it.
    fn send_level(&mut self) -> Option<Target> {
        let sends = self.asserted && !self.masked && !self.remote_irr;
        sends.then(|| {
            self.remote_irr = true;
            self.send()
        })
    }
}

impl Device {
    pub(crate) fn new(source: SourceKind, target: Target) -> Self {
        Self {
            source,
            registers: Mutex::new(Registers {
                cpu: target.cpu,
                vector: target.vector,
                masked: false,
                pending: false,
                asserted: false,
                remote_irr: false,
                in_flight: 0,
            }),
            events: AtomicUsize::new(0),
            seen: AtomicUsize::new(0),
        }
    }

    /// One access to the registers.
    fn access<R>(&self, access: impl FnOnce(&mut Registers) -> R) -> R {
        point();
        access(&mut self.registers.lock().unwrap())
    }

    /// An event. Returns the target of its message, if one is sent now; after its arrival, the
    /// caller must call [`arrived`](Self::arrived).
    pub(crate) fn event(&self) -> Option<Target> {
        self.access(|registers| {
            self.events.fetch_add(1, SeqCst);
            match self.source {
                SourceKind::LevelPin => {
                    registers.asserted = true;
                    registers.send_level()
                }
                SourceKind::MaskableMessage if registers.masked => {
                    registers.pending = true;
                    None
                }
                // A masked pin loses its edges.
                _ => (!registers.masked).then(|| registers.send()),
            }
        })
    }

    pub(crate) fn arrived(&self) {
        self.access(|registers| registers.in_flight -= 1);
    }

    /// The handler reads and clears the cause.
    pub(crate) fn serve(&self) {
        if self.source == SourceKind::LevelPin {
            self.access(|registers| {
                registers.asserted = false;
                self.seen.store(self.events.load(SeqCst), SeqCst);
            });
        } else {
            self.seen.store(self.events.load(SeqCst), SeqCst);
        }
    }

    /// The EOI of a CPU arrives at the I/O APIC. May send, as `event`.
    pub(crate) fn end(&self, vector: Vector) -> Option<Target> {
        if self.source != SourceKind::LevelPin {
            return None;
        }
        self.access(|registers| {
            if registers.vector == vector {
                registers.remote_irr = false;
            }
            registers.send_level()
        })
    }

    pub(crate) fn mask(&self) {
        self.access(|registers| registers.masked = true);
    }

    /// May send, as `event`.
    pub(crate) fn unmask(&self) -> Option<Target> {
        self.access(|registers| {
            registers.masked = false;
            let is_pending = std::mem::take(&mut registers.pending);
            let message = is_pending.then(|| registers.send());
            message.or_else(|| registers.send_level())
        })
    }

    pub(crate) fn set_vector(&self, vector: Vector) {
        self.access(|registers| registers.vector = vector);
    }

    pub(crate) fn set_destination(&self, cpu: CpuId) {
        self.access(|registers| registers.cpu = cpu);
    }

    /// Whether no message is in flight.
    pub(crate) fn is_flushed(&self) -> bool {
        self.access(|registers| registers.in_flight == 0)
    }

    /// As `is_flushed`, and whether the pin awaits no EOI.
    pub(crate) fn is_idle(&self) -> bool {
        self.access(|registers| registers.in_flight == 0 && !registers.remote_irr)
    }

    /// Number of events that the handlers have seen.
    pub(crate) fn seen(&self) -> usize {
        self.seen.load(SeqCst)
    }
}

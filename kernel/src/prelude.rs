//! The types that most kernels use: `use tocsin::prelude::*`.

pub use tocsin_logic::acpi::Gsi;
pub use tocsin_logic::irq::route::Mode as PinMode;
pub use tocsin_logic::vector::{PriorityClass, Vector};

pub use crate::ipi::Targets;
pub use crate::ipi::vectors::{self, ReservedVector};
pub use crate::line::{Claim, Line, LineError, Request, SharedHandler, SharedLine, Source};
pub use crate::priority::{CeilingMutex, raise};
pub use crate::sync::{IrqMutex, without_interrupts};
pub use crate::timer::{Expiry, Mode, Timer, TimerError};
pub use crate::{Machine, deferred, ipi, print, println};

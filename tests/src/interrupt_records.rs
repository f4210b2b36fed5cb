//! Records of the monitor's commands that count interrupts or test them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A record of `ipi json`, of kind `ipi`.
#[derive(Debug, Deserialize)]
pub struct Ipi {
    /// The kind of interrupt, such as `async_call_one`.
    pub interrupt: String,
    /// The number sent.
    pub sent: u64,
    /// The number received.
    pub received: u64,
    /// The number that the receivers refused, which is not part of `sent`.
    pub refused: u64,
}

/// A record of `storm json`, of kind `storm`.
#[derive(Debug, Deserialize)]
pub struct Storm {
    /// Whether no interrupt was lost or duplicated, and no other error occurred.
    pub passed: bool,
}

/// A record of `nmi json`, of kind `nmi`.
#[derive(Debug, Deserialize)]
pub struct Nmis {
    /// The kernel's CPU number.
    pub cpu: u32,
    /// The number delivered.
    pub delivered: u64,
    /// The number delivered while another was handled.
    pub nested: u64,
    /// The numbers by cause, such as `backtrace`.
    pub causes: BTreeMap<String, u64>,
    /// The number whose causes an earlier one has handled.
    pub late: u64,
    /// The number that the kernel has not requested.
    pub unknown: u64,
}

/// A record of `nmi nest json`, of kind `nested_nmi`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct NestedNmi {
    /// The CPU that received both NMIs.
    pub cpu: u32,
    /// The CPU that sent the second.
    pub sender: u32,
    /// How often the handler ran.
    pub runs: u32,
    /// How often it ran at once.
    pub concurrent: u32,
    /// The NMIs that were delivered during another.
    pub nested: u64,
    /// Whether the interrupted code found its registers unchanged.
    pub intact: bool,
}

/// A record of `spurious json`, of kind `spurious`.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Spurious {
    /// The kernel's CPU number.
    pub cpu: u32,
    /// Interrupts withdrawn before their delivery.
    pub spurious: u64,
    /// Interrupts on vectors without a handler.
    pub unhandled: u64,
    /// Gates entered by something other than the interrupt in service.
    pub eoi_mismatch: u64,
    /// Errors of the local APIC, such as `illegal_register_address`.
    pub apic_errors: BTreeMap<String, u64>,
}

/// A record of `spurious ipi json`, of kind `delivery`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Delivery {
    /// The kernel's CPU number.
    pub cpu: u32,
    /// The vector.
    pub vector: u8,
    /// How often it was delivered.
    pub count: u64,
}

/// An address in the kernel's code.
#[derive(Debug, Deserialize)]
pub struct CodeAddress {
    /// The address.
    pub address: u64,
    /// The function that contains it.
    pub function: Option<String>,
}

impl CodeAddress {
    /// Whether it is in this function.
    #[must_use]
    pub fn is_in(&self, function: &str) -> bool {
        self.function.as_deref() == Some(function)
    }
}

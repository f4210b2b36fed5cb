//! The outcome of a machine.

#[cfg(test)]
mod tests;

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

/// The outcome of a machine, from QEMU's exit status and its earlier events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel exited QEMU with this status: 0 for success.
    Kernel(u8),
    /// A fault occurred during the delivery of a double fault.
    TripleFault,
    /// The guest reset the machine, which was not configured to reboot.
    Reset,
    /// The machine was powered off, by the guest or by QEMU's `quit`.
    Off,
    /// QEMU exited because of a signal of the host, such as SIGTERM.
    Terminated,
    /// QEMU was killed by this signal.
    Signal(i32),
    /// QEMU exited with this status, which the kernel did not request.
    Qemu(i32),
}

impl Outcome {
    /// Determines the outcome from QEMU's exit status, the reason in its last `SHUTDOWN` event, and
    /// whether its log contains a triple fault.
    pub(crate) fn new(status: ExitStatus, reason: Option<&str>, triple_fault: bool) -> Self {
        if let Some(signal) = status.signal() {
            return Self::Signal(signal);
        }
        match (reason, status.code().unwrap_or_default()) {
            (Some("guest-reset"), 0) if triple_fault => Self::TripleFault,
            (Some("guest-reset"), 0) => Self::Reset,
            (Some("host-signal"), 0) => Self::Terminated,
            (_, 0) => Self::Off,
            (_, code) => tocsin_logic::exit::from_qemu(code).map_or(Self::Qemu(code), Self::Kernel),
        }
    }

    /// The kernel's status; `None` if the kernel did not end the run.
    #[must_use]
    pub fn kernel_status(self) -> Option<u8> {
        match self {
            Self::Kernel(status) => Some(status),
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(tocsin_logic::exit::STOPPED) => write!(
                f,
                "the kernel stopped itself after a fault or panic (status {})",
                tocsin_logic::exit::STOPPED
            ),
            Self::Kernel(status) => write!(f, "the kernel ended with status {status}"),
            Self::TripleFault => f.write_str("a triple fault reset the machine"),
            Self::Reset => f.write_str("the guest reset the machine"),
            Self::Off => f.write_str("the machine was powered off"),
            Self::Terminated => {
                f.write_str("QEMU was ended by a signal of the host (SIGTERM, SIGINT or SIGHUP)")
            }
            Self::Signal(signal) => write!(f, "QEMU was killed by signal {signal}"),
            Self::Qemu(code) => write!(f, "QEMU ended with exit status {code}"),
        }
    }
}

//! The end: a panic's report, and stopping after one.

use core::fmt::Write;
use core::panic::PanicInfo;

use tocsin_logic::exit;

use crate::{console, cpu, hw};

/// Stops the kernel after a report has been printed: QEMU ends with the status that says so;
/// a machine that cannot end itself halts.
pub(crate) fn stop() -> ! {
    cpu::report::stopped();
    hw::machine::power_off(exit::STOPPED)
}

/// Reports that the kernel cannot be started, and stops.
pub(crate) fn cannot_start(reason: &dyn core::fmt::Display) -> ! {
    let _ = writeln!(console::seize(), "tocsin: cannot start: {reason}");
    stop()
}

#[cfg_attr(target_os = "none", panic_handler)]
#[cfg_attr(
    not(target_os = "none"),
    expect(dead_code, reason = "the host has std's own")
)]
fn panic(info: &PanicInfo<'_>) -> ! {
    x86_64::instructions::interrupts::disable();
    cpu::report::panic(info);
    stop()
}

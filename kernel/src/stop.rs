//! The ends that the kernel comes to by itself: a panic, and a start that fails.

use core::fmt::Write;
use core::panic::PanicInfo;

use crate::cpu::report;

/// Reports that the kernel cannot be started, and stops.
pub(crate) fn cannot_start(reason: &dyn core::fmt::Display) -> ! {
    let _ = writeln!(report::take_console(), "tocsin: cannot start: {reason}");
    report::stop()
}

#[cfg_attr(target_os = "none", panic_handler)]
#[cfg_attr(
    not(target_os = "none"),
    expect(dead_code, reason = "the host has std's own")
)]
fn panic(info: &PanicInfo<'_>) -> ! {
    x86_64::instructions::interrupts::disable();
    report::panic(info)
}

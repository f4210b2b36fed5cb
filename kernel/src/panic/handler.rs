//! The panic handler, and the stop after a failed start.

use core::fmt::Write;
use core::panic::PanicInfo;

use super::report;

/// Reports that the kernel cannot be started, and stops.
pub(crate) fn cannot_start(reason: &dyn core::fmt::Display) -> ! {
    let _ = writeln!(report::take_console(), "tocsin: cannot start: {reason}");
    report::stop()
}

/// Reports a panic, with the location, the CPUs and a backtrace, stops all CPUs, and ends the
/// kernel.
///
/// It is the panic handler, unless the kernel has its own (without the feature `panic-handler`),
/// which may end with it.
///
/// Context: any.
pub fn report_panic(info: &PanicInfo<'_>) -> ! {
    x86_64::instructions::interrupts::disable();
    report::panic(info)
}

// The host only checks and documents this library; there std has a panic handler.
#[cfg(all(target_os = "none", feature = "panic-handler"))]
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    report_panic(info)
}

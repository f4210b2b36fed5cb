//! How the kernel's status becomes QEMU's exit code, and back.
//!
//! QEMU's `isa-debug-exit` device ends QEMU with `2 * value + 1` when `value` is
//! written to its port. The kernel adds [`BASE`], so that its own status 0 cannot
//! be mistaken for QEMU's own failures (1) or successes (0).

#[cfg(test)]
mod tests;

/// Added to the status before it is written to the port.
pub const BASE: u32 = 0x10;

/// The highest status that `poweroff` accepts.
pub const MAX: u8 = 100;

/// The status of a kernel that stopped on a panic or a fault.
pub const STOPPED: u8 = 101;

/// The value to write to the port for a status of 0 to [`STOPPED`].
///
/// A status above that is no status of ours and is reported as [`STOPPED`]: the
/// exit code of a process has 8 bits, and a truncated one would read as a
/// different status.
#[must_use]
pub const fn to_port(status: u8) -> u32 {
    let status = if status > STOPPED { STOPPED } else { status };
    BASE + status as u32
}

/// The status behind QEMU's exit code; `None` if the kernel did not set it.
#[must_use]
pub fn from_qemu(code: i32) -> Option<u8> {
    let code = u32::try_from(code).ok().filter(|code| code % 2 == 1)?;
    let status = u8::try_from((code / 2).checked_sub(BASE)?).ok()?;
    (status <= STOPPED).then_some(status)
}

//! Conversion between the kernel's exit status and the exit code of QEMU.
//!
//! The `isa-debug-exit` device of QEMU exits with `2 * value + 1` when `value` is written to its
//! port. The kernel adds [`BASE`] to its status, so that status 0 differs from QEMU's own failure
//! (1) and success (0).

#[cfg(test)]
mod tests;

/// The number added to the status before it is written to the port.
pub const BASE: u32 = 0x10;

/// The highest status that `poweroff` accepts.
pub const MAX: u8 = 100;

/// The status of a kernel that stopped after a panic or a fault.
pub const STOPPED: u8 = 101;

/// Returns the value to write to the port for a status of 0 to [`STOPPED`].
///
/// A higher status is invalid and reported as [`STOPPED`]: the exit code of a process has 8 bits,
/// and a truncated code would look like another status.
#[must_use]
pub const fn to_port(status: u8) -> u32 {
    let status = if status > STOPPED { STOPPED } else { status };
    BASE + status as u32
}

/// Returns the status for an exit code of QEMU; `None` if the kernel did not set it.
#[must_use]
pub fn from_qemu(code: i32) -> Option<u8> {
    let code = u32::try_from(code).ok().filter(|code| code % 2 == 1)?;
    let status = u8::try_from((code / 2).checked_sub(BASE)?).ok()?;
    (status <= STOPPED).then_some(status)
}

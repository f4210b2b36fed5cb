//! Human-readable sizes and durations.

use arrayvec::ArrayString;
use core::fmt::{self, Write};

#[cfg(test)]
mod tests;

/// A number of bytes, displayed in the largest binary unit that fits: `512 MiB`, `3.2 GiB`, `640
/// KiB`, `17 B`.
///
/// A whole number of units has no decimal; other values are rounded to one decimal. Width and
/// alignment of the format string are respected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        scaled(self.0, 1024, &UNITS, f)
    }
}

/// A duration in nanoseconds, displayed in the largest unit up to seconds that fits: `850 ns`,
/// `12.3 us`, `4 ms`, `86400 s`. ASCII only, for serial lines.
///
/// Rounded like [`Bytes`]. Width and alignment of the format string are respected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanoseconds(pub u64);

impl fmt::Display for Nanoseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(self.0, 1000, &["ns", "us", "ms", "s"], f)
    }
}

/// Writes `value` in the largest of `units` (each `step` times the previous one) in which it is at
/// least 1.
fn scaled(value: u64, step: u64, units: &[&str], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut scale = 1;
    let mut unit = 0;
    while unit + 1 < units.len() && value / scale >= step {
        scale *= step;
        unit += 1;
    }
    let mut text = ArrayString::<32>::new();
    if value.is_multiple_of(scale) {
        write!(text, "{} {}", value / scale, units[unit])?;
    } else {
        // Ten times the largest value does not fit into 64 bits.
        let mut tenths = (u128::from(value) * 10 + u128::from(scale / 2)) / u128::from(scale);
        if tenths >= u128::from(step) * 10 && unit + 1 < units.len() {
            // Rounded up to one of the next unit: 1023.97 KiB is 1.0 MiB.
            tenths = 10;
            unit += 1;
        }
        write!(text, "{}.{} {}", tenths / 10, tenths % 10, units[unit])?;
    }
    f.pad(&text)
}

//! The complete output of a machine on COM1, byte by byte, with the host's time stamps.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::time::Duration;

/// The bytes received so far. Times count from QEMU's start.
#[derive(Debug, Default, Clone)]
pub struct Transcript {
    bytes: Vec<u8>,
    /// Offset and arrival time of each received piece.
    pieces: Vec<(usize, Duration)>,
}

impl Transcript {
    pub(crate) fn push(&mut self, piece: &[u8], at: Duration) {
        self.pieces.push((self.bytes.len(), at));
        self.bytes.extend_from_slice(piece);
    }

    /// All bytes, with line ends as sent by the kernel.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The arrival time of the byte at `offset`; `None` past the end.
    #[must_use]
    pub fn time_of(&self, offset: usize) -> Option<Duration> {
        if offset >= self.bytes.len() {
            return None;
        }
        let after = self.pieces.partition_point(|&(start, _)| start <= offset);
        Some(self.pieces[after - 1].1)
    }

    /// The offset of the next occurrence of `pattern` at or after `from`.
    #[must_use]
    pub fn find(&self, pattern: &[u8], from: usize) -> Option<usize> {
        if pattern.is_empty() {
            return Some(from);
        }
        let found = self
            .bytes
            .get(from..)?
            .windows(pattern.len())
            .position(|w| w == pattern)?;
        Some(from + found)
    }

    /// The text from `from` on, as [`text`] shows it.
    #[must_use]
    pub fn text_from(&self, from: usize) -> String {
        text(self.bytes.get(from..).unwrap_or_default())
    }

    /// The last `lines` lines, each with its time.
    #[must_use]
    pub fn tail(&self, lines: usize) -> String {
        let mut starts = vec![0];
        starts.extend(
            self.bytes
                .iter()
                .enumerate()
                .filter(|(_, b)| **b == b'\n')
                .map(|(i, _)| i + 1),
        );
        starts.retain(|&start| start < self.bytes.len());
        let first = starts.len().saturating_sub(lines);
        let mut out = String::new();
        for (index, &start) in starts.iter().enumerate().skip(first) {
            let end = starts.get(index + 1).copied().unwrap_or(self.bytes.len());
            let at = self.time_of(start).unwrap_or_default();
            let line = text(&self.bytes[start..end]);
            let seconds = at.as_secs_f64();
            writeln!(out, "{seconds:8.3} | {}", line.trim_end()).expect("a string takes any text");
        }
        out
    }
}

/// Bytes as text: `
/// ` ends a line with or without `\r` before it, and other control characters are escaped.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    let raw = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '\r' => {}
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

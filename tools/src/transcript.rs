//! Everything a machine said on COM1, byte for byte, with the host's time.

use std::fmt::Write as _;
use std::time::Duration;

/// The bytes received so far. Times count from QEMU's start.
#[derive(Debug, Default, Clone)]
pub struct Transcript {
    bytes: Vec<u8>,
    /// Where each received piece begins, and when it came.
    pieces: Vec<(usize, Duration)>,
}

impl Transcript {
    pub(crate) fn push(&mut self, piece: &[u8], at: Duration) {
        self.pieces.push((self.bytes.len(), at));
        self.bytes.extend_from_slice(piece);
    }

    /// All bytes, line ends as the kernel sent them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// When the byte at `offset` reached the host; `None` past the end.
    #[must_use]
    pub fn time_of(&self, offset: usize) -> Option<Duration> {
        if offset >= self.bytes.len() {
            return None;
        }
        let after = self.pieces.partition_point(|&(start, _)| start <= offset);
        Some(self.pieces[after - 1].1)
    }

    /// Where `pattern` next begins at or after `from`.
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

/// Bytes as text: `\n` ends a line whether or not `\r` came before it, and
/// other control characters are shown and not obeyed.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript() -> Transcript {
        let mut it = Transcript::default();
        it.push(b"one\r\ntw", Duration::from_millis(1));
        it.push(b"o\n\x1b[1mthree", Duration::from_millis(2));
        it
    }

    #[test]
    fn finds_across_pieces_and_knows_when() {
        let it = transcript();
        assert_eq!(it.find(b"two", 0), Some(5));
        assert_eq!(it.find(b"one", 1), None);
        assert_eq!(it.find(b"one", 100), None);
        assert_eq!(it.time_of(6), Some(Duration::from_millis(1)));
        assert_eq!(it.time_of(7), Some(Duration::from_millis(2)));
        assert_eq!(it.time_of(it.bytes().len()), None);
    }

    #[test]
    fn shows_lines_trimmed_and_controls_as_text() {
        let it = transcript();
        assert_eq!(it.text_from(0), "one\ntwo\n\\u{1b}[1mthree");
        assert_eq!(it.tail(2), "   0.001 | two\n   0.002 | \\u{1b}[1mthree\n");
        assert_eq!(it.tail(9).lines().count(), 3);
        assert_eq!(Transcript::default().tail(5), "");
    }
}

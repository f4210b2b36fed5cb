//! QEMU's log of translated and executed code, one instruction in each block.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

/// Prefix of a line of an executed block, and of a translated instruction.
const EXECUTED: &str = "Trace ";
const TRANSLATED: &str = "0x";

/// The instructions that read the time-stamp counter.
const STAMP: &str = "rdtsc";

/// Maximum number of counter reads inside a window: those of other CPUs.
const INSIDE: usize = 8;

/// The executed instructions and their disassembly.
#[derive(Debug, Default)]
pub struct Trace {
    /// CPU and address of each executed instruction.
    ran: Vec<(u32, u64)>,
    texts: BTreeMap<u64, String>,
}

impl Trace {
    /// Parses a log.
    ///
    /// # Errors
    ///
    /// The errors of the reader.
    pub fn read(mut log: impl BufRead) -> io::Result<Self> {
        let mut trace = Self::default();
        let mut line = Vec::new();
        while log.read_until(b'\n', &mut line)? > 0 {
            trace.take(&String::from_utf8_lossy(&line));
            line.clear();
        }
        Ok(trace)
    }

    fn take(&mut self, line: &str) {
        if let Some(executed) = line.strip_prefix(EXECUTED) {
            self.ran.extend(executed_at(executed));
        } else if line.starts_with(TRANSLATED)
            && let Some((address, text)) = translated(line)
        {
            self.texts.insert(address, text);
        }
    }

    /// The disassembly of an instruction.
    pub fn text(&self, address: u64) -> &str {
        self.texts.get(&address).map_or("", String::as_str)
    }

    /// The last `length` instructions between two reads of the counter, preferably without another
    /// read between. Only those that `are_right`, because the code between two samples can be as
    /// long as a sample.
    pub fn window(
        &self,
        length: usize,
        are_right: impl Fn(&[(u32, u64)]) -> bool,
    ) -> Option<&[(u32, u64)]> {
        let ran = self.ran.iter().enumerate();
        let stamps = ran.filter(|(_, (_, address))| self.text(*address).starts_with(STAMP));
        let stamps: Vec<usize> = stamps.map(|(index, _)| index).collect();
        (1..=INSIDE).find_map(|apart| {
            let pairs = stamps.windows(apart + 1).rev();
            let windows = pairs.filter(|pair| pair[apart] - pair[0] == length);
            let mut windows = windows.filter_map(|pair| self.ran.get(pair[0]..pair[apart]));
            windows.find(|window| are_right(window))
        })
    }
}

/// From `0: 0x7f15f4306e40 [00000000/ffffffff80200114/0000c0b0/ff022201]`, the CPU and the second
/// of the numbers in brackets.
fn executed_at(line: &str) -> Option<(u32, u64)> {
    let (cpu, rest) = line.split_once(": ")?;
    let address = rest.split_once('[')?.1.split('/').nth(1)?;
    Some((cpu.parse().ok()?, u64::from_str_radix(address, 16).ok()?))
}

/// From `0xffffffff80200114:  b8 10 00 00 00           movl     $0x10, %eax`, the address and the
/// text after the bytes.
fn translated(line: &str) -> Option<(u64, String)> {
    let (address, rest) = line.strip_prefix(TRANSLATED)?.split_once(':')?;
    let address = u64::from_str_radix(address, 16).ok()?;
    let is_byte = |word: &&str| word.len() == 2 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words = rest.split_whitespace().skip_while(is_byte);
    Some((address, words.collect::<Vec<_>>().join(" ")))
}

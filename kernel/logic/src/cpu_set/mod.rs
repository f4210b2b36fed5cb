//! Sets of CPU numbers, such as the targets of a call or an IPI.
//!
//! A set is a fixed-size bitmap, so it can be created on any stack and in any context. It records
//! how many of its words are in use, and operations skip the others: most machines use one word.

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;

use crate::layout::MAX_CPUS;

#[cfg(test)]
mod tests;

/// The number of bits in a word.
const BITS: u32 = u64::BITS;

/// The number of words for all CPUs.
const WORDS: usize = (MAX_CPUS / BITS) as usize;

/// A set of CPU numbers, 0 to [`MAX_CPUS`] - 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CpuSet {
    /// Bit b of word w is CPU w * 64 + b.
    words: [u64; WORDS],
    /// The number of words in use: all words from this index are 0, and the word before it is not.
    used: usize,
}

/// A number that no CPU can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange(pub u32);

impl CpuSet {
    /// The empty set.
    pub const EMPTY: Self = Self {
        words: [0; WORDS],
        used: 0,
    };

    /// The set of the CPUs in `numbers`. An empty range gives an empty set.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] if no CPU can have the last number.
    pub fn from_range(numbers: RangeInclusive<u32>) -> Result<Self, OutOfRange> {
        let mut set = Self::EMPTY;
        if !numbers.is_empty() {
            if *numbers.end() >= MAX_CPUS {
                return Err(OutOfRange(*numbers.end()));
            }
            for number in numbers {
                set.insert(number)?;
            }
        }
        Ok(set)
    }

    /// Adds a CPU. Returns whether it was not in the set before.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] if no CPU can have this number.
    pub fn insert(&mut self, number: u32) -> Result<bool, OutOfRange> {
        let (index, bit) = word_and_bit(number);
        let word = self.words.get_mut(index).ok_or(OutOfRange(number))?;
        let is_new = *word & bit == 0;
        *word |= bit;
        self.used = self.used.max(index + 1);
        Ok(is_new)
    }

    /// Removes a CPU. Returns whether it was in the set.
    pub fn remove(&mut self, number: u32) -> bool {
        let was_there = self.contains(number);
        if was_there {
            let (index, bit) = word_and_bit(number);
            self.words[index] &= !bit;
            self.trim();
        }
        was_there
    }

    /// Whether a CPU is in the set.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        let (index, bit) = word_and_bit(number);
        self.words.get(index).is_some_and(|word| word & bit != 0)
    }

    /// The number of CPUs in the set.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.words[..self.used]
            .iter()
            .map(|word| word.count_ones())
            .sum()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The CPUs of this set that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut result = *self;
        for (word, &taken) in result.words.iter_mut().zip(&other.words).take(self.used) {
            *word &= !taken;
        }
        result.trim();
        result
    }

    /// The numbers, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let words = (0..).step_by(BITS as usize).zip(&self.words[..self.used]);
        words.flat_map(|(first, &word)| {
            let mut left = word;
            core::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                // Clear the lowest bit; 0 remains 0.
                left &= left.wrapping_sub(1);
                (bit < BITS).then(|| first + bit)
            })
        })
    }

    fn trim(&mut self) {
        while self.used > 0 && self.words[self.used - 1] == 0 {
            self.used -= 1;
        }
    }
}

/// The word index and the bit of a number; the index may be out of range.
const fn word_and_bit(number: u32) -> (usize, u64) {
    ((number / BITS) as usize, 1 << (number % BITS))
}

impl Default for CpuSet {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// Formats as `0-3,7`; an empty set prints nothing.
impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = numbers.next() {
            let mut last = first;
            while let Some(next) = numbers.next_if_eq(&(last + 1)) {
                last = next;
            }
            write!(f, "{separator}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
    }
}

/// An error in a list of CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// An element of the list is neither a number nor two numbers with a hyphen between them.
    NotANumber,
    /// The end of a range is below its start.
    Backwards {
        /// The start of the range.
        first: u32,
        /// The end of the range.
        last: u32,
    },
    /// No CPU can have this number.
    OutOfRange(u32),
}

impl From<OutOfRange> for ParseError {
    fn from(OutOfRange(number): OutOfRange) -> Self {
        Self::OutOfRange(number)
    }
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = MAX_CPUS - 1;
        write!(f, "CPU {} cannot be: their numbers end at {last}", self.0)
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotANumber => f.write_str("a list of CPUs such as 0-3,7 is needed"),
            Self::Backwards { first, last } => {
                write!(f, "{first}-{last} goes backwards; write {last}-{first}")
            }
            Self::OutOfRange(number) => OutOfRange(number).fmt(f),
        }
    }
}

impl core::error::Error for OutOfRange {}
impl core::error::Error for ParseError {}

/// Parses the format of [`Display`](fmt::Display); the numbers may be in any order.
impl FromStr for CpuSet {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut set = Self::EMPTY;
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return Err(ParseError::Backwards { first, last });
            }
            if last >= MAX_CPUS {
                return Err(ParseError::OutOfRange(last));
            }
            for cpu in first..=last {
                set.insert(cpu)?;
            }
        }
        Ok(set)
    }
}

/// A decimal number without a sign.
fn number(text: &str) -> Result<u32, ParseError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseError::NotANumber);
    }
    text.parse().map_err(|_| ParseError::NotANumber)
}

//! A set of vectors.

use crate::irq::priority::ClassSet;
use crate::vector::{PriorityClass, Vector};
use core::fmt;

/// A set of vectors: 256 bits.
///
/// IRR, ISR and TMR are such sets too: see [`VectorSet::from_registers`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct VectorSet {
    /// Vector `v` is bit `v % 64` of word `v / 64`.
    words: [u64; 4],
}

impl VectorSet {
    /// The empty set.
    pub const EMPTY: Self = Self { words: [0; 4] };
    /// All 256 vectors.
    pub const ALL: Self = Self {
        words: [u64::MAX; 4],
    };

    /// The set of this vector alone.
    #[must_use]
    pub const fn of(vector: Vector) -> Self {
        let mut set = Self::EMPTY;
        set.insert(vector);
        set
    }

    /// The vectors from `first` to `last`, inclusive; empty if `first` is above `last`.
    #[must_use]
    pub const fn range(first: Vector, last: Vector) -> Self {
        let mut set = Self::EMPTY;
        let mut number = first.get() as u16;
        while number <= last.get() as u16 {
            set.insert(Vector(number as u8));
            number += 1;
        }
        set
    }

    /// The `count` vectors from `first` on, `count` rounded up to 1, 2, 4, 8 or 16; empty if
    /// `first` is not a multiple of that, or if `count` is above 16.
    #[must_use]
    pub const fn block(first: Vector, count: u8) -> Self {
        match block_size(count) {
            Some(size) if first.get().is_multiple_of(size) => {
                Self::range(first, Vector(first.get() + (size - 1)))
            }
            _ => Self::EMPTY,
        }
    }

    /// The set in eight 32-bit registers, lowest vectors first: the format of IRR, ISR and TMR in
    /// the local APIC (SDM vol. 3A, 12.8.4).
    #[must_use]
    pub const fn from_registers(registers: [u32; 8]) -> Self {
        let mut words = [0; 4];
        let mut at = 0;
        while at < 8 {
            words[at / 2] |= (registers[at] as u64) << (at % 2 * 32);
            at += 1;
        }
        Self { words }
    }

    /// Whether the set contains the vector.
    #[must_use]
    pub const fn contains(self, vector: Vector) -> bool {
        let (word, bit) = word_and_bit(vector);
        self.words[word] & bit != 0
    }

    /// Adds a vector. Returns whether it was absent.
    pub const fn insert(&mut self, vector: Vector) -> bool {
        let (word, bit) = word_and_bit(vector);
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Removes a vector. Returns whether it was present.
    pub const fn remove(&mut self, vector: Vector) -> bool {
        let (word, bit) = word_and_bit(vector);
        let there = self.words[word] & bit != 0;
        self.words[word] &= !bit;
        there
    }

    /// The union of both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        let (mut words, mut at) = (self.words, 0);
        while at < 4 {
            words[at] |= other.words[at];
            at += 1;
        }
        Self { words }
    }

    /// The vectors of this set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        let (mut words, mut at) = (self.words, 0);
        while at < 4 {
            words[at] &= !other.words[at];
            at += 1;
        }
        Self { words }
    }

    /// The intersection of both sets.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        self.without(Self::ALL.without(other))
    }

    /// The set with all sixteen vectors of a class added.
    #[must_use]
    pub const fn with_class(self, class: PriorityClass) -> Self {
        let first = class.get() << 4;
        self.with(Self::range(Vector(first), Vector(first | 0xf)))
    }

    /// Number of vectors, 0 to 256.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.words[0].count_ones()
            + self.words[1].count_ones()
            + self.words[2].count_ones()
            + self.words[3].count_ones()
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The lowest vector.
    #[must_use]
    pub const fn lowest(self) -> Option<Vector> {
        let mut at = 0;
        while at < 4 {
            if self.words[at] != 0 {
                return Some(Vector(
                    (at as u32 * 64 + self.words[at].trailing_zeros()) as u8,
                ));
            }
            at += 1;
        }
        None
    }

    /// The highest vector: of those in IRR or ISR, the one with priority.
    #[must_use]
    pub const fn highest(self) -> Option<Vector> {
        let mut at = 4;
        while at > 0 {
            at -= 1;
            if self.words[at] != 0 {
                return Some(Vector(
                    (at as u32 * 64 + 63 - self.words[at].leading_zeros()) as u8,
                ));
            }
        }
        None
    }

    /// The priority classes of the vectors.
    #[must_use]
    pub const fn classes(self) -> ClassSet {
        let mut classes = ClassSet::EMPTY;
        let mut number = 0;
        while number < 16 {
            if let Some(class) = PriorityClass::new(number)
                && self.bits_of(class) != 0
            {
                classes = classes.with(class);
            }
            number += 1;
        }
        classes
    }

    /// The vectors of a class: bit n is vector n of the class.
    pub(super) const fn bits_of(self, class: PriorityClass) -> u16 {
        let first = class.get() as usize * 16;
        (self.words[first / 64] >> (first % 64)) as u16
    }

    /// The first vector of a block in this set: `count` consecutive vectors of `class` (1, 2, 4, 8
    /// or 16; other values are rounded up), aligned to `count`.
    ///
    /// Best fit: the block is taken from the smallest sufficient aligned block of the set, to
    /// preserve larger ones; among equals, the lowest.
    #[must_use]
    pub const fn find_block(self, class: PriorityClass, count: u8) -> Option<Vector> {
        let bits = self.bits_of(class) as u32;
        let Some(size) = block_size(count) else {
            return None;
        };
        // Search the smallest sufficient block first.
        let mut whole = size;
        while whole <= 16 {
            let mut first = 0;
            while first < 16 {
                let is_there = bits & block_mask(first, whole) == block_mask(first, whole);
                let twice = first & !(2 * whole - 1);
                let in_larger = whole < 16
                    && bits & block_mask(twice, 2 * whole) == block_mask(twice, 2 * whole);
                if is_there && !in_larger {
                    return Some(Vector(class.get() << 4 | first));
                }
                first += whole;
            }
            whole *= 2;
        }
        None
    }

    /// Iterates over the vectors in ascending order.
    #[must_use]
    pub const fn iter(self) -> Iter {
        Iter(self)
    }
}

/// The bits of `size` vectors from `first` on.
const fn block_mask(first: u8, size: u8) -> u32 {
    ((1 << size) - 1) << first
}

/// `count` rounded up to 1, 2, 4, 8 or 16; `None` above that.
const fn block_size(count: u8) -> Option<u8> {
    if count <= 16 {
        Some(count.next_power_of_two())
    } else {
        None
    }
}

/// The word index and the bit of a vector.
const fn word_and_bit(vector: Vector) -> (usize, u64) {
    (vector.get() as usize / 64, 1 << (vector.get() % 64))
}

impl fmt::Debug for VectorSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Ranges are merged: `0x20-0x2f 0x81`; the empty set is `none`.
impl fmt::Display for VectorSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut separator = "";
        let mut rest = *self;
        while let Some(first) = rest.lowest() {
            let mut last = first;
            rest.remove(first);
            while last.get() < u8::MAX && rest.remove(Vector(last.get() + 1)) {
                last = Vector(last.get() + 1);
            }
            write!(f, "{separator}{first}")?;
            if last != first {
                write!(f, "-{last}")?;
            }
            separator = " ";
        }
        Ok(())
    }
}

impl FromIterator<Vector> for VectorSet {
    fn from_iter<I: IntoIterator<Item = Vector>>(vectors: I) -> Self {
        vectors
            .into_iter()
            .fold(Self::EMPTY, |set, vector| set.with(Self::of(vector)))
    }
}

impl IntoIterator for VectorSet {
    type Item = Vector;
    type IntoIter = Iter;

    fn into_iter(self) -> Iter {
        self.iter()
    }
}

/// The iterator over the vectors of a set, in ascending order.
#[derive(Clone, Debug)]
pub struct Iter(VectorSet);

impl Iterator for Iter {
    type Item = Vector;

    fn next(&mut self) -> Option<Vector> {
        let vector = self.0.lowest()?;
        self.0.remove(vector);
        Some(vector)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.len() as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter {}

impl DoubleEndedIterator for Iter {
    fn next_back(&mut self) -> Option<Vector> {
        let vector = self.0.highest()?;
        self.0.remove(vector);
        Some(vector)
    }
}

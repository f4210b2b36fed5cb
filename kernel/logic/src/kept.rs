//! A list with a bound, which counts what did not fit.

use arrayvec::ArrayVec;

/// The first `N` of what was pushed, and the number of the others.
#[derive(Clone, Debug)]
pub struct Kept<T, const N: usize> {
    list: ArrayVec<T, N>,
    dropped: usize,
}

impl<T, const N: usize> Kept<T, N> {
    /// How many are kept.
    pub const CAPACITY: usize = N;

    pub(crate) fn push(&mut self, item: T) {
        if self.list.try_push(item).is_err() {
            self.dropped += 1;
        }
    }

    /// Those that are kept.
    pub fn iter(&self) -> core::slice::Iter<'_, T> {
        self.list.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many more there were.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }
}

impl<T, const N: usize> Default for Kept<T, N> {
    fn default() -> Self {
        Self {
            list: ArrayVec::new(),
            dropped: 0,
        }
    }
}

impl<'a, T, const N: usize> IntoIterator for &'a Kept<T, N> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

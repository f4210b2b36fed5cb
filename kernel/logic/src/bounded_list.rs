//! A bounded list that counts the items that did not fit.

use arrayvec::ArrayVec;

/// The first `N` items pushed, and the number of the others.
#[derive(Clone, Debug)]
pub struct BoundedList<T, const N: usize> {
    list: ArrayVec<T, N>,
    dropped: usize,
}

impl<T, const N: usize> BoundedList<T, N> {
    /// Maximum number of items in the list.
    pub const CAPACITY: usize = N;

    pub(crate) fn push(&mut self, item: T) {
        if self.list.try_push(item).is_err() {
            self.dropped += 1;
        }
    }

    /// Iterates over the items in the list.
    pub fn iter(&self) -> core::slice::Iter<'_, T> {
        self.list.iter()
    }

    /// Whether the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Number of items that did not fit.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }
}

impl<T, const N: usize> Default for BoundedList<T, N> {
    fn default() -> Self {
        Self {
            list: ArrayVec::new(),
            dropped: 0,
        }
    }
}

impl<'a, T, const N: usize> IntoIterator for &'a BoundedList<T, N> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

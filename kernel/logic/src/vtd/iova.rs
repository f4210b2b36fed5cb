//! The device addresses of a domain: a bitmap of pages.

use super::PAGE;

/// The pages below a limit, of which some are in use. Page 0 is always in use, so that no device
/// address is 0.
#[derive(Clone, Copy, Debug)]
pub struct Space<B> {
    /// A bit for each page: 1 if it is in use.
    words: B,
}

/// The number of pages of a word.
const PAGES: u64 = u64::BITS as u64;

impl<B: AsRef<[u64]> + AsMut<[u64]>> Space<B> {
    /// A space of which only page 0 is in use. `words` has a bit for each page, all 0.
    #[must_use]
    pub fn new(words: B) -> Self {
        let mut space = Self { words };
        space.reserve(0, 1);
        space
    }

    /// The number of pages.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.words.as_ref().len() as u64 * PAGES
    }

    fn is_used(&self, page: u64) -> bool {
        let word = self.words.as_ref().get((page / PAGES) as usize);
        word.is_none_or(|word| word >> (page % PAGES) & 1 != 0)
    }

    fn set(&mut self, page: u64, used: bool) {
        if let Some(word) = self.words.as_mut().get_mut((page / PAGES) as usize) {
            let bit = 1 << (page % PAGES);
            *word = if used { *word | bit } else { *word & !bit };
        }
    }

    /// Marks `count` pages as in use, from page number `first` on, as far as they exist.
    pub fn reserve(&mut self, first: u64, count: u64) {
        let end = first.saturating_add(count).min(self.pages());
        for page in first..end {
            self.set(page, true);
        }
    }

    /// Takes `count` unused pages, the first of which is a multiple of `align` pages, a power of
    /// two, and whose addresses do not exceed `limit`. Returns the address of the first; `None` if
    /// there are none.
    pub fn allocate(&mut self, count: u64, align: u64, limit: u64) -> Option<u64> {
        let pages = self
            .pages()
            .min(limit / PAGE + u64::from(limit % PAGE == PAGE - 1));
        if count == 0 || !align.is_power_of_two() {
            return None;
        }
        let mut first: u64 = 0;
        while first.checked_add(count)? <= pages {
            // The last used page of these, so that the search continues behind it.
            let Some(used) = (first..first + count)
                .rev()
                .find(|&page| self.is_used(page))
            else {
                self.reserve(first, count);
                return Some(first * PAGE);
            };
            first = (used + 1).next_multiple_of(align);
        }
        None
    }

    /// Returns `count` pages at `address`.
    pub fn free(&mut self, address: u64, count: u64) {
        let first = address / PAGE;
        for page in first..first.saturating_add(count).min(self.pages()) {
            self.set(page, page == 0);
        }
    }
}

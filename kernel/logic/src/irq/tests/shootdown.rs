//! The ranges of requests to invalidate translations. `tests/loom` tests the protocol.

use crate::irq::shootdown::{Acknowledged, Invalidate, LIMIT, Range, Requests};
use std::vec::Vec;

const PAGE: usize = 4096;

fn invalidated(range: Range) -> Vec<Invalidate> {
    let mut all = Vec::new();
    range.each(|what| all.push(what));
    all
}

/// What a CPU that has served nothing finds.
fn pending(requests: &Requests) -> Vec<Invalidate> {
    let mut all = Vec::new();
    requests.serve(&Acknowledged::new(), |what| all.push(what));
    all
}

fn page(address: usize) -> Range {
    Range::pages(address, address + 1).expect("a page")
}

/// Each address of a range is on an invalidated page, and no other page is invalidated.
#[test]
fn a_range_is_the_pages_of_its_addresses() {
    let edges = |page: usize| [page * PAGE, page * PAGE + 1, page * PAGE + PAGE - 1];
    let bases = [
        0,
        0x1000_0000,
        0xffff_8000_0000_0000,
        usize::MAX - 8 * PAGE + 1,
    ];
    for base in bases {
        for start in (0..3).flat_map(edges) {
            for end in (0..8).flat_map(edges) {
                let (start, end) = (base + start, base + end);
                let Some(range) = Range::pages(start, end) else {
                    assert!(start >= end);
                    continue;
                };
                assert!(start < end);
                let pages = start / PAGE..=(end - 1) / PAGE;
                let expected: Vec<_> = match pages.clone().count() {
                    0..=LIMIT => pages.map(|it| Invalidate::Page(it * PAGE)).collect(),
                    _ => [Invalidate::All].into(),
                };
                assert_eq!(invalidated(range), expected, "{start:#x}..{end:#x}");
            }
        }
    }
}

#[test]
fn the_largest_range_is_all_translations() {
    assert_eq!(Range::pages(0, usize::MAX), Some(Range::ALL));
    assert_eq!(Range::pages(0, 0), None);
    assert_eq!(Range::pages(usize::MAX, usize::MAX), None);
}

/// Several pending ranges are all translations, whatever the order of the releases.
#[test]
fn several_ranges_are_all_translations() {
    let ranges = [Some(page(PAGE)), Some(page(PAGE)), Some(Range::ALL), None];
    for first in ranges {
        for second in ranges {
            for releases_first in [true, false] {
                let requests = Requests::new();
                let alone = |range: Option<Range>| range.map_or(Vec::new(), invalidated);
                let one = requests.post(first);
                assert_eq!(pending(&requests), alone(first));
                let other = requests.post(second);
                match (first, second) {
                    (Some(_), Some(_)) => assert_eq!(pending(&requests), [Invalidate::All]),
                    (only, None) | (None, only) => assert_eq!(pending(&requests), alone(only)),
                }
                let (left, rest) = if releases_first {
                    requests.release(one);
                    (other, second)
                } else {
                    requests.release(other);
                    (one, first)
                };
                // The range of the other may have been replaced by all translations.
                if rest.is_some() {
                    assert!(!pending(&requests).is_empty());
                }
                requests.release(left);
                assert_eq!(pending(&requests), []);
            }
        }
    }
}

/// A CPU acknowledges all requests up to the number that it has read.
#[test]
fn numbers_wrap() {
    let requests = Requests::ending_at(usize::MAX - 1);
    let own = Acknowledged::new();
    requests.serve(&own, |_| ());
    for _ in 0..4 {
        let request = requests.post(None);
        assert!(!own.has(request.number()) && requests.has_pending(&own));
        requests.serve(&own, |_| ());
        assert!(own.has(request.number()) && !requests.has_pending(&own));
        requests.release(request);
    }
}

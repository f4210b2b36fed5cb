//! The queue against a list that is searched.

use std::collections::HashSet;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Due, Id, Timers, next_period};
use crate::irq::queue::Full;

/// Takes the first timer out, if it is due, as the kernel does when it has called its function.
fn pop_due<T: Copy, const N: usize>(timers: &mut Timers<T, N>, now: u64) -> Option<Due<T>> {
    let due = timers.first_due(now)?;
    assert!(timers.cancel(due.id), "not there");
    Some(due)
}

fn next_deadline<T: Copy, const N: usize>(timers: &Timers<T, N>) -> Option<u64> {
    timers.first_due(u64::MAX).map(|due| due.deadline)
}

fn deadline_of<T: Copy, const N: usize>(timers: &Timers<T, N>, id: Id) -> Option<u64> {
    Some(timers.heap[timers.index_of(id)?].deadline)
}

fn item<T>(due: Option<Due<T>>) -> Option<T> {
    due.map(|due| due.item)
}

#[test]
fn earliest_first_and_never_early() {
    let mut timers = Timers::<char, 4>::new();
    assert_eq!((next_deadline(&timers), timers.len()), (None, 0));
    for (deadline, item) in [(30, 'c'), (10, 'a'), (40, 'd'), (20, 'b')] {
        timers.insert(deadline, item).unwrap();
    }
    assert_eq!(next_deadline(&timers), Some(10));
    assert_eq!(pop_due(&mut timers, 9), None);
    assert_eq!(item(pop_due(&mut timers, 10)), Some('a'));
    assert_eq!(pop_due(&mut timers, 19), None);
    assert_eq!(item(timers.first_due(35)), Some('b'));
    assert_eq!(item(pop_due(&mut timers, 35)), Some('b'));
    assert_eq!(item(pop_due(&mut timers, 35)), Some('c'));
    assert_eq!(pop_due(&mut timers, 35), None);
    assert_eq!(item(pop_due(&mut timers, u64::MAX)), Some('d'));
    assert_eq!(pop_due(&mut timers, u64::MAX), None);
    assert!(timers.is_empty());
}

#[test]
fn equal_deadlines_in_order_of_insertion() {
    let mut timers = Timers::<u32, 100>::new();
    // Some slots are used before, so that the order of slots is not that of insertion.
    let ids: Vec<Id> = (0..50).map(|n| timers.insert(5, n).unwrap()).collect();
    for id in ids.iter().step_by(3) {
        assert!(timers.cancel(*id));
    }
    for n in 50..80 {
        timers.insert(5, n).unwrap();
    }
    let kept = (0..50).filter(|n| n % 3 != 0).chain(50..80);
    let popped: Vec<u32> = core::iter::from_fn(|| item(pop_due(&mut timers, 5))).collect();
    assert_eq!(popped, kept.collect::<Vec<_>>());
}

#[test]
fn the_last_slot_and_one_more() {
    let mut timers = Timers::<(), 2>::new();
    let first = timers.insert(1, ()).unwrap();
    timers.insert(u64::MAX, ()).unwrap();
    assert_eq!(timers.insert(0, ()), Err(Full { capacity: 2 }));
    assert_eq!(next_deadline(&timers), Some(1), "a refusal changes nothing");
    assert!(timers.cancel(first));
    timers.insert(0, ()).unwrap();
    assert_eq!(timers.len(), 2);
}

#[test]
fn an_id_is_of_one_timer_only() {
    let mut timers = Timers::<u8, 1>::new();
    let first = timers.insert(1, 1).unwrap();
    assert!(timers.cancel(first));
    assert!(!timers.cancel(first), "cancelled twice");
    let second = timers.insert(1, 2).unwrap();
    assert!(!timers.cancel(first), "the slot's earlier timer");
    assert_eq!(deadline_of(&timers, first), None);
    assert_eq!(timers.move_to(first, 9), None);
    assert_eq!(deadline_of(&timers, second), Some(1));
    let moved = timers.move_to(second, 7).unwrap();
    assert!(!timers.cancel(second), "moved since");
    assert_eq!(pop_due(&mut timers, 6), None);
    assert_eq!(pop_due(&mut timers, 7).map(|due| due.id), Some(moved));
    assert!(!timers.cancel(moved), "popped");
}

#[test]
fn moved_timers_queue_behind_their_equals() {
    let mut timers = Timers::<char, 3>::new();
    let first = timers.insert(1, 'a').unwrap();
    timers.insert(5, 'b').unwrap();
    timers.move_to(first, 5).unwrap();
    assert_eq!(item(pop_due(&mut timers, 5)), Some('b'));
    assert_eq!(item(pop_due(&mut timers, 5)), Some('a'));
}

#[test]
fn periods_do_not_drift_and_do_not_bunch() {
    assert_eq!(next_period(100, 10, 100), (110, 0));
    assert_eq!(next_period(100, 10, 109), (110, 0));
    assert_eq!(next_period(100, 10, 110), (120, 1));
    assert_eq!(next_period(100, 10, 139), (140, 3));
    // A clock that is behind the one of the CPU that set it.
    assert_eq!(next_period(100, 10, 90), (110, 0));
    assert_eq!(next_period(u64::MAX - 5, 10, u64::MAX), (u64::MAX, 0));
    assert_eq!(next_period(0, u64::MAX, 3), (u64::MAX, 0));
    assert_eq!(next_period(7, 0, 9), (10, 2));
}

/// What is done to both queues. Ids are chosen among all that were ever given.
#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Cancel(prop::sample::Index),
    MoveTo(prop::sample::Index, u64),
    Pop(u64),
}

fn step() -> impl Strategy<Value = Step> {
    // Few different deadlines, so that many are equal.
    let deadline = || prop_oneof![4 => 0..20u64, 1 => any::<u64>()];
    prop_oneof![
        4 => deadline().prop_map(Step::Insert),
        2 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        1 => (any::<prop::sample::Index>(), deadline()).prop_map(|(id, at)| Step::MoveTo(id, at)),
        2 => deadline().prop_map(Step::Pop),
    ]
}

/// A queue that is searched from end to end each time.
#[derive(Default)]
struct Naive {
    /// Id, deadline and item, in order of insertion.
    timers: Vec<(Id, u64, usize)>,
}

impl Naive {
    const CAPACITY: usize = 12;

    fn first(&self) -> Option<usize> {
        // `min_by_key` gives the first of equal ones.
        (0..self.timers.len()).min_by_key(|&index| self.timers[index].1)
    }

    fn take(&mut self, id: Id) -> Option<(Id, u64, usize)> {
        let index = self.timers.iter().position(|timer| timer.0 == id)?;
        Some(self.timers.remove(index))
    }
}

proptest! {
    #[test]
    fn agrees_with_a_searched_list(steps in prop::collection::vec(step(), 0..300)) {
        let mut timers = Timers::<usize, { Naive::CAPACITY }>::new();
        let mut naive = Naive::default();
        let mut ids: Vec<Id> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(deadline) => match timers.insert(deadline, number) {
                    Ok(id) => {
                        naive.timers.push((id, deadline, number));
                        ids.push(id);
                    }
                    Err(full) => {
                        prop_assert_eq!(full.capacity, naive.timers.len());
                    }
                },
                Step::Cancel(_) | Step::MoveTo(..) if ids.is_empty() => {}
                Step::Cancel(which) => {
                    let id = *which.get(&ids);
                    prop_assert_eq!(timers.cancel(id), naive.take(id).is_some());
                }
                Step::MoveTo(which, deadline) => {
                    let old = *which.get(&ids);
                    let known = naive.take(old);
                    let moved = timers.move_to(old, deadline);
                    prop_assert_eq!(moved.is_some(), known.is_some());
                    if let (Some(id), Some((_, _, item))) = (moved, known) {
                        naive.timers.push((id, deadline, item));
                        ids.push(id);
                    }
                }
                Step::Pop(now) => {
                    let first = naive.first().filter(|&index| naive.timers[index].1 <= now);
                    let expected = first.map(|index| naive.timers.remove(index));
                    let popped = pop_due(&mut timers, now).map(|due| (due.id, due.deadline, due.item));
                    prop_assert_eq!(popped, expected);
                }
            }
            prop_assert_eq!(timers.len(), naive.timers.len());
            prop_assert_eq!(
                next_deadline(&timers),
                naive.first().map(|index| naive.timers[index].1)
            );
            for (id, deadline, _) in &naive.timers {
                prop_assert_eq!(deadline_of(&timers, *id), Some(*deadline));
            }
        }
        let distinct: HashSet<_> = ids.iter().map(|id| id.0).collect();
        prop_assert_eq!(distinct.len(), ids.len(), "an id came twice");
    }

    #[test]
    fn periods_stay_on_the_grid(
        first in 0..1u64 << 40, period in 1..1u64 << 30, late in 0..1u64 << 40,
    ) {
        let now = first + late;
        let (next, missed) = next_period(first, period, now);
        prop_assert_eq!((next - first) % period, 0);
        prop_assert_eq!((next - first) / period, missed + 1);
        prop_assert!(next > now && next - now <= period);
    }
}

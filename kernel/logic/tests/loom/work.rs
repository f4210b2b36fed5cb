//! Work queued by several CPUs and levels.

use crate::cpu::Interrupt;
use crate::queue::Queue;
use crate::{beside, explore};
use loom::cell::UnsafeCell;
use std::sync::Arc;

/// A queue, its signal, and for each item (producer, number) what its producer has prepared.
struct Deferred<const N: usize> {
    queue: Queue<N>,
    signal: Interrupt,
    prepared: [[UnsafeCell<()>; 4]; 2],
}

impl<const N: usize> Deferred<N> {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            queue: Queue::new(),
            signal: Interrupt::new(),
            prepared: core::array::from_fn(|_| core::array::from_fn(|_| UnsafeCell::new(()))),
        })
    }

    /// Pushes an item and signals. Returns whether there was room.
    fn push(&self, producer: usize, number: usize) -> bool {
        self.prepared[producer][number].with_mut(|_| ());
        let is_pushed = self.queue.push(producer, number).is_ok();
        self.signal.send();
        is_pushed
    }

    /// Pushes so many items; how many there was room for.
    fn push_all(&self, producer: usize, count: usize) -> usize {
        let pushes = (0..count).filter(|&number| self.push(producer, number));
        pushes.count()
    }

    /// As [`push`](Self::push) with item (0, 0), in the middle of which its CPU is interrupted. The signal
    /// is left out.
    fn push_around(&self, interrupt: impl FnOnce()) {
        self.prepared[0][0].with_mut(|_| ());
        let claim = self.queue.claim().unwrap();
        interrupt();
        self.queue.publish(claim, 0, 0);
    }

    /// Takes an item, which must be a later one of its producer than the last.
    fn pop(&self, last: &mut [Option<usize>; 2]) -> bool {
        let Some((producer, number)) = self.queue.pop() else {
            return false;
        };
        let last = &mut last[producer];
        assert!(
            last.is_none_or(|last| number > last),
            "out of order or doubled"
        );
        *last = Some(number);
        self.prepared[producer][number].with(|_| ());
        true
    }

    /// Takes items until there is none; how many.
    fn drain(&self, last: &mut [Option<usize>; 2]) -> usize {
        core::iter::from_fn(|| self.pop(last).then_some(())).count()
    }

    /// As the consumer does, if it is signalled.
    fn drain_if_signalled(&self, last: &mut [Option<usize>; 2]) -> usize {
        if self.signal.point() {
            self.drain(last)
        } else {
            0
        }
    }
}

#[test]
fn two_producers_keep_their_orders() {
    explore(Some(2), || {
        let deferred = Deferred::<4>::new();
        let producers = [0, 1].map(|producer| {
            beside(&deferred, move |deferred| {
                assert_eq!(deferred.push_all(producer, 2), 2);
            })
        });
        let mut last = [None; 2];
        let early = deferred.drain(&mut last);
        for producer in producers {
            producer.join().unwrap();
        }
        assert_eq!(early + deferred.drain(&mut last), 4, "lost or repeated");
        assert_eq!(deferred.queue.overflowed(), 0);
        early == 3
    });
}

#[test]
fn free_cells_are_reused() {
    explore(Some(4), || {
        let deferred = Deferred::<2>::new();
        let producer = beside(&deferred, |deferred| deferred.push_all(0, 4));
        let mut last = [None; 2];
        let early = deferred.drain(&mut last);
        let pushed = producer.join().unwrap();
        assert_eq!(
            early + deferred.drain(&mut last),
            pushed,
            "lost or repeated"
        );
        assert_eq!(deferred.queue.overflowed(), 4 - pushed);
        pushed == 4
    });
}

#[test]
fn items_that_do_not_fit_are_rejected_and_counted() {
    explore(Some(2), || {
        let deferred = Deferred::<2>::new();
        let producers = [0, 1]
            .map(|producer| beside(&deferred, move |deferred| deferred.push_all(producer, 2)));
        let mut last = [None; 2];
        let early = usize::from(deferred.pop(&mut last));
        let pushed: usize = producers.map(|it| it.join().unwrap()).iter().sum();
        assert!(pushed >= 2, "refused with room left");
        assert_eq!(
            early + deferred.drain(&mut last),
            pushed,
            "lost or repeated"
        );
        assert_eq!(deferred.queue.overflowed(), 4 - pushed);
        pushed == 3
    });
}

/// Level 1 interrupts level 0 of the same CPU in the middle of a push. The consumer, another CPU, is
/// signalled meanwhile.
#[test]
fn an_interrupted_producer_does_not_block_others() {
    explore(Some(4), || {
        let deferred = Deferred::<4>::new();
        let producer = beside(&deferred, |deferred| {
            deferred.push_around(|| assert_eq!(deferred.push_all(1, 2), 2));
            deferred.signal.send();
        });
        let mut last = [None; 2];
        let early: usize = (0..2).map(|_| deferred.drain_if_signalled(&mut last)).sum();
        producer.join().unwrap();
        let late = deferred.drain_if_signalled(&mut last);
        assert_eq!(early + late, 3, "lost");
        early == 0
    });
}

/// The interrupted producer does not signal: what it holds up stays where it is.
#[test]
#[should_panic(expected = "lost")]
fn the_signal_after_each_push_is_needed() {
    explore(Some(3), || {
        let deferred = Deferred::<4>::new();
        let producer = beside(&deferred, |deferred| {
            deferred.push_around(|| assert!(deferred.push(1, 0)));
        });
        let mut last = [None; 2];
        let early = deferred.drain_if_signalled(&mut last);
        producer.join().unwrap();
        let late = deferred.drain_if_signalled(&mut last);
        assert_eq!(early + late, 2, "lost");
        true
    });
}

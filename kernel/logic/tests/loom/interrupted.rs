//! A CPU that is interrupted between any two accesses, by code that uses the same parts: the
//! interrupt runs to its end, and then the CPU goes on.

use crate::calls::count_calls;
use crate::cpu::Cpu;
use crate::mailbox::{Call, Mailbox};
use crate::queue::Queue;
use crate::sync::{interrupt_after, was_interrupted};
use crate::vector::Vector;
use std::rc::Rc;

/// Runs `outer` on a new machine, interrupted once by `interrupt`: after every number of accesses
/// in turn, until it has fewer. `check` then sees the machine, with what both gave.
fn everywhere<M: 'static, R: 'static>(
    machine: impl Fn() -> M + Send + Sync + 'static,
    outer: fn(&M) -> R,
    interrupt: fn(&M) -> R,
    check: fn(&M, R, R),
) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    builder.check(move || {
        for accesses in 0.. {
            let machine = Rc::new(machine());
            let result = Rc::new(std::cell::Cell::new(None));
            interrupt_after(accesses, {
                let (machine, result) = (machine.clone(), result.clone());
                move || result.set(Some(interrupt(&machine)))
            });
            let own = outer(&machine);
            if !was_interrupted() {
                assert!(accesses > 2, "nothing to interrupt");
                break;
            }
            let inner = result.take().expect("the interrupt has ended");
            check(&machine, own, inner);
        }
    });
}

/// All that a queue holds.
fn drain<const N: usize>(queue: &Queue<N>) -> Vec<usize> {
    std::iter::from_fn(|| queue.pop().map(|item| item.0)).collect()
}

#[test]
fn a_push_by_a_push() {
    everywhere(
        Queue::<4>::new,
        |queue| queue.push(0, 0).is_ok(),
        |queue| queue.push(1, 1).is_ok(),
        |queue, outer, inner| {
            assert!(outer && inner && queue.overflowed() == 0);
            let mut items = drain(queue);
            items.sort_unstable();
            assert_eq!(items, [0, 1]);
        },
    );
}

/// With room for one.
#[test]
fn a_push_by_a_push_where_only_one_fits() {
    everywhere(
        || {
            let queue = Queue::<2>::new();
            queue.push(7, 7).unwrap();
            queue
        },
        |queue| queue.push(0, 0).is_ok(),
        |queue| queue.push(1, 1).is_ok(),
        |queue, outer, inner| {
            assert!(outer != inner && queue.overflowed() == 1);
            assert_eq!(drain(queue), [7, usize::from(inner)]);
        },
    );
}

#[test]
fn a_pop_by_a_push() {
    everywhere(
        || {
            let queue = Queue::<2>::new();
            queue.push(0, 0).unwrap();
            queue.push(1, 1).unwrap();
            queue
        },
        |queue| queue.pop().is_some_and(|item| item.0 == 0),
        |queue| queue.push(2, 2).is_ok(),
        |queue, outer, inner| {
            assert!(outer, "the oldest was there");
            let rest: &[usize] = if inner { &[1, 2] } else { &[1] };
            assert_eq!(drain(queue), rest);
            assert_eq!(queue.overflowed(), usize::from(!inner));
        },
    );
}

/// The interrupt calls its own CPU, which serves that when it has ended what it serves.
#[test]
fn serving_by_a_call() {
    everywhere(
        Mailbox::<4>::new,
        |mailbox| {
            mailbox.post_async(0, 0).unwrap();
            count_calls(mailbox)
        },
        |mailbox| {
            mailbox.post_async(1, 0).unwrap();
            0
        },
        |mailbox, outer, _| {
            assert!(outer > 0, "what was there was not served");
            assert_eq!(outer + count_calls(mailbox), 2, "lost or repeated");
        },
    );
}

/// The interrupt calls the same CPU and waits: its call is served, whatever the other has come to.
#[test]
fn posting_by_a_call_that_waits() {
    everywhere(
        || (Mailbox::<4>::new(), [0, 1].map(|call| Call::new(call, 0))),
        |(mailbox, calls)| {
            mailbox.post(&calls[0]);
            mailbox.post_async(2, 0).unwrap();
            0
        },
        |(mailbox, calls)| {
            mailbox.post(&calls[1]);
            let served = count_calls(mailbox);
            assert!(calls[1].is_done(), "it waits for ever");
            served
        },
        |(mailbox, calls), _, inner| {
            assert_eq!(inner + count_calls(mailbox), 3, "lost or repeated");
            assert!(calls[0].is_done());
        },
    );
}

/// As only an NMI can.
#[test]
fn an_asynchronous_call_by_another() {
    everywhere(
        Mailbox::<2>::new,
        |mailbox| mailbox.post_async(0, 0).is_ok(),
        |mailbox| mailbox.post_async(1, 0).is_ok(),
        |mailbox, outer, inner| {
            assert!(outer && inner, "refused where there is room for both");
            assert_eq!(count_calls(mailbox), 2);
        },
    );
}

#[test]
fn installing_by_installing() {
    everywhere(
        Cpu::new,
        |cpu| cpu.install(Vector(0), 1),
        |cpu| cpu.install(Vector(0), 2),
        |cpu, outer, inner| {
            assert!(outer != inner, "installed by both or by none");
            let handler = cpu.table.lookup(Vector(0));
            assert_eq!(handler.1, if outer { 1 } else { 2 });
        },
    );
}

//! The queue, the mailbox, the broadcast ring and the table, with sequential calls.

use crate::irq::broadcast::{Cursor, Ring, serve};
use crate::irq::mailbox::{Call, Mailbox};
use crate::irq::queue::{Full, Queue};
use crate::irq::table::Table;
use crate::vector::Vector;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::ptr;
use std::string::ToString;
use std::vec::Vec;

#[test]
fn a_full_queue_rejects_a_push() {
    let queue = Queue::<4>::new();
    for lap in 0..10 {
        for item in 0..4 {
            assert_eq!(queue.len(), item);
            assert_eq!(queue.push(lap, item), Ok(()));
        }
        let full = queue.push(lap, 4);
        assert_eq!(full, Err(Full { capacity: 4 }));
        assert_eq!(queue.overflowed(), lap + 1);
        for item in 0..4 {
            assert!(!queue.is_empty());
            assert_eq!(queue.pop(), Some((lap, item)));
        }
        assert!(queue.is_empty());
        assert_eq!(queue.pop(), None);
    }
    let words = Full { capacity: 4 }.to_string();
    assert_eq!(words, "all 4 cells of the queue are in use");
}

/// A producer is interrupted between the halves of its push: later items wait.
#[test]
fn an_unfinished_push_keeps_the_order() {
    let queue = Queue::<4>::new();
    let claim = queue.claim().expect("room");
    queue.push(2, 2).expect("room");
    assert_eq!((queue.pop(), queue.len()), (None, 2));
    queue.publish(claim, 1, 1);
    assert_eq!([queue.pop(), queue.pop()], [Some((1, 1)), Some((2, 2))]);
}

/// Finds a call by its address.
fn among<'a>(calls: &'a [Call]) -> impl Fn(*const Call) -> &'a Call {
    |address| {
        let mut calls = calls.iter();
        let found = calls.find(|call| ptr::eq(*call, address));
        found.expect("only these were posted")
    }
}

#[test]
fn calls_are_served_in_order_and_then_done() {
    let mailbox = Mailbox::<1>::new();
    let calls: Vec<_> = (0..5)
        .map(|number| Call::new(number, 10 * number))
        .collect();
    for posted in [&calls[..1], &calls[1..]] {
        assert!(mailbox.is_empty());
        for call in posted {
            mailbox.post(call);
        }
        assert!(!mailbox.is_empty());
        let mut ran = Vec::new();
        mailbox.serve(among(posted), |function, argument| {
            assert_eq!(argument, 10 * function);
            ran.push(function);
            // The earlier calls are done; this one and the later ones are not.
            let done = calls.iter().take_while(|call| call.is_done()).count();
            assert_eq!(done, function);
        });
        assert!(posted.iter().all(Call::is_done));
        assert!(ran.is_sorted() && ran.len() == posted.len());
    }
    mailbox.serve(among(&[]), |_, _| panic!("nothing waits"));
}

/// A function that calls its own CPU: the call is served next time.
#[test]
fn a_call_that_posts_a_call() {
    let mailbox = Mailbox::<1>::new();
    let calls = [Call::new(0, 0), Call::new(1, 0)];
    mailbox.post(&calls[0]);
    mailbox.serve(among(&calls), |_, _| mailbox.post(&calls[1]));
    assert_eq!(calls.each_ref().map(Call::is_done), [true, false]);
    mailbox.serve(among(&calls), |function, _| assert_eq!(function, 1));
    assert!(calls[1].is_done());
}

#[test]
fn asynchronous_calls_are_limited() {
    let mailbox = Mailbox::<2>::new();
    assert_eq!(
        [mailbox.post_async(0, 0), mailbox.post_async(1, 1)],
        [Ok(()); 2]
    );
    assert_eq!(mailbox.post_async(2, 2), Err(Full { capacity: 2 }));
    // A synchronous call brings its own block.
    let call = Call::new(3, 3);
    mailbox.post(&call);
    assert!(!call.is_done());
}

/// A broadcast ring, and the cursors of its CPUs.
fn ring<const N: usize>(cpus: usize) -> (Ring<N>, Vec<Cursor>, Mailbox<1>) {
    let cursors = (0..cpus).map(|_| Cursor::new()).collect();
    (Ring::new(), cursors, Mailbox::new())
}

/// The calls and entries that a CPU runs.
fn read<const N: usize>(ring: &Ring<N>, own: &Cursor, mailbox: &Mailbox<1>) -> Vec<usize> {
    let mut ran = Vec::new();
    serve(mailbox, ring, own, among(&[]), |function, argument| {
        assert_eq!(argument, 10 * function);
        ran.push(function);
    });
    ran
}

#[test]
fn all_except_the_sender_run_an_entry_once() {
    let (ring, cursors, mailbox) = ring::<4>(3);
    let read = |cpu: usize| read(&ring, &cursors[cpu], &mailbox);
    // More entries than there are slots, one after the other.
    for number in 0..10 {
        let sender = number % 3;
        let others = (0..3).filter(|&cpu| cpu != sender);
        let entry = ring.post(&cursors[sender], &cursors.iter(), number, 10 * number);
        let entry = entry.expect("room");
        assert!(!ring.has_pending(&cursors[sender]) && cursors[sender].has_passed(entry));
        for other in others {
            assert!(ring.has_pending(&cursors[other]) && !cursors[other].has_passed(entry));
            assert_eq!(read(other), [number]);
            assert!(!ring.has_pending(&cursors[other]) && cursors[other].has_passed(entry));
        }
        assert!((0..3).all(|cpu| read(cpu).is_empty()));
        if number % 2 == 0 {
            ring.release(entry);
        }
    }
}

/// A sender that has not read another's entry passes its own after it has.
#[test]
fn a_full_ring_rejects_an_entry() {
    let (ring, cursors, mailbox) = ring::<2>(2);
    let read = |cpu: usize| read(&ring, &cursors[cpu], &mailbox);
    let post = |cpu: usize, function: usize| {
        ring.post(&cursors[cpu], &cursors.iter(), function, 10 * function)
    };
    let entries = [post(0, 0), post(1, 1)].map(|it| it.expect("room"));
    assert!(cursors[0].has_passed(entries[0]) && !cursors[1].has_passed(entries[1]));
    assert_eq!(post(0, 2), Err(Full { capacity: 2 }));
    assert_eq!(read(1), [0]);
    assert!(cursors[1].has_passed(entries[1]), "its own comes after");
    // CPU 0 has passed the first entry by sending it.
    let third = post(0, 2).expect("room");
    assert_eq!(post(1, 3), Err(Full { capacity: 2 }));
    assert_eq!((read(0), read(1)), (Vec::from([1]), Vec::from([2])));
    assert!(cursors.iter().all(|it| it.has_passed(third)));
    assert!(post(1, 3).is_ok());
}

#[test]
fn each_vector_of_a_table_is_its_own() {
    let pointer = ptr::without_provenance_mut;
    let unhandled: *mut () = pointer(0xdead);
    let table = Table::<256>::new(unhandled);
    let vectors = || (0..=u8::MAX).map(Vector);
    for vector in vectors() {
        let number = usize::from(vector.get());
        assert!(table.is_free(vector));
        assert_eq!(table.lookup(vector).0, unhandled);
        assert!(table.install(vector, pointer(0x1000 + number), number));
        assert!(!table.install(vector, pointer(1), 1));
    }
    for vector in vectors() {
        let number = usize::from(vector.get());
        assert_eq!(table.lookup(vector), (pointer(0x1000 + number), number));
        table.replace(vector, pointer(0x2000 + number));
        assert_eq!(table.lookup(vector), (pointer(0x2000 + number), number));
        table.begin_removal(vector);
        assert_eq!(table.lookup(vector).0, unhandled);
        // Allocated until the end of the removal.
        assert!(!table.install(vector, pointer(1), 1) && !table.is_free(vector));
        table.end_removal(vector);
        assert!(table.install(vector, pointer(0x3000), 7));
        assert_eq!(table.lookup(vector), (pointer(0x3000), 7));
    }
}

/// The layout that the entry code relies on.
#[test]
fn layout_of_a_table() {
    assert_eq!((<Table>::FUNCTIONS, <Table>::CONTEXTS), (0, 256 * 8));
}

proptest! {
    /// Against a queue of the standard library.
    #[test]
    fn queue_is_a_queue(calls in prop::collection::vec(any::<Option<u8>>(), 0..200)) {
        let queue = Queue::<8>::new();
        let mut model = VecDeque::new();
        let mut refused = 0;
        for call in calls {
            if let Some(item) = call.map(usize::from) {
                let has_room = model.len() < 8;
                prop_assert_eq!(queue.push(item, !item).is_ok(), has_room);
                if has_room {
                    model.push_back((item, !item));
                } else {
                    refused += 1;
                }
            } else {
                prop_assert_eq!(queue.pop(), model.pop_front());
            }
            prop_assert_eq!(queue.len(), model.len());
            prop_assert_eq!(queue.overflowed(), refused);
        }
    }
}

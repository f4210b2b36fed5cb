//! The queue, the mailbox and the table of one CPU, one call after the other.

use crate::irq::mailbox::Mailbox;
use crate::irq::queue::{Full, Queue};
use crate::irq::table::Table;
use crate::vector::Vector;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ptr;
use std::string::ToString;
use std::vec::Vec;

#[test]
fn a_full_queue_says_so() {
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
    assert_eq!(words, "all 4 places of the queue are taken");
}

/// A producer is interrupted between the halves of its push: what comes after it waits.
#[test]
fn an_unfinished_push_keeps_the_order() {
    let queue = Queue::<4>::new();
    let claim = queue.claim().expect("room");
    queue.push(2, 2).expect("room");
    assert_eq!((queue.pop(), queue.len()), (None, 2));
    queue.publish(claim, 1, 1);
    assert_eq!([queue.pop(), queue.pop()], [Some((1, 1)), Some((2, 2))]);
}

/// A call that calls its own CPU, and an interrupt that serves while it is serving.
#[test]
fn calls_that_post_calls() {
    let mailbox = Mailbox::<8>::new();
    let order = RefCell::new(Vec::new());
    let first = mailbox.post(1, 10).expect("room");
    let second = mailbox.post(2, 20).expect("room");
    let served = mailbox.serve(|call| {
        assert!(!mailbox.is_done(call.generation));
        order.borrow_mut().push((call.function, call.argument));
        if call.function == 1 {
            assert!(!mailbox.is_done(second));
            mailbox.post(3, 30).expect("room");
            // The interrupt of that post leaves it to the outer one.
            assert_eq!(mailbox.serve(|_| panic!("served inside")), 0);
        } else {
            assert!(mailbox.is_done(first));
        }
    });
    assert_eq!(served, 3);
    assert_eq!(*order.borrow(), [(1, 10), (2, 20), (3, 30)]);
    assert!(mailbox.is_done(mailbox.posted()) && mailbox.is_empty());
}

#[test]
fn a_full_mailbox_gives_no_ticket() {
    let mailbox = Mailbox::<2>::new();
    let tickets = [mailbox.post(0, 0), mailbox.post(1, 1)].map(|it| it.expect("room"));
    assert_eq!(mailbox.post(2, 2), Err(Full { capacity: 2 }));
    assert_eq!(mailbox.overflowed(), 1);
    assert_eq!(mailbox.posted(), tickets[1]);
    assert_eq!(mailbox.serve(|_| ()), 2);
    assert!(mailbox.is_done(tickets[0]) && mailbox.is_done(tickets[1]));
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
        // Taken until the end.
        assert!(!table.install(vector, pointer(1), 1) && !table.is_free(vector));
        table.end_removal(vector);
        assert!(table.install(vector, pointer(0x3000), 7));
        assert_eq!(table.lookup(vector), (pointer(0x3000), 7));
    }
}

/// What the entry code relies on.
#[test]
fn layout_of_a_table() {
    assert_eq!((<Table>::FUNCTIONS, <Table>::CONTEXTS), (0, 256 * 8));
}

proptest! {
    /// Against a queue of the library.
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

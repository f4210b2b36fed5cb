//! The callback state of a timer on its own CPU, with sequential operations.

use crate::irq::turns::{Finish, Release, Request, Turns};

#[test]
fn in_the_interrupt_it_runs_and_is_idle() {
    let turns = Turns::new();
    for _ in 0..2 {
        turns.begin();
        assert_eq!(turns.release(false), Release::Wait);
        assert!(!turns.end());
    }
    assert_eq!(turns.release(false), Release::Free);
}

#[test]
fn dropped_inside_the_interrupt_it_is_freed_afterwards() {
    let turns = Turns::new();
    turns.begin();
    assert_eq!(turns.release(true), Release::Left);
    assert!(turns.end());
}

#[test]
fn requests_before_it_runs_are_one_and_one_while_it_runs_is_another() {
    let turns = Turns::new();
    assert_eq!(turns.request(), Request::Defer);
    assert_eq!(turns.request(), Request::Waits);
    assert!(turns.start());
    assert_eq!(turns.request(), Request::Again);
    assert_eq!(turns.request(), Request::Waits);
    assert_eq!(turns.finish(), Finish::Queued);
    assert_eq!(turns.request(), Request::Waits);
    assert!(turns.start());
    assert_eq!(turns.finish(), Finish::Idle);
    assert_eq!(turns.request(), Request::Defer);
    turns.refuse();
    assert_eq!(turns.request(), Request::Defer);
}

/// A deferred function that re-arms its timer is called for later expiries only, not for one that
/// occurred while it ran.
#[test]
fn a_request_while_it_runs_can_be_withdrawn() {
    let turns = Turns::new();
    assert!(!turns.withdraw(), "nothing was requested");
    assert_eq!(turns.request(), Request::Defer);
    assert!(!turns.withdraw(), "it does not run");
    assert!(turns.start());
    assert!(!turns.withdraw(), "requested before it ran");
    assert_eq!(turns.request(), Request::Again);
    assert!(turns.withdraw());
    assert_eq!(turns.request(), Request::Again);
    assert!(turns.withdraw());
    assert!(!turns.withdraw(), "withdrawn already");
    assert_eq!(turns.finish(), Finish::Idle);
    assert_eq!(turns.request(), Request::Defer);
}

/// A withdrawn request does not revive a timer that has been dropped.
#[test]
fn nothing_is_withdrawn_from_a_dropped_timer() {
    let turns = Turns::new();
    assert_eq!(turns.request(), Request::Defer);
    assert!(turns.start());
    assert_eq!(turns.request(), Request::Again);
    assert_eq!(turns.release(true), Release::Left);
    assert!(!turns.withdraw());
    assert_eq!(turns.finish(), Finish::Dead);
}

/// The end of an interrupt that only requests does not change the state of deferred work.
#[test]
fn the_end_of_an_interrupt_leaves_deferred_work_alone() {
    let turns = Turns::new();
    assert_eq!(turns.request(), Request::Defer);
    assert!(!turns.end());
    assert!(turns.start());
    assert_eq!(turns.request(), Request::Again);
    assert!(!turns.end());
    assert_eq!(turns.finish(), Finish::Queued);
}

#[test]
fn dropped_inside_deferred_work_it_is_freed_afterwards() {
    for is_again in [false, true] {
        let turns = Turns::new();
        assert_eq!(turns.request(), Request::Defer);
        assert!(turns.start());
        if is_again {
            assert_eq!(turns.request(), Request::Again);
        }
        assert_eq!(turns.release(true), Release::Left);
        assert_eq!(turns.finish(), Finish::Dead);
    }
}

#[test]
fn dropped_while_it_waits_it_is_freed_instead_of_run() {
    for is_inside in [false, true] {
        let turns = Turns::new();
        assert_eq!(turns.request(), Request::Defer);
        assert_eq!(turns.release(is_inside), Release::Left);
        assert!(!turns.start());
    }
}

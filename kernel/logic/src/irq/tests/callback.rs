//! The callback state of a timer on its own CPU, with sequential operations.

use crate::irq::callback::{CallbackState, Finish, Release, Request};

#[test]
fn a_call_in_the_interrupt() {
    let state = CallbackState::new();
    for _ in 0..2 {
        state.begin();
        assert_eq!(state.release(false), Release::Retry);
        assert!(!state.end());
    }
    assert_eq!(state.release(false), Release::Free);
}

#[test]
fn a_drop_within_the_interrupt_frees_afterwards() {
    let state = CallbackState::new();
    state.begin();
    assert_eq!(state.release(true), Release::OwnerFrees);
    assert!(state.end());
}

#[test]
fn requests_before_the_run_merge_and_one_during_the_run_reruns() {
    let state = CallbackState::new();
    assert_eq!(state.request(), Request::Defer);
    assert_eq!(state.request(), Request::Pending);
    assert!(state.start());
    assert_eq!(state.request(), Request::Rerun);
    assert_eq!(state.request(), Request::Pending);
    assert_eq!(state.finish(), Finish::Requeue);
    assert_eq!(state.request(), Request::Pending);
    assert!(state.start());
    assert_eq!(state.finish(), Finish::Idle);
    assert_eq!(state.request(), Request::Defer);
    state.refuse();
    assert_eq!(state.request(), Request::Defer);
}

/// A deferred function that re-arms its timer is called for later expiries only, not for one that
/// occurred while it ran.
#[test]
fn a_request_during_the_run_can_be_withdrawn() {
    let state = CallbackState::new();
    assert!(!state.withdraw(), "nothing was requested");
    assert_eq!(state.request(), Request::Defer);
    assert!(!state.withdraw(), "it does not run");
    assert!(state.start());
    assert!(!state.withdraw(), "requested before it ran");
    assert_eq!(state.request(), Request::Rerun);
    assert!(state.withdraw());
    assert_eq!(state.request(), Request::Rerun);
    assert!(state.withdraw());
    assert!(!state.withdraw(), "withdrawn already");
    assert_eq!(state.finish(), Finish::Idle);
    assert_eq!(state.request(), Request::Defer);
}

/// A withdrawn request does not revive a timer that has been dropped.
#[test]
fn a_dropped_timer_has_no_request_to_withdraw() {
    let state = CallbackState::new();
    assert_eq!(state.request(), Request::Defer);
    assert!(state.start());
    assert_eq!(state.request(), Request::Rerun);
    assert_eq!(state.release(true), Release::OwnerFrees);
    assert!(!state.withdraw());
    assert_eq!(state.finish(), Finish::Free);
}

/// The end of an interrupt that only requests does not change the state of deferred work.
#[test]
fn the_end_of_an_interrupt_keeps_the_state_of_deferred_work() {
    let state = CallbackState::new();
    assert_eq!(state.request(), Request::Defer);
    assert!(!state.end());
    assert!(state.start());
    assert_eq!(state.request(), Request::Rerun);
    assert!(!state.end());
    assert_eq!(state.finish(), Finish::Requeue);
}

#[test]
fn a_drop_within_deferred_work_frees_afterwards() {
    for has_rerun in [false, true] {
        let state = CallbackState::new();
        assert_eq!(state.request(), Request::Defer);
        assert!(state.start());
        if has_rerun {
            assert_eq!(state.request(), Request::Rerun);
        }
        assert_eq!(state.release(true), Release::OwnerFrees);
        assert_eq!(state.finish(), Finish::Free);
    }
}

#[test]
fn a_drop_while_queued_frees_instead_of_running() {
    for is_inside in [false, true] {
        let state = CallbackState::new();
        assert_eq!(state.request(), Request::Defer);
        assert_eq!(state.release(is_inside), Release::OwnerFrees);
        assert!(!state.start());
    }
}

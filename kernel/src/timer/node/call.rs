//! The calls of a timer's function: in the interrupt, or as deferred work.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use tocsin_logic::irq::arming::Claim;
use tocsin_logic::irq::callback::{Finish, Request};

use super::release::free_later;
use super::{NEVER, Node, TypedNode, add};
use crate::deferred;
use crate::time;
use crate::timer::{Expiry, queue};

/// Time after which the kernel retries to defer a timer's function because the queue was full, in
/// nanoseconds.
const RETRY: u64 = 100_000;

/// Fires in the interrupt: calls the function.
///
/// # Safety
///
/// On the owner, in the timers' class; the node is a `TypedNode<F>`, not freed before [`finish`].
pub(super) unsafe fn fire_now<F: FnMut(&Expiry<'_>)>(pointer: NonNull<Node>, missed: u64) {
    // SAFETY: The caller guarantees it.
    let node = unsafe { pointer.as_ref() };
    let claim = node.claim.get();
    if !node.arming.claim(claim) {
        return remove_stale(pointer);
    }
    node.callback.begin();
    let expiry = Expiry::new(
        pointer,
        claim.number(),
        node.next.load(Ordering::Relaxed),
        missed,
    );
    // SAFETY: As above. No interrupt of this class arrives while one is in service, so there is no
    // other reference to the function.
    unsafe { call::<F>(pointer, &expiry) };
    add(&node.fired, 1);
}

/// Removes a timer from the queue that another CPU has cancelled or started again in the meantime.
#[cold]
#[inline(never)]
fn remove_stale(pointer: NonNull<Node>) {
    queue::local(|queue| queue.insert(pointer, NEVER, 0));
}

/// Completes a call of [`Node::fire`]. The node may be freed by this.
///
/// # Safety
///
/// On the owner, in the timers' class, once after each `fire`.
pub(in crate::timer) unsafe fn finish(pointer: NonNull<Node>) {
    // SAFETY: The caller guarantees it.
    let node = unsafe { pointer.as_ref() };
    if node.callback.end() {
        // SAFETY: The timer has been dropped and has left the node to this call.
        unsafe { free_later(pointer) };
    }
}

/// Fires by deferring the function.
///
/// # Safety
///
/// On the owner, in the timers' class; the node is not freed.
pub(super) unsafe fn defer_call(pointer: NonNull<Node>, missed: u64) {
    // SAFETY: The caller guarantees it.
    let node = unsafe { pointer.as_ref() };
    let number = node.number.get();
    if !node.arming.is_due(number) {
        return remove_stale(pointer);
    }
    node.deferred.set(number);
    let deadline = node.next.load(Ordering::Relaxed);
    let record = |missed| {
        node.deadline.set(deadline);
        node.missed_since.set(node.missed_since.get() + missed);
    };
    match node.callback.request() {
        Request::Defer => {
            if deferred::defer(run_deferred, pointer.as_ptr() as usize).is_ok() {
                return record(missed);
            }
            node.callback.refuse();
            if node.period.load(Ordering::Relaxed) == 0 {
                // The expiry is not lost, only late.
                let deadline = time::nanoseconds().saturating_add(RETRY);
                return queue::local(|queue| queue.insert(pointer, deadline, 0));
            }
        }
        Request::Rerun => return record(missed),
        Request::Pending => {}
    }
    add(&node.missed, 1);
    record(missed + 1);
}

/// The deferred work of a timer: in class 2, on the owner.
extern "C" fn run_deferred(pointer: usize) {
    let Some(pointer) = NonNull::new(pointer as *mut Node) else {
        return;
    };
    // SAFETY: Until the function has run, only this function frees the node.
    let node = unsafe { pointer.as_ref() };
    // SAFETY: The node was deferred, and this is the call for that.
    unsafe { (node.run)(pointer) };
}

/// Calls the function, unless the timer has been dropped, cancelled or started again in the
/// meantime. Afterwards the node is idle, deferred again, or freed.
///
/// # Safety
///
/// On the owner; the node is a `TypedNode<F>`, and was deferred.
pub(super) unsafe fn run<F: FnMut(&Expiry<'_>)>(pointer: NonNull<Node>) {
    // SAFETY: Until the function has run, only this function frees the node.
    let node = unsafe { pointer.as_ref() };
    while node.callback.start() {
        let expiry = queue::local(|_| {
            let number = node.deferred.get();
            let missed = node.missed_since.take();
            let expiry = Expiry::new(pointer, number, node.deadline.get(), missed);
            let once = node.period.load(Ordering::Relaxed) == 0;
            let claim = Claim::new(number, once);
            node.arming.claim(claim).then_some(expiry)
        });
        if let Some(expiry) = expiry {
            // SAFETY: The caller guarantees the type. The run has started, so there is no other
            // reference to the function.
            unsafe { call::<F>(pointer, &expiry) };
            add(&node.fired, 1);
        }
        match node.callback.finish() {
            Finish::Idle => return,
            // Queued behind other work, so as not to delay it; run at once, if the queue is full.
            Finish::Requeue => {
                if deferred::defer(run_deferred, pointer.as_ptr() as usize).is_ok() {
                    return;
                }
            }
            Finish::Free => break,
        }
    }
    // SAFETY: The timer has been dropped and has left the node to this call.
    unsafe { (node.free)(pointer) };
}

/// # Safety
///
/// The node is a `TypedNode<F>`, and there is no other reference to the function.
#[inline]
unsafe fn call<F: FnMut(&Expiry<'_>)>(pointer: NonNull<Node>, expiry: &Expiry<'_>) {
    // SAFETY: The caller guarantees it. The pointer was made from one to the `TypedNode`.
    let typed = unsafe { pointer.cast::<TypedNode<F>>().as_ref() };
    // SAFETY: The caller guarantees it.
    let function = unsafe { &mut *typed.function.get() };
    function(expiry);
}

//! The target's side of calls to one CPU: the mailboxes, and the code that serves them.
//!
//! A call that interrupts a thread and is the only one in the mailbox is run by the entry code in
//! [`interrupt`](super::interrupt), with the protocol of [`CallList::serve`]. All others are run
//! here.
//!
//! [`CallList::serve`]: tocsin_logic::irq::mailbox::CallList::serve

use core::sync::atomic::AtomicU64;

use tocsin_logic::irq::mailbox::{self, Call, Mailbox};

use crate::cpu::Callback;
use crate::fn_cell;

/// Maximum number of pending asynchronous calls of one CPU.
pub(crate) const PENDING: usize = 64;

crate::cpu_local! {
    /// Each CPU's mailbox for calls from other CPUs.
    pub(crate) static CALLS: Mailbox<PENDING> = Mailbox::new();

    /// The call that the entry code runs.
    pub(super) static RUNNING: AtomicU64 = AtomicU64::new(0);
}

/// The handler of the vector of calls.
pub(crate) extern "C" fn handle(_: usize, _: u8) {
    CALLS.here().serve(at, run);
}

/// Runs a list of calls that the entry code has taken from the mailbox.
pub(super) extern "C" fn run_list(newest: *mut Call) {
    mailbox::serve_list(newest, at, run);
}

/// The call at a posted address.
#[inline]
pub(crate) fn at(call: *const Call) -> &'static Call {
    // SAFETY: Calls are posted by `ipi::call`, which waits until they are done, and by mailboxes
    // themselves, which are never freed; serving keeps no reference after the call is done. All
    // fields of a call are atomic.
    unsafe { &*call }
}

/// Runs a posted function.
#[inline]
pub(crate) fn run(function: usize, argument: usize) {
    // SAFETY: Only `Callback`s are posted.
    let function: Callback = unsafe { fn_cell::from_address(function as *mut ()) };
    function(argument);
}

//! Barriers: waits until other CPUs have taken an interrupt.

use super::{Offline, Targets, request};

/// Waits until every target has taken an interrupt that was sent by this call, or has served the
/// request in a wait with interrupts disabled. Then each has executed a full memory barrier, and
/// these have ended on it, if they were running when the call began:
///
/// - sections with interrupts disabled, except one that itself waits for another CPU: a CPU serves
///   barriers in such a wait, and the section continues after it;
/// - sections with class 13 masked, handlers and called functions of class 13 and above, and NMI
///   handlers.
///
/// Threads and handlers of lower classes may be anywhere.
///
/// The targets serve the interrupt in [`leaf::LONGEST`](crate::trap::leaf::LONGEST) instructions
/// and run no function. The calling CPU is not interrupted, if it is among the targets.
///
/// Context: thread or handler up to class 12; as [`call::sync`](super::call::sync).
///
/// # Errors
///
/// [`Offline`], if one of the CPUs is not online. No CPU has been interrupted.
///
/// # Panics
///
/// In another context; the message names the rule.
#[expect(clippy::inline_always, reason = "as `call_one` of `ipi::call`")]
#[inline(always)]
#[track_caller]
pub fn wait<'a>(targets: impl Into<Targets<'a>>) -> Result<(), Offline> {
    request::send("barrier::wait", None, targets.into(), || ())
}

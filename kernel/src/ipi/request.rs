//! Requests to other CPUs that their entry code serves: TLB shootdowns and barriers.
//!
//! `tocsin_logic::irq::shootdown` has the protocol. The IPI of all requests is [`VECTOR`], whose
//! entry code is in [`trap::leaf`](crate::trap::leaf). A CPU that waits with interrupts disabled
//! serves requests in its loop; see `ipi::wait`.

use core::sync::atomic::{Ordering, compiler_fence};

use tocsin_logic::apic::icr::Destination;
use tocsin_logic::irq::context::{CALL_CLASS, WAIT_CLASS};
use tocsin_logic::irq::shootdown::{Posted, Range};
use tocsin_logic::vector::{Vector, fixed};

use super::wait::{self, Awaited};
use super::{Offline, Targets, physical, signal, signal_others_in_turn};
use crate::cpu::{self, PerCpu, context, handlers};
use crate::memory::tlb::{self, ACKNOWLEDGED, REQUESTS};
use crate::smp::{self, Online};

/// The vector of the requests.
pub const VECTOR: Vector = fixed::TLB;

// A CPU that waits with interrupts enabled takes the IPI, and a called function does not.
const _: () = assert!(VECTOR.priority_class().get() > WAIT_CLASS.get());
const _: () = assert!(VECTOR.priority_class().get() == CALL_CLASS.get());

/// Registers a handler that serves requests, for code that looks the vector up. Called once.
pub(crate) fn set_up() {
    extern "C" fn serve(_: usize, _: u8) {
        crate::sync::without_interrupts(tlb::serve_requests);
    }
    handlers::register(VECTOR, serve);
}

/// Fails unless all targets are online.
#[inline]
pub(super) fn check(targets: Targets<'_>) -> Result<(), Offline> {
    match targets {
        Targets::Others | Targets::All => Ok(()),
        Targets::One(cpu) => super::find(cpu).map(drop),
        Targets::Set(set) => super::check(set),
    }
}

/// Requests the invalidation of `range`, or only an acknowledgement, from the targets and waits
/// until all have acknowledged it. If the calling CPU is among them, it runs `here` meanwhile.
#[expect(clippy::inline_always, reason = "as `call_one` of `ipi::call`")]
#[inline(always)]
#[track_caller]
pub(super) fn send(
    operation: &'static str,
    range: Option<Range>,
    targets: Targets<'_>,
    here: impl FnOnce(),
) -> Result<(), Offline> {
    let own = cpu::current();
    context::require_wait(own, operation);
    match targets {
        Targets::Others => send_to_others(own, range, || ()),
        Targets::All => send_to_others(own, range, here),
        Targets::One(cpu) if cpu == own.id() => here(),
        Targets::One(cpu) => {
            let target = super::find(cpu)?;
            send_to(own, range, || core::iter::once(target), || ());
        }
        Targets::Set(set) => {
            super::check(set)?;
            let others = || {
                let others = set.iter().filter(|&cpu| cpu != own.id());
                others.filter_map(smp::find)
            };
            send_to(own, range, others, || {
                if set.contains(own.id()) {
                    here();
                }
            });
        }
    }
    Ok(())
}

/// Requests `range` from all other CPUs.
#[expect(clippy::inline_always, reason = "as `call_one` of `ipi::call`")]
#[inline(always)]
fn send_to_others(own: PerCpu, range: Option<Range>, meanwhile: impl FnOnce()) {
    let online = smp::by_shorthand();
    if online.len() <= 1 {
        return send_in_turn(own, range, meanwhile);
    }
    let request = REQUESTS.post(range);
    signal(VECTOR, Destination::Others);
    meanwhile();
    wait_for_all(own, online, request);
}

/// As [`send_to_others`], with one IPI to each CPU, where the shorthand would reach CPUs that are
/// not online.
#[cold]
fn send_in_turn(own: PerCpu, range: Option<Range>, meanwhile: impl FnOnce()) {
    let online = smp::all();
    if online.len() <= 1 {
        return meanwhile();
    }
    let request = REQUESTS.post(range);
    signal_others_in_turn(VECTOR);
    meanwhile();
    wait_for_all(own, online, request);
}

/// Waits until all other CPUs have acknowledged the request, and ends it.
#[expect(clippy::inline_always, reason = "as `call_one` of `ipi::call`")]
#[inline(always)]
fn wait_for_all<'a>(own: PerCpu, targets: impl IntoIterator<Item = &'a Online>, request: Posted) {
    let number = request.number();
    for target in targets {
        let acknowledged = ACKNOWLEDGED.of(target.cpu);
        if acknowledged.has(number) {
            continue;
        }
        // Keeps the order of the checks: this one is true only once.
        compiler_fence(Ordering::SeqCst);
        if target.cpu != own {
            let what = || Awaited::Acknowledgement(target.cpu.id());
            wait::spin_until(what, move || acknowledged.has(number));
        }
    }
    REQUESTS.release(request);
}

/// Requests `range` from these CPUs, one after the other.
fn send_to<I: Iterator<Item = &'static Online>>(
    own: PerCpu,
    range: Option<Range>,
    others: impl Fn() -> I,
    meanwhile: impl FnOnce(),
) {
    let request = REQUESTS.post(range);
    for target in others() {
        signal(VECTOR, physical(target));
    }
    meanwhile();
    wait_for_all(own, others(), request);
}

//! The kinds of interrupts between CPUs.

use crate::raw;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use serde::Serialize;
use tocsin_logic::cpu_set::CpuSet;
use tocsin_logic::vector::{PriorityClass, Vector, fixed};

use super::{account, numbers};
use tocsin::ipi::{Targets, call, nmi, reschedule};
use tocsin::line::{Line, Request, Source};
use tocsin::{cpu, deferred, priority};

/// A vector of the lowest class that is reserved for this test.
const VECTOR: Vector = fixed::IPI_TEST;

/// A kind of interrupt between CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[repr(usize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    CallOne,
    AsyncCallOne,
    CallSet,
    AsyncCallSet,
    CallOthers,
    AsyncCallOthers,
    CallAll,
    AsyncCallAll,
    ConcurrentCallOthers,
    IpiOne,
    IpiSelf,
    IpiSet,
    IpiOthers,
    IpiAll,
    NmiCall,
    DeferredWork,
    RemoteDeferredWork,
    Reschedule,
    LineMessage,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub(super) const ALL: [Self; 19] = [
        Self::CallOne,
        Self::AsyncCallOne,
        Self::CallSet,
        Self::AsyncCallSet,
        Self::CallOthers,
        Self::AsyncCallOthers,
        Self::CallAll,
        Self::AsyncCallAll,
        Self::ConcurrentCallOthers,
        Self::IpiOne,
        Self::IpiSelf,
        Self::IpiSet,
        Self::IpiOthers,
        Self::IpiAll,
        Self::NmiCall,
        Self::DeferredWork,
        Self::RemoteDeferredWork,
        Self::Reschedule,
        Self::LineMessage,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CallOne => "call to one CPU",
            Self::AsyncCallOne => "asynchronous call to one CPU",
            Self::CallSet => "call to a set",
            Self::AsyncCallSet => "asynchronous call to a set",
            Self::CallOthers => "call to all others",
            Self::AsyncCallOthers => "asynchronous call to all others",
            Self::CallAll => "call to all",
            Self::AsyncCallAll => "asynchronous call to all",
            Self::ConcurrentCallOthers => "concurrent calls to all others",
            Self::IpiOne => "IPI to one CPU",
            Self::IpiSelf => "self-IPI",
            Self::IpiSet => "IPI to a set",
            Self::IpiOthers => "IPI to all others",
            Self::IpiAll => "IPI to all",
            Self::NmiCall => "call by NMI",
            Self::Reschedule => "reschedule IPI to one CPU",
            Self::DeferredWork => "deferred work",
            Self::RemoteDeferredWork => "deferred work on one CPU",
            Self::LineMessage => "message to a line",
        }
    }
}

/// Registers the handler of the vector that the kinds use.
pub(super) fn set_up() {
    extern "C" fn on_interrupt(_: usize, _: u8) {
        received(CURRENT_IPI.load(Ordering::Relaxed));
    }
    raw::register(VECTOR, on_interrupt);
}

/// The number of the kind of fixed IPI that is being sent; only one is sent at a time.
static CURRENT_IPI: AtomicUsize = AtomicUsize::new(0);

/// Counts the receipt of an interrupt of the kind with this number.
fn received(kind: usize) {
    super::ACCOUNTS[kind]
        .received
        .fetch_add(1, Ordering::Release);
}

extern "C" fn called(kind: usize) {
    received(kind);
}

/// Sends all interrupts of one kind that this CPU must send; `kind` is its number.
pub(super) fn send(kind: u64) {
    let own = cpu::current().id();
    let Some(&kind) = usize::try_from(kind)
        .ok()
        .and_then(|kind| Kind::ALL.get(kind))
    else {
        return;
    };
    let count = numbers().count() as u64;
    for round in 0..rounds(count) {
        if account(kind).has_timed_out() {
            return;
        }
        match kind {
            Kind::CallOne | Kind::AsyncCallOne => {
                numbers().for_each(|cpu| make_call(kind, cpu, 1));
            }
            Kind::CallSet | Kind::AsyncCallSet | Kind::IpiSet => {
                let set = set_for(own, round);
                if kind == Kind::IpiSet {
                    interrupt(kind, &set, set.len().into());
                } else {
                    make_call(kind, &set, set.len().into());
                }
            }
            Kind::CallOthers | Kind::AsyncCallOthers => {
                make_call(kind, Targets::Others, count - 1);
            }
            Kind::CallAll | Kind::AsyncCallAll => make_call(kind, Targets::All, count),
            Kind::IpiOne => numbers().for_each(|cpu| interrupt(kind, cpu, 1)),
            Kind::IpiSelf => {
                CURRENT_IPI.store(kind as usize, Ordering::Relaxed);
                begin(kind, 1);
                raw::send_to_self(VECTOR);
                account(kind).wait();
            }
            Kind::IpiOthers => interrupt(kind, Targets::Others, count - 1),
            Kind::IpiAll => interrupt(kind, Targets::All, count),
            Kind::NmiCall => numbers().filter(|&cpu| cpu != own).for_each(call_by_nmi),
            Kind::DeferredWork => {
                begin(kind, 1);
                end(kind, 1, deferred::defer(called, kind as usize).is_ok());
                account(kind).wait();
            }
            Kind::RemoteDeferredWork => numbers().for_each(|cpu| {
                begin(kind, 1);
                end(
                    kind,
                    1,
                    deferred::defer_on(cpu, called, kind as usize).is_ok(),
                );
                account(kind).wait();
            }),
            Kind::Reschedule | Kind::LineMessage | Kind::ConcurrentCallOthers => {}
        }
    }
    if kind == Kind::LineMessage {
        through_line(own, rounds(count));
    }
}

/// Calls all other CPUs while they do the same.
pub(super) fn send_concurrently(_: u64) {
    let count = numbers().count() as u64;
    for _ in 0..rounds(count) {
        make_call(Kind::ConcurrentCallOthers, Targets::Others, count - 1);
    }
}

/// Sends a reschedule IPI from each CPU to each.
///
/// The senders run in a call, because a job would wake them with the same IPI. The IPIs of earlier
/// jobs have been handled: the deferred work that followed them, at a lower vector, has been done.
pub(super) fn reschedule_each() {
    let kind = Kind::Reschedule;
    reschedule::set_hook(|| received(Kind::Reschedule as usize));
    for _ in 0..rounds(numbers().count() as u64) {
        for (sender, target) in numbers().flat_map(|it| numbers().map(move |target| (it, target))) {
            if account(kind).has_timed_out() {
                return;
            }
            begin(kind, 1);
            let is_sent = AtomicBool::new(false);
            let send = || is_sent.store(reschedule::send(target).is_ok(), Ordering::Relaxed);
            let is_called = call::run(sender, send).is_ok();
            end(kind, 1, is_called && is_sent.into_inner());
            account(kind).wait();
        }
    }
    reschedule::set_hook(|| ());
}

/// The number of rounds from each CPU to each, which decreases with the number of CPUs.
fn rounds(cpus: u64) -> u64 {
    (300 / (cpus * cpus)).clamp(1, 20)
}

/// Returns a subset of the CPUs. The sets of two consecutive rounds together contain all CPUs.
fn set_for(own: u32, round: u64) -> CpuSet {
    let mut set = CpuSet::EMPTY;
    for (cpu, position) in numbers().zip(u64::from(own) + round..) {
        if position.is_multiple_of(2) {
            // Cannot fail: the set has room for every CPU number.
            let _ = set.insert(cpu);
        }
    }
    set
}

fn begin(kind: Kind, count: u64) {
    account(kind).sent.fetch_add(count, Ordering::Relaxed);
}

/// Corrects the account if the interrupts were not sent.
fn end(kind: Kind, count: u64, is_sent: bool) {
    if !is_sent {
        account(kind).refused.fetch_add(count, Ordering::Relaxed);
        account(kind).sent.fetch_sub(count, Ordering::Relaxed);
    }
}

fn make_call<'a>(kind: Kind, targets: impl Into<Targets<'a>>, count: u64) {
    begin(kind, count);
    let argument = kind as usize;
    match kind {
        Kind::AsyncCallOne | Kind::AsyncCallSet | Kind::AsyncCallOthers | Kind::AsyncCallAll => {
            let refused = match call::post(targets, called, argument) {
                Ok(()) => 0,
                Err(call::CallError::Full(cpus)) => cpus.len().into(),
                Err(_) => count,
            };
            end(kind, refused, false);
        }
        _ => end(kind, count, call::sync(targets, called, argument).is_ok()),
    }
}

/// Sends a fixed IPI and waits until it has been received, because two pending IPIs may merge.
fn interrupt<'a>(kind: Kind, targets: impl Into<Targets<'a>>, count: u64) {
    CURRENT_IPI.store(kind as usize, Ordering::Relaxed);
    begin(kind, count);
    end(kind, count, raw::send_to(VECTOR, targets.into()).is_ok());
    account(kind).wait();
}

fn call_by_nmi(cpu: u32) {
    begin(Kind::NmiCall, 1);
    // SAFETY: The function only increments an atomic counter.
    let is_sent = unsafe { nmi::call(cpu, called, Kind::NmiCall as usize) }.is_ok();
    end(Kind::NmiCall, 1, is_sent);
    account(Kind::NmiCall).wait();
}

/// Sends messages to a line of its own on `cpu`, each when the last one has been received.
fn through_line(cpu: u32, rounds: u64) {
    let Some(class) = PriorityClass::new(6) else {
        return;
    };
    let request = Request {
        name: "ipi",
        source: Source::Message,
        class,
        cpu,
    };
    let Ok(line) = Line::new(request, || received(Kind::LineMessage as usize)) else {
        // The table then shows that nothing was sent.
        return;
    };
    for _ in 0..rounds {
        begin(Kind::LineMessage, 1);
        line.trigger().expect("it has no input");
        account(Kind::LineMessage).wait();
    }
}

/// Reschedule IPIs that merged while CR8 masked them.
#[derive(Serialize)]
pub(super) struct Merged {
    sent: u64,
    handled: u64,
}

impl fmt::Display for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, handled } = self;
        write!(
            f,
            "  reschedule IPIs to this CPU while CR8 masked them: {sent} sent, {handled} handled"
        )
    }
}

/// Sends reschedule IPIs to this CPU while CR8 masks them. Returns how many it then handled.
pub(super) fn merged() -> Merged {
    static HANDLED: AtomicU64 = AtomicU64::new(0);
    const SENT: u64 = 5;
    HANDLED.store(0, Ordering::Relaxed);
    reschedule::set_hook(|| {
        HANDLED.fetch_add(1, Ordering::Relaxed);
    });
    let raised = priority::raise(PriorityClass::HIGHEST);
    for _ in 0..SENT {
        // Cannot fail: this CPU is online.
        let _ = reschedule::send(cpu::current().id());
    }
    drop(raised);
    // When CR8 is lowered, pending interrupts are delivered before the next instruction. A call by
    // interrupt is delivered after them.
    let _ = call::run(Targets::Others, || ());
    reschedule::set_hook(|| ());
    Merged {
        sent: SENT,
        handled: HANDLED.load(Ordering::Relaxed),
    }
}

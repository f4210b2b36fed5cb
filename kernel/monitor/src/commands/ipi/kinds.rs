//! The kinds of interrupts between CPUs.

use crate::raw;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tocsin_logic::cpu_set::CpuSet;
use tocsin_logic::vector::{PriorityClass, Vector, fixed};

use super::{account, numbers};
use tocsin::ipi::{Targets, call, nmi, reschedule};
use tocsin::line::{Line, Request, Source};
use tocsin::{cpu, deferred, priority};

/// A vector of the lowest class that is reserved for this test.
const VECTOR: Vector = fixed::IPI_TEST;

/// A kind of interrupt between CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Kind {
    CallOneAndWait,
    CallOne,
    CallSetAndWait,
    CallSet,
    CallOthersAndWait,
    CallOthers,
    CallAllAndWait,
    CallAll,
    Together,
    IpiOne,
    IpiSelf,
    IpiSet,
    IpiOthers,
    IpiAll,
    Nmi,
    Work,
    WorkElsewhere,
    Reschedule,
    Line,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub(super) const ALL: [Self; 19] = [
        Self::CallOneAndWait,
        Self::CallOne,
        Self::CallSetAndWait,
        Self::CallSet,
        Self::CallOthersAndWait,
        Self::CallOthers,
        Self::CallAllAndWait,
        Self::CallAll,
        Self::Together,
        Self::IpiOne,
        Self::IpiSelf,
        Self::IpiSet,
        Self::IpiOthers,
        Self::IpiAll,
        Self::Nmi,
        Self::Work,
        Self::WorkElsewhere,
        Self::Reschedule,
        Self::Line,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CallOneAndWait => "call one CPU and wait",
            Self::CallOne => "call one CPU",
            Self::CallSetAndWait => "call a set and wait",
            Self::CallSet => "call a set",
            Self::CallOthersAndWait => "call all others and wait",
            Self::CallOthers => "call all others",
            Self::CallAllAndWait => "call all and wait",
            Self::CallAll => "call all",
            Self::Together => "call all others and wait, all at once",
            Self::IpiOne => "interrupt one CPU",
            Self::IpiSelf => "interrupt oneself",
            Self::IpiSet => "interrupt a set",
            Self::IpiOthers => "interrupt all others",
            Self::IpiAll => "interrupt all",
            Self::Nmi => "call by NMI",
            Self::Reschedule => "reschedule one CPU",
            Self::Work => "work put off",
            Self::WorkElsewhere => "work put off on one CPU",
            Self::Line => "message to a line",
        }
    }
}

/// Registers the handler of the vector that the kinds use.
pub(super) fn set_up() {
    extern "C" fn came(_: usize, _: u8) {
        received(CURRENT_IPI.load(Ordering::Relaxed));
    }
    raw::register(VECTOR, came);
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
        if account(kind).is_given_up() {
            return;
        }
        match kind {
            Kind::CallOneAndWait | Kind::CallOne => {
                numbers().for_each(|cpu| make_call(kind, cpu, 1));
            }
            Kind::CallSetAndWait | Kind::CallSet | Kind::IpiSet => {
                let set = set_for(own, round);
                if kind == Kind::IpiSet {
                    interrupt(kind, &set, set.len().into());
                } else {
                    make_call(kind, &set, set.len().into());
                }
            }
            Kind::CallOthersAndWait | Kind::CallOthers => {
                make_call(kind, Targets::Others, count - 1);
            }
            Kind::CallAllAndWait | Kind::CallAll => make_call(kind, Targets::All, count),
            Kind::IpiOne => numbers().for_each(|cpu| interrupt(kind, cpu, 1)),
            Kind::IpiSelf => {
                CURRENT_IPI.store(kind as usize, Ordering::Relaxed);
                begin(kind, 1);
                raw::send_to_self(VECTOR);
                account(kind).wait();
            }
            Kind::IpiOthers => interrupt(kind, Targets::Others, count - 1),
            Kind::IpiAll => interrupt(kind, Targets::All, count),
            Kind::Nmi => numbers().filter(|&cpu| cpu != own).for_each(call_by_nmi),
            Kind::Work => {
                begin(kind, 1);
                end(kind, 1, deferred::defer(called, kind as usize).is_ok());
                account(kind).wait();
            }
            Kind::WorkElsewhere => numbers().for_each(|cpu| {
                begin(kind, 1);
                end(
                    kind,
                    1,
                    deferred::defer_on(cpu, called, kind as usize).is_ok(),
                );
                account(kind).wait();
            }),
            Kind::Reschedule | Kind::Line | Kind::Together => {}
        }
    }
    if kind == Kind::Line {
        through_line(own, rounds(count));
    }
}

/// Calls all other CPUs while they do the same.
pub(super) fn send_together(_: u64) {
    let count = numbers().count() as u64;
    for _ in 0..rounds(count) {
        make_call(Kind::Together, Targets::Others, count - 1);
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
            if account(kind).is_given_up() {
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
    for (cpu, place) in numbers().zip(u64::from(own) + round..) {
        if place.is_multiple_of(2) {
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
        Kind::CallOne | Kind::CallSet | Kind::CallOthers | Kind::CallAll => {
            let refused = match call::start(targets, called, argument) {
                Ok(()) => 0,
                Err(call::CallError::Full(cpus)) => cpus.len().into(),
                Err(_) => count,
            };
            end(kind, refused, false);
        }
        _ => end(
            kind,
            count,
            call::and_wait(targets, called, argument).is_ok(),
        ),
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
    begin(Kind::Nmi, 1);
    // SAFETY: The function only increments an atomic counter.
    let is_sent = unsafe { nmi::call(cpu, called, Kind::Nmi as usize) }.is_ok();
    end(Kind::Nmi, 1, is_sent);
    account(Kind::Nmi).wait();
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
    let Ok(line) = Line::new(request, || received(Kind::Line as usize)) else {
        // The table then shows that nothing was sent.
        return;
    };
    for _ in 0..rounds {
        begin(Kind::Line, 1);
        line.trigger().expect("it has no input");
        account(Kind::Line).wait();
    }
}

/// The result of reschedule IPIs that merged while they were pending.
pub(super) struct Merged {
    sent: u64,
    ran: u64,
}

impl fmt::Display for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  this CPU was told to reschedule {} times while CR8 held all back: it did {} time{}",
            self.sent,
            self.ran,
            if self.ran == 1 { "" } else { "s" }
        )
    }
}

/// Sends reschedule IPIs to this CPU while CR8 masks them. Returns how often it then rescheduled.
pub(super) fn merged() -> Merged {
    static RAN: AtomicU64 = AtomicU64::new(0);
    const SENT: u64 = 5;
    RAN.store(0, Ordering::Relaxed);
    reschedule::set_hook(|| {
        RAN.fetch_add(1, Ordering::Relaxed);
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
        ran: RAN.load(Ordering::Relaxed),
    }
}

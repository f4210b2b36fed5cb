//! Inter-processor interrupts: to one CPU, a set of CPUs, all CPUs, or the sending CPU.
//!
//! The handler sees all stores that precede the send. In x2APIC mode a write to the ICR does not
//! wait for earlier stores, so the local APIC's driver executes `mfence; lfence` before it (SDM
//! vol. 3A, 12.12.3); a self-IPI needs neither. In xAPIC mode the ICR is uncached memory, which
//! keeps the order of stores.
//!
//! An IPI whose vector is already pending at the receiver merges with it (SDM vol. 3A, 12.8.4): two
//! sends may cause one interrupt. [`call`], [`deferred`](crate::deferred) and [`reschedule`] do not
//! depend on the number of interrupts.

pub mod barrier;
pub mod call;
pub mod jobs;
pub mod nmi;
pub mod request;
pub mod reschedule;
pub mod tlb;
pub mod vectors;
pub mod wait;

pub use crate::cpu::Callback;

use core::fmt;

use tocsin_logic::apic::ApicId;
use tocsin_logic::apic::EncodingError;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::cpu_set::CpuSet;
use tocsin_logic::vector::Vector;

use crate::apic::local;
use crate::cpu;
use crate::ipi::vectors::ReservedVector;
use crate::smp::{self, Online};

/// The targets of an IPI or a call. CPU numbers and references to sets convert into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets<'a> {
    /// The CPU with this number, which may be the sender.
    One(u32),
    /// These CPUs, which may include the sender: one ICR write for each.
    Set(&'a CpuSet),
    /// All online CPUs except the sender: one ICR write where [`smp::broadcast`] permits a
    /// shorthand, else one for each CPU.
    Others,
    /// All online CPUs, including the sender: ICR writes as for `Others`.
    All,
}

impl From<u32> for Targets<'_> {
    fn from(cpu: u32) -> Self {
        Self::One(cpu)
    }
}

impl<'a> From<&'a CpuSet> for Targets<'a> {
    fn from(set: &'a CpuSet) -> Self {
        Self::Set(set)
    }
}

/// The error that no CPU with this number is online.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offline(pub u32);

/// The reason why no IPI was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IpiError {
    /// One of the CPUs is not online.
    Offline(Offline),
    /// The ICR cannot encode this IPI.
    Encoding(EncodingError),
}

impl From<Offline> for IpiError {
    fn from(offline: Offline) -> Self {
        Self::Offline(offline)
    }
}

impl fmt::Display for Offline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = self.0;
        write!(f, "CPU {cpu} is not online; `cpus` lists those that are")
    }
}

impl core::error::Error for Offline {}

impl fmt::Display for IpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(offline) => offline.fmt(f),
            Self::Encoding(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for IpiError {}

/// Sends an interrupt with a vector that the caller has [reserved](crate::ipi::vectors::reserve).
/// For lines, see [`trigger`](crate::line::Line::trigger); for NMIs, [`nmi`].
///
/// Context: any (once the CPUs are online).
///
/// # Errors
///
/// [`IpiError`], if one of the CPUs is not online. Then no IPI is sent.
pub fn send<'a>(vector: ReservedVector, targets: impl Into<Targets<'a>>) -> Result<(), IpiError> {
    send_vector(vector.get(), targets)
}

/// As [`send`], with one of the kernel's own vectors.
///
/// # Panics
///
/// If the vector is that of an exception.
pub(crate) fn send_vector<'a>(
    vector: Vector,
    targets: impl Into<Targets<'a>>,
) -> Result<(), IpiError> {
    let to = |destination| {
        let sent = local().send_fixed(vector, destination);
        sent.map_err(IpiError::Encoding)
    };
    match targets.into() {
        Targets::One(cpu) => to(physical(find(cpu)?)),
        Targets::Set(set) => {
            check(set)?;
            for cpu in set.iter() {
                to(physical(find(cpu)?))?;
            }
            Ok(())
        }
        Targets::Others if has_shorthands() => to(Destination::Others),
        Targets::All if has_shorthands() => to(Destination::All),
        Targets::Others => others().try_for_each(|cpu| to(physical(cpu))),
        Targets::All => smp::all().iter().try_for_each(|cpu| to(physical(cpu))),
    }
}

/// Whether shorthands reach only CPUs that are online.
#[inline]
fn has_shorthands() -> bool {
    !smp::by_shorthand().is_empty()
}

/// The online CPUs except the calling CPU.
#[inline]
pub(crate) fn others() -> impl Iterator<Item = &'static Online> {
    let own = cpu::current();
    // Compared by address: the numbers are in the other CPUs' cache lines.
    smp::all().iter().filter(move |it| it.cpu != own)
}

/// Sends a self-IPI, which is faster than [`send`].
///
/// Context: any.
#[inline]
pub fn send_to_self(vector: ReservedVector) {
    local().send_to_self(vector.get());
}

/// Sends one of the kernel's own vectors to online CPUs.
#[inline]
pub(crate) fn signal(vector: Vector, destination: Destination) {
    local()
        .send_fixed(vector, destination)
        .expect("the ID of a CPU that is online fits the mode");
}

/// Sends one of the kernel's own vectors to all other online CPUs.
pub(crate) fn signal_others(vector: Vector) {
    if has_shorthands() {
        signal(vector, Destination::Others);
    } else {
        signal_others_in_turn(vector);
    }
}

/// As [`signal_others`], with one ICR write for each CPU.
#[cold]
pub(crate) fn signal_others_in_turn(vector: Vector) {
    others().for_each(|target| signal(vector, physical(target)));
}

/// Sends one of the kernel's own vectors to all online CPUs.
pub(crate) fn signal_all(vector: Vector) {
    if has_shorthands() {
        signal(vector, Destination::All);
    } else {
        for target in smp::all() {
            signal(vector, physical(target));
        }
    }
}

/// The online CPU with this number.
#[inline]
pub(crate) fn find(cpu: u32) -> Result<&'static Online, Offline> {
    smp::find(cpu).ok_or(Offline(cpu))
}

/// Fails unless all CPUs of the set are online.
pub(crate) fn check(set: &CpuSet) -> Result<(), Offline> {
    set.iter().try_for_each(|cpu| find(cpu).map(drop))
}

#[inline]
pub(crate) fn physical(target: &Online) -> Destination {
    // SAFETY: `Online::new` checks it. This saves each sender the check.
    unsafe { core::hint::assert_unchecked(target.apic_id <= ApicId::X2APIC_MAX) };
    Destination::Physical(target.apic_id)
}

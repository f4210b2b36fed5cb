//! Time since the kernel's first instruction, from the time-stamp counter.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;

use crate::hw::{pit, processor};

/// How the frequency of the time-stamp counter was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// CPUID.15H: the ratio to a crystal whose frequency is given (SDM vol. 3B, 19.7.3).
    CpuidCrystal,
    /// The hypervisor's timing leaf, `CPUID.4000_0010H`.
    Hypervisor,
    /// Counted against channel 2 of the 8254.
    Pit,
    /// Nothing could tell: 1 GHz is assumed, and every time printed is only a guess.
    Assumed,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CpuidCrystal => "CPUID leaf 15H",
            Self::Hypervisor => "the hypervisor's CPUID leaf",
            Self::Pit => "measured against the PIT",
            Self::Assumed => "unknown, assumed",
        })
    }
}

/// Frequency of the time-stamp counter, in Hz, and how it is known.
#[derive(Clone, Copy, Debug)]
pub struct Frequency {
    /// In Hz; never 0.
    pub hertz: u64,
    /// Where the number comes from.
    pub source: Source,
}

static START: AtomicU64 = AtomicU64::new(0);
static FREQUENCY: Once<Frequency> = Once::new();

/// Takes now as time 0. Once, first thing on the boot CPU.
pub(crate) fn start() {
    START.store(processor::timestamp(), Ordering::Relaxed);
}

/// The frequency of the time-stamp counter; learnt at the first call, which may take 10 ms.
pub fn frequency() -> Frequency {
    *FREQUENCY.call_once(learn_frequency)
}

/// Nanoseconds since [`start`]. Any context.
#[must_use]
pub fn nanoseconds() -> u64 {
    let hertz = frequency().hertz;
    let cycles = processor::timestamp().wrapping_sub(START.load(Ordering::Relaxed));
    u64::try_from(u128::from(cycles) * 1_000_000_000 / u128::from(hertz)).unwrap_or(u64::MAX)
}

fn learn_frequency() -> Frequency {
    let crystal = processor::cpuid(0x15, 0);
    if crystal.eax != 0 && crystal.ebx != 0 && crystal.ecx != 0 {
        let hertz = u64::from(crystal.ecx) * u64::from(crystal.ebx) / u64::from(crystal.eax);
        return Frequency {
            hertz: hertz.max(1),
            source: Source::CpuidCrystal,
        };
    }
    if processor::has_hypervisor() {
        let kilohertz = processor::cpuid(0x4000_0010, 0).eax;
        if kilohertz != 0 {
            return Frequency {
                hertz: u64::from(kilohertz) * 1000,
                source: Source::Hypervisor,
            };
        }
    }
    // 10 ms: long enough for 0.1 % against a read that takes a few microseconds.
    let ticks = u16::try_from(pit::FREQUENCY / 100).expect("10 ms fit the 16-bit counter");
    match pit::measure(ticks, 1 << 32, processor::timestamp) {
        Some(cycles) if cycles > 0 => {
            let hertz = cycles * pit::FREQUENCY / u64::from(ticks);
            Frequency {
                hertz: hertz.max(1),
                source: Source::Pit,
            }
        }
        _ => Frequency {
            hertz: 1_000_000_000,
            source: Source::Assumed,
        },
    }
}

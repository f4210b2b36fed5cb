//! TSC synchronisation: the offset of each AP's time-stamp counter from the boot CPU's.
//!
//! Deadlines and the watchdog compare times of two CPUs, so their counters must agree. Processors
//! start the counters together at reset, but firmware can shift one by `IA32_TSC_ADJUST`, and the
//! counter of another socket or of a processor added later may have started at another time. So
//! each AP's counter is measured by a short exchange of messages (`tocsin_logic::smp`). A counter
//! is corrected only if it certainly differs and the correction helps.
//!
//! APs wait in the barrier, halted, until their exchange begins: there is one exchange at a time,
//! which occupies two CPUs.

use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use tocsin_logic::smp::{Offset, Outcome, synchronize};
use tocsin_logic::units::Nanoseconds;

use super::{Online, TIMEOUT, wake_from_barrier};
use crate::apic::LocalApic;
use crate::hw::control::{Features, read_msr, write_msr};
use crate::hw::processor::timestamp;
use crate::time::{self, cycles_to_nanoseconds, nanoseconds_to_cycles};

/// The messages of the TSC measurement between the boot CPU and an AP.
#[derive(Debug)]
struct Exchange {
    /// The number of the request, stored by the boot CPU; [`NONE`](Self::NONE) outside an exchange.
    request: AtomicU32,
    /// The number of the request that the AP has handled last, stored after `counter`.
    reply: AtomicU32,
    /// The number that the AP must add to its counter; 0 for no change.
    adjustment: AtomicI64,
    /// The AP's counter, read after the request had arrived.
    counter: AtomicU64,
}

impl Exchange {
    /// The request number that ends an exchange.
    const NONE: u32 = 0;

    const fn new() -> Self {
        Self {
            request: AtomicU32::new(Self::NONE),
            reply: AtomicU32::new(Self::NONE),
            adjustment: AtomicI64::new(0),
            counter: AtomicU64::new(0),
        }
    }
}

crate::cpu_local! {
    static EXCHANGE: Exchange = Exchange::new();
}

/// The value that the processor adds to the counter (SDM vol. 3B, 19.17.3).
const IA32_TSC_ADJUST: u32 = 0x3b;

/// Maximum number of rounds of a measurement; each is a request and a reply.
const ROUNDS: u32 = 12;

/// The uncertainty at which a measurement ends early, in nanoseconds.
const TARGET_WIDTH: u64 = 1000;

/// The time after which a measurement begins no further round, in nanoseconds. This permits dozens
/// of rounds on hardware; a virtual CPU that waits for the host's scheduler gets a wider bound
/// instead.
const BUDGET: u64 = 100_000;

/// Polls before the first PAUSE, which takes longer than a reply, most of all under an emulator.
const SPIN_LIMIT: u32 = 3000;

/// The counter, read after all earlier loads (SDM vol. 2B, RDTSC).
fn ordered_timestamp() -> u64 {
    // SAFETY: Only orders instructions.
    unsafe { core::arch::asm!("lfence", options(nostack, preserves_flags)) };
    timestamp()
}

/// Handles the boot CPU's requests until the exchange ends; returns at once if there is none. On an
/// AP in the barrier, with interrupts disabled.
pub(super) fn serve() {
    let exchange = EXCHANGE.here();
    let mut handled = Exchange::NONE;
    let mut polls = 0;
    loop {
        let request = exchange.request.load(Ordering::Acquire);
        if request == Exchange::NONE {
            return;
        }
        if request == handled {
            polls += 1;
            if polls > SPIN_LIMIT {
                core::hint::spin_loop();
            }
            continue;
        }
        let adjustment = exchange.adjustment.load(Ordering::Relaxed);
        if adjustment != 0 {
            adjust_own(adjustment);
        }
        exchange
            .counter
            .store(ordered_timestamp(), Ordering::Relaxed);
        exchange.reply.store(request, Ordering::Release);
        (handled, polls) = (request, 0);
    }
}

/// Adds `cycles` to this CPU's counter. Only where [`Features::TSC_ADJUST`] is present.
fn adjust_own(cycles: i64) {
    // SAFETY: The boot CPU asks for this only where CPUID reports the register.
    let old = unsafe { read_msr(IA32_TSC_ADJUST) };
    // SAFETY: As above; the register takes every value, and no deadline is set on this CPU yet.
    unsafe { write_msr(IA32_TSC_ADJUST, old.wrapping_add_signed(cycles)) };
}

/// The boot CPU's side of an exchange.
struct RemoteCpu<'a> {
    exchange: &'a Exchange,
    last: u32,
}

impl RemoteCpu<'_> {
    /// Sends a request and waits for the reply. Returns the boot CPU's counter before, the AP's
    /// counter, and the boot CPU's counter after; `None` if no reply arrives within [`TIMEOUT`].
    fn request(&mut self, adjustment: i64, notify: impl FnOnce()) -> Option<[u64; 3]> {
        self.last += 1;
        let Self { exchange, last } = *self;
        exchange.adjustment.store(adjustment, Ordering::Relaxed);
        let sent = ordered_timestamp();
        exchange.request.store(last, Ordering::Release);
        notify();
        let has_replied = || exchange.reply.load(Ordering::Acquire) == last;
        let is_quick = (0..SPIN_LIMIT).any(|_| has_replied());
        if !is_quick && !time::wait_until(TIMEOUT, has_replied) {
            return None;
        }
        let received = ordered_timestamp();
        Some([sent, exchange.counter.load(Ordering::Relaxed), received])
    }

    /// Measures the offset. `notify` wakes the AP if this is the first request.
    fn measure(&mut self, notify: impl Fn()) -> Option<Offset> {
        let [target, budget] = [TARGET_WIDTH, BUDGET].map(nanoseconds_to_cycles);
        let mut offset = Offset::UNKNOWN;
        let mut begin = None;
        for _ in 0..ROUNDS {
            let is_first = self.last == Exchange::NONE;
            let round = self.request(0, || {
                if is_first {
                    notify();
                }
            });
            let [sent, replied, received] = round?;
            offset = offset.narrowed(sent, replied, received);
            // Measured from the first reply, because a CPU that has just been woken replies slowly.
            let begin = *begin.get_or_insert(received);
            if offset.width() <= target || received.saturating_sub(begin) > budget {
                break;
            }
        }
        Some(offset)
    }
}

/// Measures the counters of these APs, corrects those that differ, and logs the result. On the boot
/// CPU, while the APs are in the barrier.
pub(super) fn run(apic: &LocalApic, aps: &[Online]) {
    // The largest possible difference, and the CPU that has it.
    let mut worst: Option<(u64, u32)> = None;
    let begin = timestamp();
    for ap in aps {
        if let Some(bound) = sync(apic, ap) {
            worst = worst.max(Some((bound, ap.number)));
        }
    }
    let time = |cycles| Nanoseconds(cycles_to_nanoseconds(cycles));
    if let Some((bound, cpu)) = worst {
        log::info!(
            "tsc: counters differ from the boot CPU's by {} at most (CPU {cpu}), measured in {}",
            time(bound),
            time(timestamp().saturating_sub(begin))
        );
    }
}

/// Measures and corrects one AP's counter. Returns its largest possible difference, in cycles.
fn sync(apic: &LocalApic, ap: &Online) -> Option<u64> {
    let exchange = EXCHANGE.of(ap.cpu);
    let mut remote = RemoteCpu {
        exchange,
        last: Exchange::NONE,
    };
    let synced = {
        let remote = core::cell::RefCell::new(&mut remote);
        let can_adjust = Features::get().contains(Features::TSC_ADJUST);
        synchronize(
            || remote.borrow_mut().measure(|| wake_from_barrier(apic, ap)),
            |cycles| can_adjust && remote.borrow_mut().request(cycles, || ()).is_some(),
        )
    };
    exchange.request.store(Exchange::NONE, Ordering::Release);
    let time = |cycles| Nanoseconds(cycles_to_nanoseconds(cycles));
    let number = ap.number;
    let Some(synced) = synced else {
        log::error!(
            "tsc: CPU {number}: no reply within {} (offset unknown)",
            Nanoseconds(TIMEOUT)
        );
        return None;
    };
    let offset = synced.offset;
    match synced.outcome {
        Outcome::Agreed => {}
        Outcome::Corrected(cycles) => log::warn!(
            "tsc: CPU {number}: the counter differed by {} or more (corrected by IA32_TSC_ADJUST)",
            time(cycles)
        ),
        Outcome::Differs => log::error!(
            "tsc: CPU {number}: the counter is {} or more {} the boot CPU's (its timers and its watchdog are \
             off by that; IA32_TSC_ADJUST is missing or did not help)",
            time(offset.least()),
            if offset.is_ahead() {
                "ahead of"
            } else {
                "behind"
            }
        ),
    }
    Some(offset.bound())
}

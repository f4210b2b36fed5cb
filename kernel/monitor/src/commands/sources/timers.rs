//! The PIT and the RTC.

use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use super::{Begin, ExpectedCounts, GRACE, Run, TIMEOUT, What, arrives, mask_an_edge, received};
use tocsin::devices::DeviceError;
use tocsin::devices::pit::{self, Pit, Timer};
use tocsin::devices::rtc::{Cause, Clock, Rate, Rtc};
use tocsin::time;

/// The ticks of the PIT's one-shots: 0.2 ms.
const ONE_SHOT: u16 = 238;

/// The rate of the PIT's periodic mode, in Hz.
const PIT_HERTZ: u32 = 1000;

/// The rates of the RTC, in Hz, with the maximum number of periods to wait for: the slowest period
/// takes half a second.
const RTC_RATES: [(u32, u64); 3] = [(Rate::MAX, u64::MAX), (1024, u64::MAX), (Rate::MIN, 1)];

pub(super) fn pit(run: &mut Run<'_>) -> Result<(), DeviceError> {
    let mut timer = Pit::claim()?.with_handler(run.class, run.cpu, || {})?;

    let begin = Begin::new(timer.line());
    let mut raised = 0;
    for number in 1..=run.count {
        timer.once(ONE_SHOT);
        if !time::wait_until(TIMEOUT, || timer.is_done()) {
            return Err(DeviceError::Wrong("PIT", "the countdown timed out".into()));
        }
        raised += 1;
        if !arrives(timer.line(), &begin, number, TIMEOUT) {
            break;
        }
    }
    let what = What::new("pit", "one_shot");
    run.row(what, timer.line(), &begin, &ExpectedCounts::all(raised));
    if received(timer.line()) == 0 && raised > 0 {
        return Ok(());
    }

    let begin = mask_an_edge(run, &mut timer, Timer::line, |timer| {
        timer.once(ONE_SHOT);
        Ok(())
    })?;
    let what = What::new("pit", "masked");
    run.row(what, timer.line(), &begin, &ExpectedCounts::lost());

    let begin = Begin::new(timer.line());
    if let Some(count) = pit::divisor(PIT_HERTZ) {
        timer.every(count);
        let period = pit::nanoseconds(pit::ticks(count).into());
        arrives(
            timer.line(),
            &begin,
            run.count,
            TIMEOUT + 2 * period * run.count,
        );
        let periods = (time::nanoseconds() - begin.time) / period.max(1);
        // The timer continues, and would interrupt while the row is printed.
        timer.line().set_masked(true);
        let what = What::periodic("pit", PIT_HERTZ);
        run.row(
            what,
            timer.line(),
            &begin,
            &ExpectedCounts::estimated(periods),
        );
    }
    Ok(())
}

/// The causes in register C that the handler has read: periods and updates.
#[derive(Default)]
struct CauseCounts {
    periods: AtomicU64,
    updates: AtomicU64,
}

impl CauseCounts {
    fn note(&self, cause: Cause) {
        for (happened, counter) in [
            (cause.is_periodic(), &self.periods),
            (cause.is_update_ended(), &self.updates),
        ] {
            counter.fetch_add(u64::from(happened), Ordering::Release);
        }
    }
}

pub(super) fn rtc(run: &mut Run<'_>) -> Result<(), DeviceError> {
    let counts = Arc::new(CauseCounts::default());
    let handler = {
        let counts = Arc::clone(&counts);
        move |cause| counts.note(cause)
    };
    let mut clock = Rtc::claim()?.with_handler(run.class, run.cpu, handler)?;
    for (hertz, most) in RTC_RATES {
        let count = run.count.min(most);
        let row = RtcRow::begin(&clock, &counts.periods, count);
        clock.every(Rate::hertz(hertz))?;
        let time = count * 2_000_000_000 / u64::from(hertz);
        arrives(clock.line(), &row.begin, count, TIMEOUT + time);
        clock.every(None)?;
        row.end(run, What::periodic("rtc", hertz), &clock);
    }

    let count = run.count.min(1);
    let row = RtcRow::begin(&clock, &counts.updates, count);
    clock.on_update(true);
    // An update occurs every second.
    arrives(clock.line(), &row.begin, count, 2 * TIMEOUT);
    clock.on_update(false);
    row.end(run, What::new("rtc", "update_ended"), &clock);

    // A masked edge is lost. The RTC's output then stays asserted, and no other edge occurs until
    // it is acknowledged, although some emulators generate one.
    let begin = Begin::new(clock.line());
    clock.line().set_masked(true);
    clock.every(Rate::hertz(Rate::MAX))?;
    time::spin_for(GRACE);
    if received(clock.line()) != begin.received {
        run.problem("RTC: an interrupt was delivered although its source was masked");
    }
    let row = RtcRow::begin(&clock, &counts.periods, 1);
    clock.line().set_masked(false);
    clock.acknowledge();
    arrives(clock.line(), &row.begin, 1, TIMEOUT);
    clock.every(None)?;
    row.end(run, What::new("rtc", "after_masked"), &clock);
    Ok(())
}

/// A row of the RTC: register C must report each interrupt with the correct cause.
struct RtcRow<'a> {
    begin: Begin,
    counts: &'a AtomicU64,
    before: u64,
    /// The minimum number of interrupts that must arrive.
    least: u64,
}

impl<'a> RtcRow<'a> {
    /// Starts a row while the RTC is stopped or masked.
    fn begin(clock: &Clock, counts: &'a AtomicU64, least: u64) -> Self {
        Self {
            begin: Begin::new(clock.line()),
            counts,
            before: counts.load(Ordering::Acquire),
            least,
        }
    }

    /// Prints the row. The RTC must be stopped again.
    ///
    /// An interrupt that was in transit when the RTC was stopped finds no cause in register C. An
    /// emulator on a slow host generates more of these, one for each period that ends before the
    /// previous one is handled, so any number is accepted.
    fn end(self, run: &mut Run<'_>, what: What, clock: &Clock) {
        run.quiesce(0);
        let raised = self.counts.load(Ordering::Acquire) - self.before;
        let expected = ExpectedCounts {
            empty: u64::MAX,
            ..ExpectedCounts::all(raised)
        };
        run.row(what, clock.line(), &self.begin, &expected);
        if raised < self.least {
            let least = self.least;
            run.problem(&format!(
                "{what}: {raised} raised, expected at least {least}"
            ));
        }
    }
}

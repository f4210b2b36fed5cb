//! The two oldest timers.

use alloc::format;

use super::{Begin, Ends, GRACE, PATIENCE, Run, arrives, mask_an_edge, received};
use crate::devices::pit::{self, Pit, Timer};
use crate::devices::rtc::{Clock, Rate, Rtc};
use crate::devices::{DeviceError, wait_until};
use crate::time;

/// Ticks of the PIT's one-shots: 0.2 ms.
const ONE_SHOT: u16 = 238;

/// Rate of the PIT's periods, in Hz.
const PIT_HERTZ: u32 = 1000;

/// Rates of the RTC, in Hz, with the most periods to wait for: the slowest takes half a second.
const RTC_RATES: [(u32, u64); 3] = [(Rate::MAX, u64::MAX), (1024, u64::MAX), (Rate::MIN, 1)];

pub(super) fn pit(run: &mut Run<'_>) -> Result<(), DeviceError> {
    let mut timer = Pit::claim()?.answer(run.class, run.cpu, || {})?;

    let begin = Begin::new(timer.line());
    let mut raised = 0;
    for number in 1..=run.count {
        timer.once(ONE_SHOT);
        if !wait_until(PATIENCE, || timer.is_done()) {
            return Err(DeviceError::Wrong("PIT", "a count does not end".into()));
        }
        raised += 1;
        if !arrives(timer.line(), &begin, number, PATIENCE) {
            break;
        }
    }
    run.row("PIT one-shot", timer.line(), &begin, &Ends::all(raised));
    if received(timer.line()) == 0 && raised > 0 {
        return Ok(());
    }

    let begin = mask_an_edge(&mut timer, Timer::line, |timer| {
        timer.once(ONE_SHOT);
        Ok(())
    })?;
    run.row("PIT masked", timer.line(), &begin, &Ends::lost());

    let begin = Begin::new(timer.line());
    if let Some(count) = pit::divisor(PIT_HERTZ) {
        timer.every(count);
        let period = pit::nanoseconds(pit::ticks(count).into());
        arrives(
            timer.line(),
            &begin,
            run.count,
            PATIENCE + 2 * period * run.count,
        );
        let periods = (time::nanoseconds() - begin.time) / period.max(1);
        let what = format!("PIT {PIT_HERTZ} Hz");
        run.row(&what, timer.line(), &begin, &Ends::estimated(periods));
    }
    Ok(())
}

pub(super) fn rtc(run: &mut Run<'_>) -> Result<(), DeviceError> {
    let mut clock = Rtc::claim()?.answer(run.class, run.cpu, |_| {})?;
    for (hertz, most) in RTC_RATES {
        let begin = Begin::new(clock.line());
        let before = clock.raised();
        let count = run.count.min(most);
        clock.every(Rate::hertz(hertz))?;
        let time = count * 2_000_000_000 / u64::from(hertz);
        arrives(clock.line(), &begin, count, PATIENCE + time);
        clock.every(None)?;
        let what = format!("RTC {hertz} Hz");
        settled(run, &what, &clock, &begin, before, count);
    }

    let begin = Begin::new(clock.line());
    let before = clock.raised();
    let count = run.count.min(1);
    clock.on_update(true);
    // An update comes every second.
    arrives(clock.line(), &begin, count, 2 * PATIENCE);
    clock.on_update(false);
    settled(run, "RTC update ended", &clock, &begin, before, count);
    masked(run, &mut clock)
}

/// Shows a row of the clock, which has been silenced: each interrupt that register C told of was
/// answered, and `least` have come.
///
/// One that was on its way when the clock was silenced finds no reason in register C. An emulator may make
/// more of these: one for each period that ends before the one before it is answered.
fn settled(run: &mut Run<'_>, what: &str, clock: &Clock, begin: &Begin, before: u64, least: u64) {
    time::spin_for(GRACE);
    let raised = clock.raised() - before;
    let ends = Ends {
        least: raised.max(least),
        empty: raised + 1,
        ..Ends::all(raised)
    };
    run.row(what, clock.line(), begin, &ends);
}

/// A masked edge is lost. The clock's output stays asserted then, and there is no other edge until it
/// is acknowledged, though some emulators make one.
fn masked(run: &mut Run<'_>, clock: &mut Clock) -> Result<(), DeviceError> {
    let begin = Begin::new(clock.line());
    clock.line().set_masked(true);
    clock.every(Rate::hertz(Rate::MAX))?;
    time::spin_for(GRACE);
    if received(clock.line()) != begin.received {
        run.problem("RTC: an interrupt came although it was masked");
    }
    // Nothing comes between these.
    let begin = Begin::new(clock.line());
    let before = clock.raised();
    clock.line().set_masked(false);
    let by_hand = u64::from(clock.acknowledge().interrupts());
    arrives(clock.line(), &begin, 1, PATIENCE);
    clock.every(None)?;
    settled(
        run,
        "RTC after masked ones",
        clock,
        &begin,
        before + by_hand,
        1,
    );
    Ok(())
}

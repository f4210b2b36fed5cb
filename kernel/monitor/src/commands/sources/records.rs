//! The records of `sources`.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use serde::Serialize;
use tocsin_logic::units::Nanoseconds;

use super::{Begin, ExpectedCounts};
use crate::commands::lines::RouteRecord;
use tocsin::line::Line;
use tocsin::time;

/// A source, and the mode in which it interrupts.
#[derive(Clone, Copy, Serialize)]
pub(super) struct What {
    source: &'static str,
    /// The number of the HPET's comparator.
    comparator: Option<u8>,
    /// The trigger mode of the comparator's input, or `message`.
    trigger: Option<&'static str>,
    mode: &'static str,
    /// The rate of a periodic source.
    hertz: Option<u32>,
}

impl What {
    pub(super) const fn new(source: &'static str, mode: &'static str) -> Self {
        Self {
            source,
            comparator: None,
            trigger: None,
            mode,
            hertz: None,
        }
    }

    /// A periodic source with this rate.
    pub(super) const fn periodic(source: &'static str, hertz: u32) -> Self {
        Self {
            hertz: Some(hertz),
            ..Self::new(source, "periodic")
        }
    }

    pub(super) const fn comparator(number: u8, trigger: &'static str, mode: &'static str) -> Self {
        Self {
            comparator: Some(number),
            trigger: Some(trigger),
            ..Self::new("hpet", mode)
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source {
            "pit" => "PIT",
            "rtc" => "RTC",
            "hpet" => "HPET",
            "com2" => "COM2",
            "virtio" => "virtio-mmio",
            source => source,
        })?;
        if let (Some(comparator), Some(trigger)) = (self.comparator, self.trigger) {
            write!(f, " {comparator} {trigger}")?;
        }
        match (self.hertz, self.mode) {
            (Some(hertz), _) => write!(f, " {hertz} Hz"),
            (None, "one_shot") => f.write_str(" one-shot"),
            (None, "update_ended") => f.write_str(" update ended"),
            (None, "after_masked") => f.write_str(" after masked ones"),
            (None, mode) => write!(f, " {mode}"),
        }
    }
}

/// The interrupts of a source in one mode, counted on both ends.
#[derive(Serialize)]
pub(super) struct RunRecord {
    #[serde(flatten)]
    what: What,
    cpu: u32,
    vector: u8,
    raised: u64,
    /// Whether the number of raised interrupts is only an estimate from a clock.
    is_estimate: bool,
    pub(super) received: u64,
    /// The interrupts for which the device showed no reason.
    pub(super) unclaimed: u64,
    duration_ns: u64,
    /// The route of a pin; none for messages.
    route: Option<RouteRecord>,
    #[serde(skip)]
    line_source: String,
}

impl RunRecord {
    pub(super) fn of(what: What, line: &Line, begin: &Begin, expected: &ExpectedCounts) -> Self {
        let seen = line.describe();
        Self {
            what,
            cpu: seen.cpu,
            vector: seen.first.get(),
            raised: expected.raised,
            is_estimate: expected.is_estimate,
            received: seen.counts.claimed - begin.received,
            unclaimed: seen.counts.unclaimed - begin.empty,
            duration_ns: time::nanoseconds() - begin.time,
            route: seen.pin.map(RouteRecord::of),
            line_source: seen.source,
        }
    }
}

impl fmt::Display for RunRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = if self.is_estimate { "~" } else { "" };
        write!(
            f,
            "  {:<25}  {:>3}  {:>6}  {:>6}  {:>8}  {:>5}  {:>8}  {}",
            self.what.to_string(),
            self.cpu,
            format!("{:#04x}", self.vector),
            format!("{about}{}", self.raised),
            self.received,
            self.unclaimed,
            Nanoseconds(self.duration_ns),
            self.line_source
        )
    }
}

/// A wrong count.
#[derive(Serialize)]
pub(super) struct ProblemRecord {
    pub(super) description: String,
}

impl fmt::Display for ProblemRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  problem: {}", self.description)
    }
}

/// A source that the machine lacks.
#[derive(Serialize)]
pub(super) struct AbsentRecord {
    pub(super) source: &'static str,
    pub(super) description: String,
}

impl fmt::Display for AbsentRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}: {}", self.source, self.description)
    }
}

/// A mode that a source does not support.
#[derive(Serialize)]
pub(super) struct UnsupportedRecord {
    #[serde(flatten)]
    pub(super) what: What,
    pub(super) description: String,
}

impl fmt::Display for UnsupportedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}: not here: {}", self.what, self.description)
    }
}

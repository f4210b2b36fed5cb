//! The causes of interrupt latency.

/// The reason why an interrupt could not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatencyCause {
    /// IF = 0.
    IfOff,
    /// CR8 masks its priority class.
    Cr8,
    /// A handler of the same or a higher class was in service, from its gate to its end.
    InService,
}

/// A period in which an interrupt could not be delivered, in TSC cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskedPeriod {
    /// The reason.
    pub cause: LatencyCause,
    /// The start of the period.
    pub begin: u64,
    /// The end of the period, exclusive.
    pub end: u64,
}

/// A latency, split by cause. The sum of the parts is the latency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// IF = 0.
    pub if_off: u64,
    /// IF = 1, but CR8 masked the interrupt.
    pub cr8: u64,
    /// IF = 1 and CR8 did not mask the interrupt, but a handler of the same or a higher class was
    /// in service.
    pub in_service: u64,
    /// No known reason, before the CPU entered the interrupt's gate.
    pub hardware: u64,
    /// From the gate to the handler, without the periods above.
    pub dispatch: u64,
}

impl Split {
    /// The whole latency.
    #[must_use]
    pub fn total(self) -> u64 {
        self.if_off + self.cr8 + self.in_service + self.hardware + self.dispatch
    }
}

/// Splits the time from an interrupt's `deadline` to the start of its handler, `began`. The CPU
/// entered the gate at `gate`, which is limited to the time from `deadline` to `began`. If periods
/// overlap, the first reason in [`LatencyCause`] takes precedence.
#[must_use]
pub fn split(deadline: u64, gate: u64, began: u64, periods: &[MaskedPeriod]) -> Split {
    let began = began.max(deadline);
    let gate = gate.clamp(deadline, began);
    let mut split = Split::default();
    let mut at = deadline;
    while at < began {
        // The cause is constant up to the next start or end of a period.
        let ends = periods.iter().flat_map(|it| [it.begin, it.end]);
        let next = ends.chain([gate, began]).filter(|&end| end > at).min();
        let next = next.unwrap_or(began).min(began);
        let is_masked = |cause| {
            let mut of_kind = periods.iter().filter(|it| it.cause == cause);
            of_kind.any(|it| (it.begin..it.end).contains(&at))
        };
        let part = if is_masked(LatencyCause::IfOff) {
            &mut split.if_off
        } else if is_masked(LatencyCause::Cr8) {
            &mut split.cr8
        } else if is_masked(LatencyCause::InService) {
            &mut split.in_service
        } else if at < gate {
            &mut split.hardware
        } else {
            &mut split.dispatch
        };
        *part += next - at;
        at = next;
    }
    split
}

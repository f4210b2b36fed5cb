//! What the lateness of an interrupt was made of.

/// What held an interrupt back for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// IF = 0.
    Off,
    /// CR8 at its class or above.
    Raised,
    /// A handler of its class or a higher one, from its gate to its end.
    Service,
}

/// A time in which an interrupt was held back, in cycles of the time-stamp counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// By what.
    pub held: Held,
    /// From here on.
    pub begin: u64,
    /// Up to here.
    pub end: u64,
}

/// A lateness, split. The parts make up the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Interrupts were off.
    pub if_off: u64,
    /// They were on, and CR8 was too high.
    pub cr8: u64,
    /// Neither, and a handler of the class or a higher one ran.
    pub in_service: u64,
    /// Nothing is known to have held the interrupt back, and its gate was not entered yet.
    pub hardware: u64,
    /// From the gate to the handler, without what is told above.
    pub dispatch: u64,
}

impl Split {
    /// The whole lateness.
    #[must_use]
    pub fn total(self) -> u64 {
        self.if_off + self.cr8 + self.in_service + self.hardware + self.dispatch
    }
}

/// Splits the time from an interrupt's `deadline` to the begin of its handler. Its gate was entered at
/// `gate`: at `deadline` or `began` if that is outside. Of stretches that overlap, what comes first in
/// [`Held`] counts.
#[must_use]
pub fn split(deadline: u64, gate: u64, began: u64, stretches: &[Stretch]) -> Split {
    let began = began.max(deadline);
    let gate = gate.clamp(deadline, began);
    let mut split = Split::default();
    let mut at = deadline;
    while at < began {
        // Nothing changes before the next begin or end.
        let ends = stretches.iter().flat_map(|it| [it.begin, it.end]);
        let next = ends.chain([gate, began]).filter(|&end| end > at).min();
        let next = next.unwrap_or(began).min(began);
        let is_held = |held| {
            let mut of_kind = stretches.iter().filter(|it| it.held == held);
            of_kind.any(|it| (it.begin..it.end).contains(&at))
        };
        let part = if is_held(Held::Off) {
            &mut split.if_off
        } else if is_held(Held::Raised) {
            &mut split.cr8
        } else if is_held(Held::Service) {
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

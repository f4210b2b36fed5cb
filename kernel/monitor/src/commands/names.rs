//! The identifiers of values in records.

use tocsin_logic::apic::{Delivery, Polarity, TimerMode, Trigger};

pub(super) const fn polarity(polarity: Polarity) -> &'static str {
    match polarity {
        Polarity::High => "high",
        Polarity::Low => "low",
    }
}

pub(super) const fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Edge => "edge",
        Trigger::Level => "level",
    }
}

pub(super) const fn delivery(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Fixed => "fixed",
        Delivery::LowestPriority => "lowest_priority",
        Delivery::Smi => "smi",
        Delivery::Nmi => "nmi",
        Delivery::Init => "init",
        Delivery::StartUp => "start_up",
        Delivery::ExtInt => "ext_int",
    }
}

pub(super) const fn timer_mode(mode: TimerMode) -> &'static str {
    match mode {
        TimerMode::OneShot => "one_shot",
        TimerMode::Periodic => "periodic",
        TimerMode::TscDeadline => "tsc_deadline",
    }
}

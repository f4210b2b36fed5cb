//! Checks of metrics in instructions: against their baselines, against the sum of their parts, and
//! against limits.

use super::Metrics;
use crate::{Result, ensure, ensure_eq};

/// Metrics that are also measured for the baselines.
const WITH_BASELINES: &[&str] = &[
    "nest.arrival",
    "nest.entry",
    "deferred.run",
    "timer.queue",
    "ipi.one_way",
    "msi.edu",
    "broadcast.all",
    "broadcast.sender",
    "call.wait",
    "tlb.shootdown",
];

/// Maximum number of instructions for a metric: the limit from the design of the interrupt path.
/// The edge of a pin is known to within half a count of the HPET, which is 10 instructions.
const LIMITS: &[(&str, u64)] = &[
    ("self_ipi.entry", 25),
    ("self_ipi.to_handler", 30),
    ("self_ipi.round_trip", 60),
    ("exception.int_n", 45),
    ("timer.queue", 80),
    ("pin.hpet", 40),
    ("msi.edu", 35),
];

/// The median of a metric, by its full name.
fn median(metrics: &Metrics, key: &str) -> Result<u64> {
    let record = metrics.get(key).ok_or(format!("no {key}"))?;
    Ok(record["p50"].as_u64().ok_or("no median")?)
}

pub fn match_baselines(metrics: &Metrics, mode: &str) -> Result {
    let median = |key: &str| median(metrics, key);
    // The minimal path is the shortest, and typical small kernels take more than this one.
    for name in [
        "self_ipi.to_handler",
        "self_ipi.round_trip",
        "self_ipi.back",
    ] {
        let [own, floor] =
            ["tocsin", "floor"].map(|variant| median(&format!("{name} {variant} {{}}")));
        let (own, floor) = (own?, floor?);
        ensure!(floor <= own, "{name}: floor {floor}, tocsin {own}");
        if mode == "x2apic" {
            let typical = median(&format!("{name} typical {{}}"))?;
            ensure!(own <= typical, "{name}: tocsin {own}, typical {typical}");
        }
    }
    // Both baselines exist, and both have the expected values.
    for name in WITH_BASELINES {
        let of = |variant: &str| {
            let own = metrics
                .iter()
                .find(|(key, _)| key.starts_with(&format!("{name} {variant} ")));
            own.and_then(|(_, record)| record["p50"].as_u64())
        };
        let (own, floor) = (of("tocsin"), of("floor"));
        ensure!(
            floor.is_some() && floor <= own,
            "{name}: floor {floor:?}, tocsin {own:?}"
        );
        ensure_eq!(
            of("typical").is_some(),
            mode == "x2apic",
            "a typical metric of {name}"
        );
    }
    Ok(())
}

/// Entry to the gate plus gate to handler is the whole path, except for the jump that the kernel's
/// own vectors lack, and one that the compiler may place before the sending.
pub fn parts_make_the_whole(metrics: &Metrics) -> Result {
    for (variant, more) in [("tocsin", 2), ("floor", 0), ("typical", 1)] {
        let of = |part: &str| median(metrics, &format!("self_ipi.{part} {variant} {{}}"));
        if let (Ok(gate), Ok(entry), Ok(whole)) = (of("to_gate"), of("entry"), of("to_handler")) {
            ensure!(
                (whole..=whole + more).contains(&(gate + entry)),
                "{variant}: {gate} to the gate and {entry} from there, not {whole}"
            );
        } else {
            ensure_eq!(variant, "typical", "the variant without parts");
        }
    }
    // An entry costs the same wherever it is measured.
    ensure_eq!(
        median(metrics, "nest.entry tocsin {\"depth\":0}")?,
        median(metrics, "self_ipi.entry tocsin {}")?,
        "the entry at depth 0"
    );
    Ok(())
}

/// The interrupts of a flood arrive, and leave some but not all of the time to the thread.
pub fn a_flood_comes(metrics: &Metrics) -> Result {
    for variant in ["tocsin", "floor"] {
        let of = |name: &str| {
            let key = format!("throughput.{name} {variant} {{\"load\":\"flood\"}}");
            median(metrics, &key)
        };
        let (delivered, share) = (of("delivered")?, of("thread_share")?);
        ensure!(
            delivered > 1_000_000 && (1..50).contains(&share),
            "{variant}: {delivered} delivered per second, {share} % of the time left to the thread"
        );
    }
    // The deferred work runs before any of them arrives.
    let flooded = |key: &&String| key.starts_with("deferred.run") && key.contains("flood");
    ensure_eq!(
        metrics.keys().find(flooded),
        None,
        "deferred work in a flood"
    );
    Ok(())
}

pub fn latencies_hold(metrics: &Metrics) -> Result {
    let median = |key: &str| median(metrics, key);
    // The ceiling's curve is flat, and that of `cli` is not.
    let latency = |variant: &str, section: u64| {
        median(&format!(
            "contention.latency {variant} {{\"section\":{section}}}"
        ))
    };
    for section in [0, 1_000, 20_000, 500_000] {
        ensure_eq!(
            latency("ceiling", section)?,
            latency("none", 0)?,
            "latency under a ceiling for {section} instructions"
        );
    }
    for (variant, section) in [("cli", 20_000), ("spin", 20_000), ("spin", 500_000)] {
        let waited = latency(variant, section)?;
        ensure!(
            (section..section + 3_000).contains(&waited),
            "{variant}, {section} instructions: the handler waited for {waited}"
        );
    }
    // A nested interrupt costs no more than the first.
    let first_entry = median("nest.entry tocsin {\"depth\":0}")?;
    for depth in 1..=8 {
        let entry = median(&format!("nest.entry tocsin {{\"depth\":{depth}}}"))?;
        ensure!(
            entry <= first_entry,
            "depth {depth}: {entry}, first {first_entry}"
        );
    }
    Ok(())
}

pub fn are_within_limits(metrics: &Metrics) -> Result {
    for &(name, limit) in LIMITS {
        let own = metrics
            .iter()
            .filter(|(key, _)| key.starts_with(&format!("{name} tocsin")));
        for (key, record) in own {
            ensure!(
                record["p50"].as_u64() <= Some(limit),
                "{key} is above {limit}"
            );
        }
    }
    Ok(())
}

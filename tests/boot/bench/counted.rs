//! What figures in instructions must be: beside their rivals, as wholes of their parts, and at most.

use super::Figures;
use crate::{Result, ensure, ensure_eq};

/// Figures that are measured for the rivals too.
const RIVALLED: &[&str] = &[
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

/// Most instructions that a figure may take: what the design of the interrupt's way allows. A pin's edge is
/// known to half a count of the HPET, which is 10 instructions.
const LIMITS: &[(&str, u64)] = &[
    ("self_ipi.entry", 25),
    ("self_ipi.to_handler", 30),
    ("self_ipi.round_trip", 60),
    ("exception.int_n", 45),
    ("timer.queue", 80),
    ("pin.hpet", 40),
    ("msi.edu", 35),
];

/// The median of a figure, by its whole name.
fn median(figures: &Figures, key: &str) -> Result<u64> {
    let record = figures.get(key).ok_or(format!("no {key}"))?;
    Ok(record["p50"].as_u64().ok_or("no median")?)
}

pub fn stand_beside_rivals(figures: &Figures, mode: &str) -> Result {
    let median = |key: &str| median(figures, key);
    // The least that can be done is the least, and what small kernels do is more than this does.
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
    // Both rivals are there, and both are where they should be.
    for name in RIVALLED {
        let of = |variant: &str| {
            let own = figures
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
            "a typical figure of {name}"
        );
    }
    Ok(())
}

/// To the gate and from there to the handler is the whole way, but for the jump that the kernel's own vectors
/// do not have, and one that the compiler may place before the sending.
pub fn parts_make_the_whole(figures: &Figures) -> Result {
    for (variant, more) in [("tocsin", 2), ("floor", 0), ("typical", 1)] {
        let of = |part: &str| median(figures, &format!("self_ipi.{part} {variant} {{}}"));
        if let (Ok(gate), Ok(entry), Ok(whole)) = (of("to_gate"), of("entry"), of("to_handler")) {
            ensure!(
                (whole..=whole + more).contains(&(gate + entry)),
                "{variant}: {gate} to the gate and {entry} from there, not {whole}"
            );
        } else {
            ensure_eq!(variant, "typical", "the variant without parts");
        }
    }
    // An entry is the same wherever it is measured.
    ensure_eq!(
        median(figures, "nest.entry tocsin {\"depth\":0}")?,
        median(figures, "self_ipi.entry tocsin {}")?,
        "the entry at depth 0"
    );
    Ok(())
}

/// A flood's interrupts come, and leave something to the thread, but not all.
pub fn a_flood_comes(figures: &Figures) -> Result {
    for variant in ["tocsin", "floor"] {
        let of = |name: &str| {
            let key = format!("throughput.{name} {variant} {{\"load\":\"flood\"}}");
            median(figures, &key)
        };
        let (came, share) = (of("delivered")?, of("thread_share")?);
        ensure!(
            came > 1_000_000 && (1..50).contains(&share),
            "{variant}: {came} came in a second, and left {share} %"
        );
    }
    // The work that is put off runs before any of them comes.
    let flooded = |key: &&String| key.starts_with("deferred.run") && key.contains("flood");
    ensure_eq!(
        figures.keys().find(flooded),
        None,
        "work put off in a flood"
    );
    Ok(())
}

pub fn latencies_hold(figures: &Figures) -> Result {
    let median = |key: &str| median(figures, key);
    // The ceiling's line is flat, and that of `cli` is not.
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
    // A nested one costs no more than a first.
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

pub fn are_within_limits(figures: &Figures) -> Result {
    for &(name, limit) in LIMITS {
        let own = figures
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

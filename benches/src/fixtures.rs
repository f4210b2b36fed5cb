//! Records in the kernel's format, for tests: of two rounds in cycles and one in instructions.

use crate::host::Host;
use crate::peers::{Peer, PeerMetric};
use crate::record::{Boot, Clock};
use crate::results::Results;

pub const CYCLES: &str = include_str!("fixtures/cycles.txt");
pub const CYCLES_2: &str = include_str!("fixtures/cycles-2.txt");
pub const INSTRUCTIONS: &str = include_str!("fixtures/instructions.txt");

pub fn host() -> Host {
    Host {
        machine: "q35, 4 CPUs, 512 MiB, TCG".to_owned(),
        cpu: "max".to_owned(),
        qemu_args: String::new(),
        append: String::new(),
        system: "Linux 6.1.0".to_owned(),
        profile: "release".to_owned(),
        processor: "2 x A <fast> & \"good\" one".to_owned(),
        qemu: "QEMU emulator version 10.0.2".to_owned(),
        compiler: "rustc 1.95.0".to_owned(),
        kernel: "0.1.0 (abc)".to_owned(),
        image_bytes: 1 << 20,
        began: 1_780_000_000,
    }
}

/// Two rounds in cycles and one in instructions.
pub fn results() -> Results {
    let boots = [CYCLES, CYCLES_2, INSTRUCTIONS].map(|text| Boot::parse(text).unwrap());
    Results::new(host(), &boots)
}

/// Two other kernels with a test each, and one that was skipped.
pub fn peers() -> Vec<Peer> {
    let metric = |test: &str, statistic: &str, value| PeerMetric {
        test: test.to_owned(),
        clock: Clock::Cycles,
        cpus: 4,
        statistic: statistic.to_owned(),
        unit: "cycles".to_owned(),
        what: "round trip".to_owned(),
        beside: "self_ipi.round_trip".to_owned(),
        param: None,
        value,
        rounds: vec![value],
        p99: None,
        max: None,
        rejected: None,
        other_load: false,
    };
    let present = |name: &str, metric| Peer {
        name: name.to_owned(),
        version: "v1".to_owned(),
        absent: None,
        metrics: vec![metric],
    };
    vec![
        present(
            "kvm-unit-tests",
            metric("x2apic_self_ipi_sti_nop", "mean", 8000.0),
        ),
        present("Linux", metric("irq_work", "median", 9000.0)),
        Peer {
            name: "Absent".to_owned(),
            version: String::new(),
            absent: Some("not measured: ANOTHER=... names one".to_owned()),
            metrics: Vec::new(),
        },
    ]
}

//! What the kernel's `bench` measures: for those who ask for it, and for those who see that it comes.

/// Each group as the command calls it, and its figures, as a machine with more than one CPU has them.
pub const GROUPS: &[(&str, &[&str])] = &[
    ("exception", &["exception.int_n", "exception.ud"]),
    (
        "self_ipi",
        &[
            "self_ipi.to_handler",
            "self_ipi.back",
            "self_ipi.round_trip",
            "self_ipi.to_gate",
            "self_ipi.entry",
        ],
    ),
    ("nest", &["nest.arrival", "nest.entry"]),
    ("contention", &["contention.latency"]),
    ("deferred", &["deferred.run"]),
    ("timer", &["timer.queue"]),
    ("load", &["timer.jitter"]),
    ("pin", &["pin.hpet"]),
    ("msi", &["msi.edu"]),
    ("ipi", &["ipi.one_way", "ipi.round_trip"]),
    (
        "broadcast",
        &[
            "broadcast.all",
            "broadcast.sender",
            "broadcast.each_all",
            "broadcast.each_sender",
        ],
    ),
    ("call", &["call.wait", "tlb.shootdown"]),
    (
        "throughput",
        &[
            "throughput.self_ipi",
            "throughput.thread_left",
            "throughput.thread_share",
            "throughput.delivered",
        ],
    ),
    ("bringup", &["bringup.cpus"]),
];

//! The metrics of the kernel's `bench` command, for their selection and for the check that all are
//! measured.

/// Each group by the command's name for it, and its metrics on a machine with more than one CPU.
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
    ("wake", &["wake.thread"]),
    ("pin", &["pin.hpet"]),
    ("msi", &["msi.edu"]),
    ("ipi", &["ipi.one_way", "ipi.round_trip"]),
    (
        "broadcast",
        &[
            "broadcast.all",
            "broadcast.handlers",
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

//! Tests of the benchmarks' command: machines that hang, stop early or report impossible values,
//! signals, folders that cannot be written, and other kernels that are none. Measuring takes an
//! hour: errors must be reported, before the measurement if possible, and must not lose measured
//! values.

mod emulator;
mod files;
mod peers;
mod signals;

use emulator::{SuiteDir, start};

/// How a machine's failure begins, by its mode.
const X2APIC: &str = "round 1 of 1, 4 CPUs: self_ipi: FAILED ";
const XAPIC: &str = "round 1 of 1, 4 CPUs, xAPIC: self_ipi: FAILED ";

/// Ends of the second machine, and the message for each.
const ENDS: &[(&str, &[&str])] = &[
    (
        // Before there is a machine.
        "echo 'unsupported machine' >&2; exit 1",
        &[
            "unsupported machine",
            "QEMU did not start the machine: QEMU ended with exit status 1\n",
        ],
    ),
    (
        "greet; exit 1",
        &[
            "before the first group of metrics: QEMU ended with exit status 1, expected: the kernel",
            "--- no output of COM1\n",
            "`make run` boots to a prompt, where",
        ],
    ),
    (
        // 2 (16 + 1) + 1.
        "greet; say 2; exit 35",
        &[
            "in the group self_ipi, before its first metric: the kernel ended with status 1, expected",
        ],
    ),
    (
        "greet; say 3; kill -9 $$",
        &[
            "in the group self_ipi; the last metric was self_ipi.entry tocsin: QEMU was killed by signal 9",
        ],
    ),
    (
        "greet; exit 33",
        &["the kernel's records cannot be used: no run record (the output"],
    ),
    (
        "greet; say 4; exit 33",
        &["the kernel's records cannot be used: no end record (the output"],
    ),
    (
        "greet; sed 4d xapic.records >&4; exit 33",
        &[
            "2 metrics were announced and 1 received (serial output was lost)\n--- last output of COM1",
        ],
    ),
    (
        "greet; sed s/end/metric/ xapic.records >&4; exit 33",
        &[
            "the kernel's records cannot be used: missing field `name`",
            "in \"{\\\"kind\\\":\\\"metric\\\",\\\"metrics\\\":2}\"",
        ],
    ),
    (
        "greet; say 3; printf '@json {\"kind\":\"fig\\377\\000\\n' >&4; say 99; exit 33",
        &[
            "the kernel's records cannot be used: EOF while parsing",
            "fig\u{fffd}",
        ],
    ),
];

#[test]
fn a_failed_machine_is_reported_and_the_others_count() {
    for (does, printed) in ENDS {
        let dir = SuiteDir::new();
        dir.machine("xapic", does);
        let ended = start(&mut dir.suite(&[])).end();
        ended.expect(1, &[&[XAPIC, "--- command line\n"], *printed].concat());
        let skipped = "skipped: round 1 of 1, 4 CPUs, xAPIC: self_ipi: ";
        assert!(ended.output.contains(skipped), "{}", ended.output);
        dir.results().expect("x2apic");
        dir.expect_clean();
    }
}

#[test]
fn garbage_between_records_does_not_matter() {
    let dir = SuiteDir::new();
    dir.machine(
        "xapic",
        "greet; printf '\\377\\000\\033[2J{\"kind\":}@jso' >&4; say 2; printf '@@json\\n\\n' >&4; \
         tail -n +3 xapic.records >&4; exit 33",
    );
    start(&mut dir.suite(&[])).end().expect(0, &[]);
    dir.results().expect("x2apic xapic");
}

#[test]
fn a_machine_that_hangs_is_ended_and_the_next_one_measured() {
    let dir = SuiteDir::new();
    dir.machine("x2apic", "greet; say 3; trap '' INT TERM HUP; hang");
    let ended = start(&mut dir.suite(&["--timeout", "4"])).end();
    ended.expect(
        1,
        &[
            X2APIC,
            "FAILED in the group self_ipi; the last metric was self_ipi.entry tocsin: no end of the \
             machine within 4 s: the guest hangs\n--- last output of COM1",
            "\"variant\":\"tocsin\"",
            "--- command line\n",
            "--- next\n`make bench BENCH=self_ipi` measures that group alone",
        ],
    );
    assert_eq!(dir.started(), "x2apic xapic");
    dir.results().expect("xapic");
    dir.expect_clean();
}

/// The time of a machine that hangs counts from the last that it said.
#[test]
fn a_silent_machine_is_ended_at_the_time_limit() {
    let dir = SuiteDir::new();
    // It ends well, but five seconds after its start, and nearly as long after its first metric.
    let late = "greet; say 3; (reply; reply) & sleep 5; tail -n +4 x2apic.records >&4; exit 33";
    dir.machine("x2apic", late);
    let ended = start(&mut dir.suite(&["--timeout", "3"])).end();
    ended.expect(1, &[X2APIC, "within 3 s: the guest hangs"]);
}

#[test]
fn nothing_is_written_where_nothing_was_measured() {
    let dir = SuiteDir::new();
    let before = dir.measured();
    dir.machine("x2apic", "greet; exit 1");
    dir.machine("xapic", "greet; exit 1");
    let ended = start(dir.suite(&[]).env("ROUNDS", "9")).end();
    let nothing = "tocsin-benches: no machine completed its measurements (nothing was written)";
    ended.expect(1, &["round 1 of 9, 4 CPUs: self_ipi: FAILED ", nothing]);
    assert_eq!(dir.started(), "x2apic xapic x2apic xapic");
    assert_eq!(dir.results(), before);

    let ended = start(dir.suite(&[]).env("QEMU", "/no/qemu")).end();
    ended.expect(
        1,
        &[
            "QEMU=/no/qemu: cannot be run: ",
            "leave QEMU unset for the one that `make setup` installs",
            nothing,
        ],
    );
    assert_eq!(dir.results(), before);
    dir.expect_clean();
}

#[test]
fn check_and_accept_fail_with_the_machine() {
    let dir = SuiteDir::new();
    let accepted = "{\"qemu\":\"\",\"compiler\":\"\",\"metrics\":[]}";
    std::fs::write(dir.path("baseline.json"), accepted).unwrap();
    dir.machine("xapic", "greet; say 2; exit 1");
    for command in ["check", "accept"] {
        let mut command = dir.command(&[command, "--only", "self_ipi", "--baseline"]);
        let ended = start(command.arg(dir.path("baseline.json"))).end();
        ended.expect(
            1,
            &["tocsin-benches: 4 CPUs, xAPIC: self_ipi: in the group self_ipi, "],
        );
    }
    let baseline = std::fs::read_to_string(dir.path("baseline.json"));
    assert_eq!(baseline.unwrap(), accepted);
    dir.expect_clean();
}

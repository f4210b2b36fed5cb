//! Tests of `listing`.

use super::*;
use crate::fixtures;

/// Like QEMU 10's log, shortened: two stamps with one instruction of another CPU between.
const LOG: &str = "\
----------------
IN: 
0xffffffff80200114:  0f 31                    rdtsc    

Trace 0: 0x7f15f4306e40 [00000000/ffffffff80200114/0000c0b0/ff022201] 
Trace 0: 0x7f15f4306e40 [00000000/ffffffff80200114/0000c0b0/ff022201] 
----------------
IN: 
0xffffffff80200116:  48 c1 e2 20              shlq     $0x20, %rdx

Trace 0: 0x7f15f4306f80 [00000000/ffffffff80200116/0000c0b0/ff022201] 
----------------
IN: 
0xffffffff80200125:  48 8d 24 25 00 d0 35 80  leaq     0xffffffff8035d000, %rsp

Trace 1: 0x7f15f4307700 [00000000/ffffffff80200125/0000c0b0/ff022201] 
Trace 0: 0x7f15f4306e40 [00000000/ffffffff80200114/0000c0b0/ff022201] 
Trace 0: 0x7f15f4306f80 [00000000/ffffffff80200116/0000c0b0/ff022201] 
";

#[test]
fn a_window_is_as_long_as_was_counted() {
    let trace = Trace::read(LOG.as_bytes()).unwrap();
    let window = trace.window(3, |_| true).unwrap();
    let shown: Vec<_> = window
        .iter()
        .map(|&(cpu, address)| (cpu, trace.text(address)))
        .collect();
    assert_eq!(
        shown,
        [
            (0, "rdtsc"),
            (0, "shlq $0x20, %rdx"),
            (1, "leaq 0xffffffff8035d000, %rsp")
        ]
    );
    // From the first reading to the third, over the second.
    assert_eq!(trace.window(4, |_| true).map(<[_]>::len), Some(4));
    assert_eq!(trace.window(2, |_| true), None);
    // The other pair of reads with one instruction between.
    let shorter = trace.window(1, |window| window[0].0 == 0);
    assert_eq!(shorter.map(<[_]>::len), Some(1));
    assert_eq!(trace.window(3, |window| window.len() > 3), None);
}

#[test]
fn stages_are_grouped_by_function_and_cpu() {
    let names = [
        (0x10, "first"),
        (0x20, "tocsin::memory::map"),
        (0x30, "wait"),
        (0x40, "end"),
    ];
    let functions = Functions(names.map(|(at, name)| (at, name.to_owned())).into());
    assert_eq!(functions.at(0x2f), "tocsin::memory::map");
    assert_eq!(functions.at(0xf), "?");
    assert_eq!(functions.logged(), "0x10..0x1f,0x30..0x3f");
    let line = |cpu, address| Line {
        cpu,
        address,
        text: String::new(),
        function: functions.at(address).to_owned(),
    };
    let counted = stages(&[line(0, 0x10), line(1, 0x30), line(0, 0x14), line(0, 0x31)]);
    let counted: Vec<_> = counted
        .iter()
        .map(|stage| (stage.cpu, stage.function.as_str(), stage.instructions))
        .collect();
    assert_eq!(counted, [(0, "first", 2), (1, "wait", 1), (0, "wait", 1)]);
}

#[test]
fn the_reason_is_in_the_numbers() {
    let stage = |cpu, function: &str, instructions| Stage {
        cpu,
        function: function.to_owned(),
        instructions,
    };
    let listing = Listing {
        key: fixtures::results().metrics[0].key.clone(),
        instructions: 60,
        overhead: 4,
        stages: vec![
            stage(0, "tocsin_monitor::bench::call::run", 10),
            stage(1, "entry_stubs", 3),
            stage(1, "entry_interrupt", 27),
            stage(2, "entry_stubs", 3),
            stage(1, "tocsin::ipi::call::handle", 17),
        ],
        lines: Vec::new(),
    };
    let why = listing.why();
    assert!(
        why.starts_with("33 in gates, in and out on 2 CPUs; 17 in the kernel's"),
        "{why}"
    );
    assert!(why.contains("; 10 in the benchmark"), "{why}");
    assert!(
        why.contains(
            "the 16 gate instructions of each of the 2 CPUs are counted one after another"
        ),
        "{why}"
    );
    let alone = Listing {
        stages: listing.stages[..3].to_vec(),
        ..listing
    };
    assert!(!alone.why().contains("one after another"));
}

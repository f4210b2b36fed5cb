//! Tests of `linux`.

use super::*;

const OUTPUT: &str = "\
tocsin-peer: version 6.1.0-56-amd64
tocsin-peer: log 500100 smp: Bringing up secondary CPUs ...
tocsin-peer: log 520300 smp: Brought up 1 node, 4 CPUs
tocsin-peer: int80 10000 230 239 240 260 300 9000
[    1.234567] tocsin-peer: irq_work 10000 320 331 340 400 500 10000
tocsin-peer: end
";

#[test]
fn medians_are_read() {
    let measured = read(OUTPUT).unwrap();
    let of = |test: &str| {
        measured
            .iter()
            .find(|measured| measured.test == test)
            .unwrap()
            .value
    };
    assert!((of("int80") - 239.0).abs() < 1e-9 && (of("irq_work") - 331.0).abs() < 1e-9);
    assert!((of("bring_up") - 20_200_000.0).abs() < 1e-9);
}

#[test]
fn distributions_are_read() {
    let measured =
        read("tocsin-peer: wake_idle 2000 3598 3654 4630 4688 6646 6838\ntocsin-peer: end\n");
    let expected = Measured {
        test: "wake_idle".to_owned(),
        value: 3654.0,
        spread: Some(Spread {
            samples: 2000,
            min: 3598.0,
            p99: 4688.0,
            max: 6838.0,
        }),
    };
    assert_eq!(measured, Ok(vec![expected]));
}

#[test]
fn every_test_is_compared_with_a_metric_of_this_kernel() {
    for meaning in meanings::MEANINGS {
        let known = tocsin_tools::metrics::GROUPS
            .iter()
            .any(|(_, metrics)| metrics.contains(&meaning.beside));
        assert!(known, "{}: {}", meaning.test, meaning.beside);
    }
}

#[test]
fn an_incomplete_run_is_rejected() {
    assert!(read(OUTPUT.strip_suffix("tocsin-peer: end\n").unwrap()).is_err());
    let trouble = read("tocsin-peer: trouble the module: Exec format error\n");
    assert_eq!(
        trouble,
        Err("trouble the module: Exec format error".to_owned())
    );
    for bad in [
        "1 2 x 4 5 6 7",
        "x 2 3 4 5 6 7",
        "1 2 3 4 5 6 x",
        "1 x 3 4 5 6 7",
    ] {
        let output = format!("tocsin-peer: int80 {bad}\ntocsin-peer: end\n");
        assert!(read(&output).is_err(), "{bad}");
    }
}

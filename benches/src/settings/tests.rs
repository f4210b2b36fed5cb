//! Tests of `settings`.

use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Only {
    #[command(flatten)]
    args: Args,
}

fn check(options: &[&str]) -> Result<Settings, BenchError> {
    let line = std::iter::once("bench").chain(options.iter().copied());
    Only::parse_from(line).args.check()
}

#[test]
fn a_bad_value_names_its_variable() {
    for (option, value, name) in [
        ("--mode", "seconds", "MODE=seconds"),
        ("--rounds", "0", "ROUNDS=0"),
        ("--rounds", "many", "ROUNDS=many"),
        ("--smp", "x", "SMP=x"),
        ("--bench", "a\"; poweroff", "BENCH=a\"; poweroff"),
    ] {
        let why = check(&[option, value]).unwrap_err().to_string();
        assert!(why.starts_with(name), "{why}");
    }
}

#[test]
fn names_are_taken_apart() {
    let settings = check(&["--bench", "ipi, call.wait", "--mode", "instructions"]).unwrap();
    assert_eq!(settings.only, ["ipi", "call.wait"]);
    assert_eq!(settings.clocks, [Clock::Instructions]);
}

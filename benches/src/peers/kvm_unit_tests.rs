//! kvm-unit-tests' `vmexit`, which measures means over some milliseconds to seconds.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use tocsin_tools::Machine;

use super::{Meaning, Measured, Runs};
use crate::error::BenchError;
use crate::record::Clock;

/// The image, below `KUT_DIR`.
const IMAGE: &str = "x86/vmexit.flat";

/// Its tests of interrupts.
const TESTS: &[Meaning] = &[
    Meaning {
        test: "x2apic_self_ipi_sti_nop",
        beside: "self_ipi.round_trip",
        param: None,
        statistic: "mean",
        unit: None,
        steady: true,
        what: "an interrupt to itself with IF clear, then STI and NOP: round trip to a bare C handler",
    },
    Meaning {
        test: "ipi",
        beside: "ipi.round_trip",
        param: Some(("target", "polling")),
        statistic: "mean",
        unit: None,
        steady: true,
        what: "an interrupt to another CPU, which polls with PAUSE, and its answer through memory",
    },
    Meaning {
        test: "ipi_halt",
        beside: "ipi.round_trip",
        param: Some(("target", "halted")),
        statistic: "mean",
        unit: None,
        steady: true,
        what: "an interrupt to another CPU, which is halted, and its answer through memory",
    },
];

struct KvmUnitTests {
    image: PathBuf,
}

/// The build in `KUT_DIR`, or the reason why there is none.
///
/// # Errors
///
/// The variable is set and does not name a build.
pub fn find() -> Result<Result<Box<dyn Runs>, String>, BenchError> {
    let Some(dir) = super::variable("KUT_DIR") else {
        let why = "not measured: KUT_DIR=... names a built kvm-unit-tests".to_owned();
        return Ok(Err(why));
    };
    let image = dir.join(IMAGE);
    if !image.is_file() {
        let why = format!(
            "KUT_DIR={}: no {IMAGE} there; build kvm-unit-tests first",
            dir.display()
        );
        return Err(BenchError::Peer {
            peer: "kvm-unit-tests",
            why,
        });
    }
    Ok(Ok(Box::new(KvmUnitTests { image })))
}

impl Runs for KvmUnitTests {
    fn name(&self) -> &'static str {
        "kvm-unit-tests"
    }

    fn machine(&self, machine: Machine, clock: Clock) -> Machine {
        let mut names: Vec<_> = TESTS.iter().map(|meaning| meaning.test).collect();
        if clock == Clock::Instructions {
            // A halted CPU lets virtual time advance without instructions; and these tests wait for
            // another CPU without PAUSE, so that it runs only when their time slice has ended.
            names.retain(|name| !name.starts_with("ipi"));
        }
        machine
            .image(&self.image)
            .module(None)
            .append(names.join(" "))
    }

    fn starting(&self, _: Machine) -> Option<Machine> {
        None
    }

    fn read(&self, text: &str) -> Result<Vec<Measured>, String> {
        read(text)
    }

    fn meanings(&self) -> Vec<Meaning> {
        TESTS.to_vec()
    }

    fn version(&self, _: &str) -> String {
        let dir = self.image.parent().and_then(std::path::Path::parent);
        let described = dir.map(|dir| {
            let mut git = std::process::Command::new("git");
            git.arg("-C")
                .arg(dir)
                .args(["describe", "--always", "--tags"])
                .output()
        });
        match described {
            Some(Ok(output)) if output.status.success() => {
                String::from_utf8_lossy(&output.stdout).trim().to_owned()
            }
            _ => "unknown version".to_owned(),
        }
    }
}

/// Parses lines such as `ipi 6543`.
fn read(text: &str) -> Result<Vec<Measured>, String> {
    let lines = text.lines().filter_map(|line| {
        let (name, value) = line.trim().split_once(' ')?;
        let known = TESTS.iter().any(|meaning| meaning.test == name);
        let value = value.trim().parse().ok()?;
        known.then(|| Measured {
            test: name.to_owned(),
            value,
            spread: None,
        })
    });
    let measured: Vec<_> = lines.collect();
    if measured.is_empty() {
        return Err("it printed no metric".to_owned());
    }
    Ok(measured)
}

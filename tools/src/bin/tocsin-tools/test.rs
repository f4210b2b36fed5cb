//! `tocsin-tools test`: the host's tests and the matrix of machines, one after the other, with a
//! total count.
//!
//! Cargo prints a result line for every test program; this command adds them up. The benchmarks'
//! regression check counts as a test.

#[cfg(test)]
mod tests;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use tocsin_tools::workspace;

/// What to run.
#[derive(clap::Args)]
pub struct Args {
    /// Run only tests whose name contains this
    filter: Option<String>,
}

/// The packages with tests, fastest first.
const PACKAGES: [&str; 4] = [
    "tocsin-logic",
    "tocsin-tools",
    "tocsin-benches",
    "tocsin-tests",
];

/// The name that selects the regression check.
const BENCH_CHECK: &str = "bench-check";

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Runs the tests of every package, even after a failure.
pub fn run(args: &Args) -> ExitCode {
    let started = Instant::now();
    let mut total = Counts::default();
    for package in PACKAGES {
        match test(package, args.filter.as_deref()) {
            Ok((mut counts, succeeded)) => {
                if !succeeded && counts.failed == 0 {
                    tocsin_tools::errln!(
                        "tocsin-tools test: {package} did not build, or died outside of a test"
                    );
                    counts.failed = 1;
                }
                total.add(counts);
            }
            Err(e) => {
                tocsin_tools::errln!("tocsin-tools test: cannot run cargo: {e}");
                return ExitCode::FAILURE;
            }
        }
    }
    if args
        .filter
        .as_ref()
        .is_none_or(|filter| BENCH_CHECK.contains(filter.as_str()))
    {
        match bench_check() {
            Ok(true) => total.passed += 1,
            Ok(false) => total.failed += 1,
            Err(e) => {
                tocsin_tools::errln!("tocsin-tools test: cannot run cargo: {e}");
                return ExitCode::FAILURE;
            }
        }
    }
    let Counts {
        passed,
        failed,
        skipped,
    } = total;
    tocsin_tools::outln!("\n{:.0} s", started.elapsed().as_secs_f64());
    let nothing = passed + failed == 0;
    if nothing && let Some(filter) = &args.filter {
        tocsin_tools::errln!("tocsin-tools test: no test has {filter:?} in its name");
    }
    tocsin_tools::outln!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed > 0 || nothing {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Counts instructions; returns whether there is no regression.
fn bench_check() -> std::io::Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    tocsin_tools::outln!("{BENCH_CHECK}");
    let mut command = Command::new(cargo);
    command.current_dir(workspace());
    command.args([
        "run",
        "--quiet",
        "--package",
        "tocsin-benches",
        "--",
        "check",
    ]);
    Ok(command.status()?.success())
}

/// Runs one package's tests, showing their output as it arrives.
fn test(package: &str, filter: Option<&str>) -> std::io::Result<(Counts, bool)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace()).stdout(Stdio::piped());
    command.args([
        "test",
        "--quiet",
        "--no-fail-fast",
        "--package",
        package,
        "--",
    ]);
    if package == "tocsin-tests" {
        // One line per machine, because their tests take seconds.
        command.arg("--format=pretty");
    }
    command.args(filter);
    tocsin_tools::outln!("{package}");
    let mut child = command.spawn()?;
    let mut counts = Counts::default();
    let output = child.stdout.take().expect("the output is piped");
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if let Some(counted) = counts_in(&line) {
            counts.add(counted);
        }
        tocsin_tools::outln!("{line}");
    }
    Ok((counts, child.wait()?.success()))
}

/// Parses the counts in a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
fn counts_in(line: &str) -> Option<Counts> {
    let (_, results) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |name| {
        let part = results
            .split(';')
            .find_map(|part| part.trim().strip_suffix(name))?;
        part.trim().parse().ok()
    };
    Some(Counts {
        passed: count("passed")?,
        failed: count("failed")?,
        skipped: count("ignored")?,
    })
}

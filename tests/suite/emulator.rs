//! An emulator that is a shell script: it speaks as much of QEMU's control protocol as a session
//! needs, and then does what a test tells it for each machine.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use tempfile::TempDir;
use tocsin_tests::build;

/// Far more than any of these runs takes, also on a busy host.
const TIMEOUT: Duration = Duration::from_secs(120);

static PROGRAM: LazyLock<Result<PathBuf, String>> =
    LazyLock::new(|| build::program("tocsin-benches"));

/// QMP is file descriptor 3, COM1 is 4. The machines differ in what they boot.
const SCRIPT: &str = r#"#!/bin/sh
if [ "$1" = --version ]; then echo 'an emulator that is a script'; exit; fi
cd "$(dirname "$0")"
case "$*" in
*vmexit.flat*) machine=peer ;;
*,-x2apic*) machine=xapic ;;
*) machine=x2apic ;;
esac
echo $machine >>started

# Answers the next command.
reply() {
    read -r line <&3 || return
    line=${line##*'"id":'}
    printf '{"return": "", "id": %s}\n' "${line%%[,\}]*}" >&3
}
# Sends the greeting, as QEMU does, and receives the command to run.
greet() { printf '{"QMP": {}}\n' >&3; reply; reply; }
# Says this many lines of what a good machine says.
say() { head -n "$1" "$machine.records" >&4; }
# Does not end by itself, whoever else is gone.
hang() { while reply; do :; done; : <never; }
# Measures, and ends with the kernel's status 0.
well() { greet; say 99; exit 33; }

. "./$machine.sh"
"#;

/// The records of a machine: a line each, the metrics third and fourth, and the end.
fn records(apic: &str) -> String {
    let metric = |variant: &str| {
        format!(
            "@json {{\"kind\":\"metric\",\"name\":\"self_ipi.entry\",\"variant\":\"{variant}\",\
             \"unit\":\"cycles\",\"overhead\":24,\"samples\":10,\"min\":30,\"p50\":31,\"p90\":31,\
             \"p99\":40,\"p99_9\":40,\"max\":40,\"histogram\":[[30,31,9],[40,40,1]]}}\n"
        )
    };
    format!(
        "@json {{\"kind\":\"run\",\"version\":\"0\",\"apic\":\"{apic}\",\"cpus\":4,\
         \"tsc_hz\":1000000000,\"clock\":\"cycles\",\"resolution\":1}}\n\
         @json {{\"kind\":\"progress\",\"name\":\"self_ipi\",\"step\":1,\"of\":1}}\n\
         {}{}@json {{\"kind\":\"end\",\"metrics\":2}}\n",
        metric("tocsin"),
        metric("floor")
    )
}

/// A place for one test: the emulator, the folder for results, and one for temporary files.
pub struct SuiteDir(TempDir);

impl SuiteDir {
    /// With machines that measure well: in x2APIC mode, which is booted first, in xAPIC mode, and
    /// `peer`, another kernel.
    pub fn new() -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        fs::write(dir.path("qemu"), SCRIPT).unwrap();
        let runs = fs::Permissions::from_mode(0o755);
        fs::set_permissions(dir.path("qemu"), runs).unwrap();
        for machine in ["x2apic", "xapic", "peer"] {
            dir.machine(machine, "well");
            fs::write(dir.path(&format!("{machine}.records")), records(machine)).unwrap();
        }
        let made = Command::new("mkfifo").arg(dir.path("never")).status();
        assert!(made.unwrap().success());
        fs::create_dir(dir.path("temporary")).unwrap();
        dir
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What this machine does, for the shell.
    pub fn machine(&self, name: &str, does: &str) {
        fs::write(self.path(&format!("{name}.sh")), does).unwrap();
    }

    /// The machines that were started, in order.
    pub fn started(&self) -> String {
        let started = fs::read_to_string(self.path("started")).unwrap_or_default();
        started.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The command; the suite measures one group of metrics in one round in cycles, on two
    /// machines.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM.as_ref().unwrap());
        command.args(arguments).env_clear();
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TMPDIR", self.path("temporary"))
            .env("QEMU", self.path("qemu"))
            .envs([("ACCEL", "tcg"), ("SMP", "4"), ("BENCH", "self_ipi")])
            .envs([("MODE", "cycles"), ("ROUNDS", "1")]);
        command
    }

    /// The suite, with results into `results`.
    pub fn suite(&self, more: &[&str]) -> Command {
        let mut command = self.command(&["suite", "--into"]);
        command.arg(self.path("results")).args(more);
        command
    }

    /// Runs the suite where all is well, and gives the results.
    pub fn measured(&self) -> Results {
        start(&mut self.suite(&[])).end().expect(0, &[]);
        self.results()
    }

    /// The folder with the results.
    pub fn results(&self) -> Results {
        let read = |name| fs::read_to_string(self.path("results").join(name)).unwrap();
        Results(["results.json", "results.csv", "report.html"].map(read))
    }

    /// Fails if anything but the results is left.
    pub fn expect_clean(&self) {
        let left = |name| -> Vec<_> {
            let entries = fs::read_dir(self.path(name)).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name()).collect()
        };
        assert!(left("temporary").is_empty(), "{:?}", left("temporary"));
        assert!(
            matches!(left("results").len(), 0 | 3),
            "{:?}",
            left("results")
        );
    }
}

impl Drop for SuiteDir {
    fn drop(&mut self) {
        // Lets go of a machine that hangs, if a test that failed left one.
        let _ = File::options()
            .read(true)
            .write(true)
            .open(self.path("never"));
    }
}

/// What the three files hold: JSON, values with commas, the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Results([String; 3]);

impl Results {
    /// The modes of the machines that have metrics, in order, from the values with commas.
    pub fn machines(&self) -> String {
        let apic = |line: &str| line.split(',').nth(5).unwrap_or_default().to_owned();
        let mut machines: Vec<_> = self.0[1].lines().skip(1).map(apic).collect();
        machines.dedup();
        machines.join(" ")
    }

    /// Fails unless the files are whole and have metrics of these machines alone.
    pub fn expect(&self, machines: &str) {
        assert_eq!(self.machines(), machines);
        let json: serde_json::Value = serde_json::from_str(&self.0[0]).unwrap();
        let metrics = json["metrics"].as_array().unwrap().len();
        assert_eq!(metrics, 2 * machines.split(' ').count());
        assert!(self.0[2].trim_end().ends_with("</html>"));
    }
}

/// What a run of the command left.
pub struct Ended {
    pub status: Option<i32>,
    pub output: String,
    pub errors: String,
}

impl Ended {
    /// Fails unless the command ended with this status and said all of this on standard error.
    pub fn expect(&self, status: i32, printed: &[&str]) {
        let errors = &self.errors;
        assert_eq!(self.status, Some(status), "{errors}");
        for part in printed {
            assert!(errors.contains(part), "{part:?} is missing in\n{errors}");
        }
    }
}

/// A command that runs.
pub struct Running {
    pub child: Child,
    output: Receiver<String>,
    errors: Receiver<String>,
    printed: String,
}

/// Starts it in a group of its own, as a shell does with every command.
pub fn start(command: &mut Command) -> Running {
    command.process_group(0).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let output = pieces(child.stdout.take().unwrap(), b'\n');
    let errors = pieces(child.stderr.take().unwrap(), b'\n');
    Running {
        child,
        output,
        errors,
        printed: String::new(),
    }
}

/// Hands on what comes, in pieces that end with this, on a thread of its own.
pub fn pieces(from: impl Read + Send + 'static, end: u8) -> Receiver<String> {
    let (to, pieces) = mpsc::channel();
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut piece = Vec::new();
        // The last reading of a terminal fails with EIO, which is how it ends.
        while from.read_until(end, &mut piece).is_ok_and(|size| size > 0) {
            let text = String::from_utf8_lossy(&piece).into_owned();
            piece.clear();
            if to.send(text).is_err() {
                return;
            }
        }
    });
    pieces
}

/// The next piece; `None` at the end, which does not come before everybody has closed it, and the
/// emulators inherit it.
pub fn next(pieces: &Receiver<String>) -> Option<String> {
    match pieces.recv_timeout(TIMEOUT) {
        Ok(piece) => Some(piece),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("it does not end, or an emulator was left behind"),
    }
}

impl Running {
    /// Waits until it says this on standard error.
    pub fn until(&mut self, text: &str) {
        loop {
            let line = next(&self.errors);
            let printed = &mut self.printed;
            let line = line.unwrap_or_else(|| panic!("it ended before {text:?}:\n{printed}"));
            printed.push_str(&line);
            if line.contains(text) {
                return;
            }
        }
    }

    /// Waits for its end, and for that of all emulators.
    pub fn end(mut self) -> Ended {
        let mut output = String::new();
        while let Some(line) = next(&self.errors) {
            self.printed.push_str(&line);
        }
        while let Some(line) = next(&self.output) {
            output.push_str(&line);
        }
        Ended {
            status: self.child.wait().unwrap().code(),
            output,
            errors: self.printed,
        }
    }
}

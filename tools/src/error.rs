//! Errors of a run, with the data for their analysis: the last output, QEMU's messages and the
//! command line to repeat the run.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::firmware::FirmwareError;
use crate::limine::NoLimine;
use crate::outcome::Outcome;

/// A failed run.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no kernel to boot.
    #[error("{} no such image (`make build` makes it)", .0.display())]
    NoImage(PathBuf),
    /// The boot medium could not be created.
    #[error("no ISO with Limine: {0}")]
    Iso(#[from] NoLimine),
    /// UEFI was requested, but there is no firmware.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// The kernel command line does not fit into the loader's buffer.
    #[error(
        "the kernel command line is {length} bytes long, and {limit} are the most that a direct \
         boot passes on (QEMU's PVH loader overwrites the boot information behind them); shorten \
         it or boot by Limine"
    )]
    CommandLine {
        /// Its length in bytes.
        length: usize,
        /// Longest command line that fits, in bytes.
        limit: usize,
    },
    /// The kernel and its first module do not fit into the memory.
    #[error(
        "MEM={memory}: too little memory: QEMU needs {least}M to load the kernel and its symbols \
         (nothing was started); give MEM={least}M or more, as MEM=512M"
    )]
    Memory {
        /// The value of `MEM`.
        memory: String,
        /// The minimum, in MiB.
        least: u64,
    },
    /// A temporary file could not be created.
    #[error("{what}: {source}")]
    Files {
        /// The operation.
        what: &'static str,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The temporary directory cannot be created.
    #[error(
        "cannot make a temporary directory in {}: {source}; set TMPDIR to a directory that can be \
         written to",
        directory.display()
    )]
    Temporary {
        /// Its parent directory.
        directory: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// QEMU could not be started.
    #[error(
        "QEMU={}: cannot be run: {source}; name a QEMU, or leave QEMU unset for the one that `make \
         setup` installs",
        qemu.display()
    )]
    Spawn {
        /// The program.
        qemu: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// QEMU exited before the machine ran.
    #[error("QEMU did not start the machine: {outcome}\n{scene}")]
    NotStarted {
        /// Its outcome.
        outcome: Outcome,
        /// Its messages and its command line.
        scene: Box<Scene>,
    },
    /// QEMU itself did not respond in time.
    #[error(
        "QEMU: no {what} within {} s (it hangs, or the host is too slow for this machine; try fewer \
         CPUs or less memory)\n{scene}",
        limit.as_secs_f64()
    )]
    Silent {
        /// The expected event.
        what: String,
        /// The time limit.
        limit: Duration,
        /// Details, if any.
        scene: Box<Scene>,
    },
    /// The expected event did not occur in time: the guest hangs.
    #[error("no {what} within {} s: the guest hangs\n{scene}", limit.as_secs_f64())]
    TimedOut {
        /// The expected event.
        what: String,
        /// The time limit.
        limit: Duration,
        /// The last output.
        scene: Box<Scene>,
    },
    /// The guest triple-faulted.
    #[error("triple fault while waiting for {what}\n{scene}")]
    TripleFault {
        /// The expected event.
        what: String,
        /// The last output.
        scene: Box<Scene>,
    },
    /// The machine ended before the expected event.
    #[error("{outcome} while waiting for {what}\n{scene}")]
    Ended {
        /// Its outcome.
        outcome: Outcome,
        /// The expected event.
        what: String,
        /// The last output.
        scene: Box<Scene>,
    },
    /// The machine ended with an unexpected outcome.
    #[error("{got}, expected: {wanted}\n{scene}")]
    WrongEnd {
        /// Its outcome.
        got: Outcome,
        /// The expected outcome.
        wanted: Outcome,
        /// The last output.
        scene: Box<Scene>,
    },
    /// QEMU rejected a command of its control protocol.
    #[error("QEMU refused {command}: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's reason.
        reason: String,
    },
}

/// The state of a machine at a failure.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// The last lines from COM1, with their times in seconds since QEMU's start.
    pub serial: String,
    /// QEMU's output on standard error.
    pub stderr: String,
    /// The state of each CPU, if QEMU still responded.
    pub cpus: String,
    /// The last lines of QEMU's log.
    pub log: String,
    /// QEMU's command line, quoted for a shell.
    pub command: String,
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.serial.is_empty() {
            writeln!(f, "--- no output of COM1")?;
        } else {
            writeln!(
                f,
                "--- last output of COM1 (seconds | line)\n{}",
                self.serial.trim_end()
            )?;
        }
        for (title, body) in [
            ("QEMU's messages", &self.stderr),
            ("CPUs", &self.cpus),
            ("QEMU's log", &self.log),
        ] {
            if !body.trim().is_empty() {
                writeln!(f, "--- {title}\n{}", body.trim_end())?;
            }
        }
        write!(f, "--- command line\n{}", self.command)
    }
}

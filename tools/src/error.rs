//! What can go wrong with a run, each failure with all that is needed to look
//! into it: the last output, QEMU's own words and the command line to repeat it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::firmware::FirmwareError;
use crate::limine::NoLimine;
use crate::outcome::Outcome;

/// A run that did not go as it should.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no kernel to boot.
    #[error("{} is not there; `make build` makes it", .0.display())]
    NoImage(PathBuf),
    /// The boot medium could not be made.
    #[error("no ISO with Limine: {0}")]
    Iso(#[from] NoLimine),
    /// UEFI was asked for and there is no firmware.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// The kernel command line does not fit where the loader puts it.
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
        /// The least, in MiB.
        least: u64,
    },
    /// A temporary file could not be made.
    #[error("{what}: {source}")]
    Files {
        /// What was being done.
        what: &'static str,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The temporary directory cannot be made.
    #[error(
        "cannot make a temporary directory in {}: {source}; set TMPDIR to a directory that can be \
         written to",
        place.display()
    )]
    Temporary {
        /// Its parent directory.
        place: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// QEMU could not be run at all.
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
    /// QEMU ended before the machine began to run.
    #[error("QEMU did not start the machine: {outcome}\n{scene}")]
    NotStarted {
        /// How it ended.
        outcome: Outcome,
        /// Its words and its command line.
        scene: Box<Scene>,
    },
    /// QEMU itself did not answer in time.
    #[error(
        "QEMU: no {what} within {} s (it hangs, or the host is too slow for this machine; try fewer \
         CPUs or less memory)\n{scene}",
        limit.as_secs_f64()
    )]
    Silent {
        /// The event that was waited for.
        what: String,
        /// The time limit.
        limit: Duration,
        /// Details, if there are any.
        scene: Box<Scene>,
    },
    /// The event that was waited for did not come in time: the guest hangs.
    #[error("no {what} within {} s: the guest hangs\n{scene}", limit.as_secs_f64())]
    TimedOut {
        /// The event that was waited for.
        what: String,
        /// The time limit.
        limit: Duration,
        /// The last output.
        scene: Box<Scene>,
    },
    /// The guest triple-faulted.
    #[error("triple fault while waiting for {what}\n{scene}")]
    TripleFault {
        /// The event that was waited for.
        what: String,
        /// The last output.
        scene: Box<Scene>,
    },
    /// The machine ended before what was waited for came.
    #[error("{outcome} while waiting for {what}\n{scene}")]
    Ended {
        /// How it ended.
        outcome: Outcome,
        /// The event that was waited for.
        what: String,
        /// The last output.
        scene: Box<Scene>,
    },
    /// The machine ended otherwise than it should have.
    #[error("{got}, expected: {wanted}\n{scene}")]
    WrongEnd {
        /// How it ended.
        got: Outcome,
        /// How it should have ended.
        wanted: Outcome,
        /// The last output.
        scene: Box<Scene>,
    },
    /// QEMU refused a command of its control protocol.
    #[error("QEMU refused {command}: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's reason.
        reason: String,
    },
}

/// The state of a machine when something went wrong.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// The last lines from COM1, with their times in seconds since QEMU's start.
    pub serial: String,
    /// What QEMU wrote on its standard error.
    pub stderr: String,
    /// Where each CPU was, if QEMU could still be asked.
    pub cpus: String,
    /// The tail of QEMU's log.
    pub log: String,
    /// QEMU's command line, quoted for a shell.
    pub command: String,
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.serial.is_empty() {
            writeln!(f, "--- nothing came from COM1")?;
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

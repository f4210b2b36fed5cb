//! A process that removes what this program leaves behind when it is killed.
//!
//! No code of this program runs after SIGKILL, and a parent-death signal (`PR_SET_PDEATHSIG`) is
//! tied to a thread, removes no files, and is Linux's. A shell that reads a pipe sees the end of
//! this program however it comes about: the pipe closes.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Reads the process to end, or an empty line for none, and at last `end`. The pipe's end without
/// that word is the end of this program. QEMU gets the time to restore the terminal.
const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
process=
while read -r line; do
    if [ "$line" = end ]; then exit; fi
    process=$line
done
if [ -n "$process" ]; then
    kill -s TERM "$process"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        kill -s 0 "$process" || break
        sleep 0.1
    done
    kill -s KILL "$process"
fi
rm -rf "$1"
"#;

/// Waits for this program's end, until it is dropped.
pub(super) struct Guard {
    shell: Child,
    pipe: ChildStdin,
}

impl Guard {
    /// Has `files` removed when this program ends without dropping the guard.
    pub(super) fn of(files: &Path) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(files);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // A signal to this program's group must not reach it.
        command.process_group(0);
        let mut shell = command.spawn()?;
        let pipe = shell.stdin.take().expect("the input is piped");
        Ok(Self { shell, pipe })
    }

    /// Has this process ended too.
    pub(super) fn add(&mut self, process: u32) {
        self.tell(&process.to_string());
    }

    /// The process has ended; its number may become another one's.
    pub(super) fn forget_process(&mut self) {
        self.tell("");
    }

    fn tell(&mut self, line: &str) {
        // A guard that was killed is missed when this program is killed too, and not before.
        let _ = self.pipe.write_all(format!("{line}\n").as_bytes());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.tell("end");
        let _ = self.shell.wait();
    }
}

//! A process that cleans up after this program when it is killed.
//!
//! No code of this program runs after SIGKILL, and a parent-death signal (`PR_SET_PDEATHSIG`)
//! belongs to a thread, removes no files, and exists only on Linux. A shell that reads a pipe
//! detects any end of this program, because the pipe closes.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Reads the ID of the process to kill, or an empty line for none, and finally `end`. If the pipe
/// closes without that word, this program was killed. QEMU gets time to restore the terminal.
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

/// The shell that waits for this program's end; dropping this ends the shell.
pub(super) struct Guard {
    shell: Child,
    pipe: ChildStdin,
}

impl Guard {
    /// Starts the guard: `files` are removed if this program ends without dropping it.
    pub(super) fn of(files: &Path) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(files);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // A signal to this program's process group must not reach it.
        command.process_group(0);
        let mut shell = command.spawn()?;
        let pipe = shell.stdin.take().expect("the input is piped");
        Ok(Self { shell, pipe })
    }

    /// Adds a process to kill.
    pub(super) fn add(&mut self, process: u32) {
        self.send(&process.to_string());
    }

    /// Removes the process, which has exited; its ID may be reused.
    pub(super) fn forget_process(&mut self) {
        self.send("");
    }

    fn send(&mut self, line: &str) {
        // A killed guard matters only if this program is killed too.
        let _ = self.pipe.write_all(format!("{line}\n").as_bytes());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.send("end");
        let _ = self.shell.wait();
    }
}

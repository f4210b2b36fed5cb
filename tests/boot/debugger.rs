//! `make debug`, through the gdb remote serial protocol.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{ChildStdout, Stdio};

use libtest_mimic::Trial;

use crate::command::command;
use crate::gdb::Gdb;
use crate::{Result, ensure, ensure_eq, trial};

/// The exit status requested from the kernel.
const STATUS: i32 = 9;

/// The CPU's first instruction after reset, in its first segment (SDM vol. 3A, 11.1.4).
const RESET: u64 = 0xfff0;

pub fn trials() -> Vec<Trial> {
    vec![trial(
        "debugger::starts_the_machine_and_stops_it_in_the_kernel",
        stops,
    )]
}

fn stops() -> Result {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("gdb");
    let mut command = command(&format!("run=\"poweroff {STATUS}\""))?;
    command.arg("--debug").env("GDB", &socket);
    command.env_remove("PROFILE");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let output = child.stdout.take().ok_or("no standard output")?;
    let session = debug(&socket, BufReader::new(output));
    if session.is_err() {
        // The command may wait for gdb indefinitely.
        child.kill()?;
    }
    let status = child.wait()?;
    session?;
    ensure_eq!(status.code(), Some(STATUS), "exit status");
    Ok(())
}

fn debug(socket: &Path, mut output: BufReader<ChildStdout>) -> Result {
    let mut printed = [String::new(), String::new()];
    for line in &mut printed {
        output.read_line(line)?;
    }
    ensure_eq!(
        printed[1],
        format!(
            "tocsin: waiting for: gdb -ex 'target remote {}' -x tools/tocsin.gdb \
             target/kernel/x86_64-unknown-none/release/tocsin\n",
            socket.display()
        ),
        "what to type"
    );
    let mut gdb = Gdb::connect(socket)?;
    gdb.expect("?", "T05")?;
    ensure_eq!(gdb.rip()?, RESET, "where the machine waits");
    gdb.run_to_kernel()?;
    gdb.expect("D", "OK")?;
    let mut rest = String::new();
    output.read_to_string(&mut rest)?;
    ensure!(
        rest.contains("tocsin: ready: "),
        "it did not continue: {rest}"
    );
    Ok(())
}

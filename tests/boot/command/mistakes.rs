//! Environment variables with wrong values: each message contains the variable, its value, and the
//! remedy.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use tocsin_logic::command_line::MAX_LENGTH;
use tocsin_tools::{Outcome, Session, SessionError, workspace};

use super::{FAILED, command, text};
use crate::{Result, TIMEOUT, ensure, ensure_eq, plain, trial};

/// Variables with wrong values, and the expected message.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "SMP",
        "0",
        "tocsin: SMP=0: a machine needs at least one CPU; give a number",
    ),
    (
        "SMP",
        "four",
        "tocsin: SMP=four: a count must be a number; give a number",
    ),
    (
        "MEM",
        "1X",
        "tocsin: MEM=1X: \"X\" is no unit of memory; give a size",
    ),
    (
        "BOOT",
        "foo",
        "tocsin: BOOT=foo: that is no way to boot; give auto, limine, ",
    ),
    (
        "ACCEL",
        "fast",
        "tocsin: ACCEL=fast: that is no accelerator",
    ),
    (
        "QEMU_ARGS",
        "-d 'int",
        "tocsin: QEMU_ARGS=-d 'int: missing closing quote",
    ),
    (
        "QEMU",
        "/no/qemu",
        "tocsin: QEMU=/no/qemu: cannot be run: No such file or directory",
    ),
    (
        "QEMU",
        "true",
        "QEMU=true: QEMU does not start: it ended without a message; name a QEMU",
    ),
    (
        "MACHINE",
        "toaster",
        "tocsin: MACHINE=toaster: QEMU does not start: qemu-system-x86_64: unsupported machine type",
    ),
    (
        "CPU",
        "max,+nosuch",
        "tocsin: CPU=max,+nosuch: QEMU does not start: ",
    ),
    (
        "SMP",
        "4,cores=3",
        "tocsin: SMP=4,cores=3: QEMU does not start: ",
    ),
    ("MEM", "1", "tocsin: MEM=1M: too little memory: QEMU needs "),
    (
        "MEM",
        "9999999G",
        "tocsin: MEM=9999999G: QEMU does not start: ",
    ),
    (
        "QEMU_ARGS",
        "-device nosuch",
        "tocsin: QEMU_ARGS=-device nosuch: QEMU does not start: ",
    ),
    (
        "TMPDIR",
        "/proc/nowhere",
        "tocsin: cannot make a temporary directory in /proc/nowhere: ",
    ),
];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("command::wrong_variables_are_named", mistakes),
        trial("command::a_long_command_line_is_refused", too_long),
        trial("command::set_up_installs_nothing_for_a_wrong_name", set_up),
    ]
}

fn mistakes() -> Result {
    for (name, value, message) in MISTAKES {
        let mut command = command("")?;
        let output = command.env(name, value).stdin(Stdio::null()).output()?;
        let printed = text(&output.stderr);
        ensure!(
            printed.contains(message),
            "{name}={value}: expected {message:?}, found\n{printed}"
        );
        ensure_eq!(
            output.status.code(),
            Some(FAILED),
            "exit status of {name}={value}"
        );
    }
    Ok(())
}

/// A command line that the kernel would truncate or that does not fit into QEMU's loader is
/// rejected; one of the maximum length reaches the kernel.
fn too_long() -> Result {
    let line = |length: usize| format!("{:x<length$}", "run=\"poweroff 7\" ");
    for (length, status) in [(MAX_LENGTH, 7), (MAX_LENGTH + 1, FAILED)] {
        let output = command(&line(length))?.stdin(Stdio::null()).output()?;
        let printed = text(&output.stderr);
        ensure_eq!(
            output.status.code(),
            Some(status),
            "{length} bytes: {printed}"
        );
        let refused = format!("...: that is {length} bytes long; the kernel keeps {MAX_LENGTH}; ");
        ensure_eq!(printed.contains(&refused), status == FAILED, "{printed}");
    }
    let longest = 4095;
    let mut session = Session::start(&plain().append(line(longest)))?;
    session.expect_exit(Outcome::Kernel(7), TIMEOUT)?;
    match Session::start(&plain().append(line(longest + 1))).err() {
        Some(SessionError::CommandLine {
            length: 4096,
            limit: 4095,
        }) => Ok(()),
        other => Err(format!("4096 bytes of command line: {other:?}").into()),
    }
}

/// A variable that names a missing or wrong file is an error, and does not cause packages to be
/// installed.
fn set_up() -> Result {
    let dir = tempfile::tempdir()?;
    let called = dir.path().join("called");
    for installer in ["apt-get", "sudo", "rustup"] {
        let file = dir.path().join(installer);
        fs::write(
            &file,
            format!("#!/bin/sh\necho $0 >>'{}'\nexit 1\n", called.display()),
        )?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut first = dir.path().as_os_str().to_owned();
    first.push(":");
    first.push(path);
    for (name, value, message) in [
        (
            "QEMU",
            "/no/qemu",
            "QEMU=/no/qemu: there is no such program; name a QEMU",
        ),
        (
            "QEMU",
            "true",
            "QEMU=true: its --version does not begin with ",
        ),
        (
            "OVMF",
            "/no/OVMF.fd",
            "OVMF=/no/OVMF.fd: there is no such file; name ",
        ),
    ] {
        let mut set_up = Command::new(workspace().join("tools/setup.sh"));
        set_up
            .env_remove("QEMU")
            .env_remove("OVMF")
            .env("PATH", &first);
        let output = set_up.env(name, value).stdin(Stdio::null()).output()?;
        let printed = text(&output.stderr);
        ensure_eq!(output.status.code(), Some(1), "{name}={value}: {printed}");
        ensure!(
            printed.starts_with(&format!("setup: {message}")),
            "{printed}"
        );
        ensure!(!called.exists(), "{name}={value}: an installer was called");
    }
    Ok(())
}

//! Tests of the runner: guests that end in known ways, and the error that each must yield.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::{NamedTempFile, TempDir};
use tocsin_logic::exit;
use tocsin_tests::guest::Guest;
use tocsin_tools::settings::{Accel, BootWay, Memory};
use tocsin_tools::{Machine, Outcome, PROMPT, Session, SessionError};

/// Far more than any of these guests needs, also on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a guest that does nothing is watched.
const SHORT_TIMEOUT: Duration = Duration::from_millis(500);

/// A guest's image, and the machine that boots it.
fn machine(guest: &[u8]) -> (NamedTempFile, Machine) {
    let mut image = NamedTempFile::new().unwrap();
    image.write_all(guest).unwrap();
    let machine = Machine::new(BootWay::Direct)
        .accel(Accel::Tcg)
        .image(image.path());
    (image, machine)
}

/// A shell script in place of an emulator; file descriptor 3 is QMP.
fn emulator(does: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("qemu");
    std::fs::write(&file, format!("#!/bin/sh\n{does}\n")).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    (dir, file)
}

fn start(guest: &[u8]) -> (NamedTempFile, Session) {
    let (image, machine) = machine(guest);
    let session = Session::start(&machine).unwrap();
    (image, session)
}

#[test]
fn every_kernel_status_comes_back() {
    for status in [0, 1, 7, exit::MAX, exit::STOPPED] {
        let (_image, mut session) = start(&Guest::new().exit(exit::to_port(status)).halt());
        assert_eq!(session.wait_exit(TIMEOUT).unwrap(), Outcome::Kernel(status));
        session
            .expect_exit(Outcome::Kernel(status), TIMEOUT)
            .unwrap();
        let error = session
            .expect_exit(Outcome::Kernel(99), TIMEOUT)
            .unwrap_err();
        assert!(matches!(error, SessionError::WrongEnd { .. }), "{error}");
    }
}

#[test]
fn other_statuses_are_not_the_kernels() {
    for value in [0, 1, exit::BASE - 1, exit::to_port(exit::STOPPED) + 1] {
        let (_image, mut session) = start(&Guest::new().exit(value).halt());
        let code = i32::try_from(2 * value + 1).unwrap();
        assert_eq!(session.wait_exit(TIMEOUT).unwrap(), Outcome::Qemu(code));
    }
}

#[test]
fn a_hang_is_a_time_out_that_shows_the_last_output() {
    let (_image, mut session) = start(&Guest::new().say("one\r\ntwo").halt());
    let before = session.expect("two", TIMEOUT).unwrap();
    assert_eq!(before, "one\n");
    let error = session.wait_prompt(SHORT_TIMEOUT).unwrap_err();
    assert!(matches!(error, SessionError::TimedOut { .. }), "{error}");
    let message = error.to_string();
    for part in ["within 0.5 s", "| one\n", "| two\n", "EIP=0010", "-kernel"] {
        assert!(message.contains(part), "{part:?} is missing in\n{message}");
    }
    let error = session.wait_exit(SHORT_TIMEOUT).unwrap_err();
    assert!(matches!(error, SessionError::TimedOut { .. }), "{error}");
}

#[test]
fn output_extends_the_time_limit_once() {
    const LIMIT: Duration = Duration::from_secs(1);
    let (_image, mut session) = start(&Guest::new().babble(b'.'));
    let begin = Instant::now();
    let error = session.wait_prompt(LIMIT).unwrap_err();
    assert!(matches!(error, SessionError::TimedOut { .. }), "{error}");
    assert!(begin.elapsed() > 2 * LIMIT, "{:?} {error}", begin.elapsed());
}

#[test]
fn a_triple_fault_is_named() {
    let (_image, mut session) = start(&Guest::new().say("up\n").triple_fault().halt());
    let error = session.wait_prompt(TIMEOUT).unwrap_err();
    assert!(matches!(error, SessionError::TripleFault { .. }), "{error}");
    let message = error.to_string();
    for part in ["triple fault", "| up\n", "Triple fault"] {
        assert!(message.contains(part), "{part:?} is missing in\n{message}");
    }
    assert_eq!(session.wait_exit(TIMEOUT).unwrap(), Outcome::TripleFault);
}

#[test]
fn a_triple_fault_is_seen_where_the_machine_may_reboot() {
    let (_image, machine) = machine(&Guest::new().say("up\n").triple_fault().halt());
    let mut session = Session::start(&machine.reboots()).unwrap();
    let error = session.wait_prompt(TIMEOUT).unwrap_err();
    assert!(matches!(error, SessionError::TripleFault { .. }), "{error}");
    assert_eq!(session.run_to_end(), Outcome::TripleFault);
}

#[test]
fn a_reset_is_not_a_triple_fault() {
    let (_image, mut session) = start(&Guest::new().say("up\n").reset().halt());
    assert_eq!(session.wait_exit(TIMEOUT).unwrap(), Outcome::Reset);
    let error = session.wait_prompt(TIMEOUT).unwrap_err();
    assert!(
        matches!(
            error,
            SessionError::Ended {
                outcome: Outcome::Reset,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_machine_that_may_reboot_does() {
    let (_image, machine) = machine(&Guest::new().say("up\n").reset().halt());
    let mut session = Session::start(&machine.reboots()).unwrap();
    for _ in 0..3 {
        session.expect("up\n", TIMEOUT).unwrap();
    }
    let event = session.expect_event("RESET", 2, TIMEOUT).unwrap();
    assert_eq!(event.reason(), "guest-reset");
}

#[test]
fn input_reaches_the_guest_and_output_is_copied() {
    #[derive(Clone, Default)]
    struct Copy(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Copy {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let guest = Guest::new()
        .say(PROMPT)
        .echo(3)
        .say("\nbye\r\n")
        .say(PROMPT);
    let (_image, machine) = machine(&guest.exit(exit::to_port(0)).halt());
    let copy = Copy::default();
    let mut session = Session::start_copied(&machine, Box::new(copy.clone())).unwrap();
    assert_eq!(session.wait_prompt(TIMEOUT).unwrap(), "");
    assert_eq!(session.command("ab", TIMEOUT).unwrap(), "bye\n");
    session.expect_exit(Outcome::Kernel(0), TIMEOUT).unwrap();
    let all = format!("{PROMPT}ab\r\nbye\r\n{PROMPT}");
    assert_eq!(session.transcript().bytes(), all.as_bytes());
    assert_eq!(copy.0.lock().unwrap().as_slice(), all.as_bytes());
    assert!(session.send_line("late").is_err());
}

#[test]
fn qemu_replies_with_values_and_errors() {
    let (image, mut session) = start(&Guest::new().say("up\n").halt());
    session.expect("up\n", TIMEOUT).unwrap();
    let status = session
        .qmp("query-status", &serde_json::Value::Null)
        .unwrap();
    assert_eq!(status["status"], "running");
    let error = session
        .qmp("no-such-command", &serde_json::Value::Null)
        .unwrap_err();
    assert!(matches!(error, SessionError::Refused { .. }), "{error}");
    assert!(session.hmp("info registers").unwrap().contains("EIP=0010"));
    let expected = std::fs::read(image.path()).unwrap();
    let loaded = session
        .physical_memory(0x10_0000, expected.len() as u64)
        .unwrap();
    assert_eq!(loaded, expected);
    session.qmp("quit", &serde_json::Value::Null).unwrap();
    session.expect_exit(Outcome::Off, TIMEOUT).unwrap();
}

#[test]
fn a_machine_that_does_not_start_says_why() {
    let (_image, machine) = machine(&Guest::new().halt());
    let error = Session::start(&machine.clone().board("no-such-board"))
        .err()
        .unwrap();
    assert!(matches!(error, SessionError::NotStarted { .. }), "{error}");
    assert!(
        error.to_string().contains("unsupported machine type"),
        "{error}"
    );
    let error = Session::start(&machine.clone().qemu("no-such-qemu"))
        .err()
        .unwrap();
    assert!(matches!(error, SessionError::Spawn { .. }), "{error}");
    let (_place, silent) = emulator("while read -r line <&3; do :; done");
    let short = machine.clone().qemu(silent).timeout(SHORT_TIMEOUT);
    let error = Session::start(&short).err().unwrap();
    assert!(matches!(error, SessionError::Silent { .. }), "{error}");
    let message = error.to_string();
    let expected = "QEMU: no greeting within 0.5 s (it hangs, or the host is too slow";
    assert!(message.starts_with(expected), "{message}");
    let (_place, greets) = emulator("echo '{\"QMP\": {}}' >&3; echo 'no memory' >&2; exit 1");
    let error = Session::start(&machine.clone().qemu(greets)).err().unwrap();
    assert!(matches!(error, SessionError::NotStarted { .. }), "{error}");
    assert!(error.to_string().contains("no memory"), "{error}");
    let error = Session::start(&machine.image("/no/such/image"))
        .err()
        .unwrap();
    assert!(matches!(error, SessionError::NoImage(_)), "{error}");
}

#[test]
fn nothing_is_left_behind() {
    let (_image, session) = start(&Guest::new().halt());
    let directory = session.log_path().parent().unwrap().to_owned();
    assert!(directory.exists());
    drop(session);
    assert!(!directory.exists());
}

/// QEMU would load the module over the kernel, or the kernel beyond the memory, and the machine
/// would reset.
#[test]
fn memory_without_room_for_the_kernel_is_refused() {
    let machine = Machine::new(BootWay::Direct).accel(Accel::Tcg);
    for (memory, is_alone) in [("1M", false), ("3M", false), ("4M", false), ("2M", true)] {
        let machine = machine.clone().memory(Memory::parse(memory).unwrap());
        let machine = if is_alone {
            machine.module(None)
        } else {
            machine
        };
        let error = Session::start(&machine).err().unwrap().to_string();
        let expected = format!("MEM={memory}: too little memory: QEMU needs ");
        assert!(error.starts_with(&expected), "{error}");
    }
}

//! `make debug`, by the protocol that gdb speaks (the appendix "gdb Remote Serial Protocol" of its
//! manual): this is the other end, so no gdb is needed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{ChildStdout, Stdio};

use libtest_mimic::Trial;
use tocsin_tests::symbols::Symbols;

use crate::command::command;
use crate::{PATIENCE, Result, ensure, ensure_eq, trial};

/// The status that the kernel is told to end with.
const STATUS: i32 = 9;

/// Where a processor begins, in its first segment (SDM vol. 3A, 11.1.4).
const RESET: u64 = 0xfff0;

/// In the answer to `g`, in hexadecimal digits: after the 16 general registers.
const RIP: usize = 16 * 16;

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
        // It may wait for gdb for ever.
        child.kill()?;
    }
    let status = child.wait()?;
    session?;
    ensure_eq!(status.code(), Some(STATUS), "exit status");
    Ok(())
}

fn debug(socket: &Path, mut output: BufReader<ChildStdout>) -> Result {
    let mut said = [String::new(), String::new()];
    for line in &mut said {
        output.read_line(line)?;
    }
    ensure_eq!(
        said[1],
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
    let symbols = Symbols::of_the_image()?;
    let start = symbols.address("kernel_start").ok_or("no kernel_start")?;
    // As tools/tocsin.gdb does.
    gdb.expect(&format!("Z1,{start:x},1"), "OK")?;
    gdb.expect("c", "T05")?;
    ensure_eq!(gdb.rip()?, start, "where the kernel stopped");
    gdb.expect(&format!("z1,{start:x},1"), "OK")?;
    gdb.expect("D", "OK")?;
    let mut rest = String::new();
    output.read_to_string(&mut rest)?;
    ensure!(rest.contains("tocsin: ready: "), "it did not go on: {rest}");
    Ok(())
}

/// A debugger.
struct Gdb(BufReader<UnixStream>);

impl Gdb {
    fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a packet; the answer's.
    fn ask(&mut self, packet: &str) -> Result<String> {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        write!(self.0.get_mut(), "+${packet}#{sum:02x}")?;
        // Before it, the other end may acknowledge what it got.
        self.0.skip_until(b'$')?;
        let mut answer = Vec::new();
        self.0.read_until(b'#', &mut answer)?;
        answer.pop();
        self.0.read_exact(&mut [0; 2])?;
        Ok(String::from_utf8(answer)?)
    }

    fn expect(&mut self, packet: &str, beginning: &str) -> Result {
        let answer = self.ask(packet)?;
        ensure!(
            answer.starts_with(beginning),
            "{packet:?} is answered by {answer:?}, not {beginning:?}"
        );
        Ok(())
    }

    /// The instruction pointer of the CPU that stopped.
    fn rip(&mut self) -> Result<u64> {
        let registers = self.ask("g")?;
        let digits = registers.get(RIP..RIP + 16).ok_or("too few registers")?;
        Ok(u64::from_str_radix(digits, 16)?.swap_bytes())
    }
}

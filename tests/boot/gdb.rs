//! The protocol that gdb speaks (the appendix "gdb Remote Serial Protocol" of its manual): this is
//! gdb's end, so no gdb is needed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use tocsin_tests::symbols::Symbols;

use crate::{PATIENCE, Result, ensure, ensure_eq};

/// In the answer to `g`, in hexadecimal digits: after the 16 general registers.
const RIP: usize = 16 * 16;

/// A debugger of a machine.
pub struct Gdb(BufReader<UnixStream>);

impl Gdb {
    pub fn connect(socket: &Path) -> Result<Self> {
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

    /// Sends a packet, whose answer begins so.
    pub fn expect(&mut self, packet: &str, beginning: &str) -> Result {
        let answer = self.ask(packet)?;
        ensure!(
            answer.starts_with(beginning),
            "{packet:?} is answered by {answer:?}, not {beginning:?}"
        );
        Ok(())
    }

    /// Lets the machine run until the kernel begins, as tools/tocsin.gdb does.
    pub fn run_to_kernel(&mut self) -> Result {
        let symbols = Symbols::of_the_image()?;
        let start = symbols.address("kernel_start").ok_or("no kernel_start")?;
        self.expect(&format!("Z1,{start:x},1"), "OK")?;
        self.expect("c", "T05")?;
        ensure_eq!(self.rip()?, start, "where the kernel stopped");
        self.expect(&format!("z1,{start:x},1"), "OK")
    }

    /// Writes to a physical address, also to registers that are there.
    pub fn write_physical(&mut self, address: u64, value: u64) -> Result {
        // QEMU's own packet (its manual, "GDB usage").
        self.expect("Qqemu.PhyMemMode:1", "OK")?;
        let bytes = value.swap_bytes();
        self.expect(&format!("M{address:x},8:{bytes:016x}"), "OK")
    }

    /// The instruction pointer of the CPU that stopped.
    pub fn rip(&mut self) -> Result<u64> {
        let registers = self.ask("g")?;
        let digits = registers.get(RIP..RIP + 16).ok_or("too few registers")?;
        Ok(u64::from_str_radix(digits, 16)?.swap_bytes())
    }
}

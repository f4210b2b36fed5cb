//! The protocol that gdb speaks (the appendix "gdb Remote Serial Protocol" of its manual): this is
//! gdb's end, so no gdb is needed.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use tocsin_tests::symbols::Symbols;

use crate::{PATIENCE, Result, ensure, ensure_eq};

/// Hexadecimal digits of a register in the answer to `g`.
const REGISTER: usize = 16;

/// Indices of registers in that reply: RSI is the fifth, RIP follows the 16 general ones.
const RSI: usize = 4;
const RIP: usize = 16;

/// Most bytes of memory in one packet.
const CHUNK: usize = 1024;

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
        self.run_to(start)
    }

    /// Lets the machine run until this linear address.
    pub fn run_to(&mut self, address: u64) -> Result {
        self.expect(&format!("Z1,{address:x},1"), "OK")?;
        self.expect("c", "T05")?;
        ensure_eq!(self.rip()?, address, "where the machine stopped");
        self.expect(&format!("z1,{address:x},1"), "OK")
    }

    /// Sets a general register of the CPU that stopped.
    pub fn set_register(&mut self, number: usize, value: u64) -> Result {
        let bytes = value.swap_bytes();
        self.expect(&format!("P{number:x}={bytes:016x}"), "OK")
    }

    /// Writes to a physical address, also to registers that are there.
    pub fn write_physical(&mut self, address: u64, value: u64) -> Result {
        self.write_physical_bytes(address, &value.to_le_bytes())
    }

    /// Writes bytes to a physical address.
    pub fn write_physical_bytes(&mut self, address: u64, bytes: &[u8]) -> Result {
        // QEMU's own packet (its manual, "GDB usage").
        self.expect("Qqemu.PhyMemMode:1", "OK")?;
        for (address, bytes) in (address..).step_by(CHUNK).zip(bytes.chunks(CHUNK)) {
            let mut packet = format!("M{address:x},{:x}:", bytes.len());
            for byte in bytes {
                let _ = write!(packet, "{byte:02x}");
            }
            self.expect(&packet, "OK")?;
        }
        Ok(())
    }

    /// Reads bytes at a physical address, at most 1024.
    pub fn read_physical(&mut self, address: u64, length: usize) -> Result<Vec<u8>> {
        self.expect("Qqemu.PhyMemMode:1", "OK")?;
        let digits = self.ask(&format!("m{address:x},{length:x}"))?;
        ensure_eq!(digits.len(), 2 * length, "digits of {length} bytes");
        (0..length)
            .map(|at| Ok(u8::from_str_radix(&digits[2 * at..2 * at + 2], 16)?))
            .collect()
    }

    /// The instruction pointer of the CPU that stopped.
    pub fn rip(&mut self) -> Result<u64> {
        self.register(RIP)
    }

    /// The second argument of the function at whose first instruction the CPU has stopped.
    pub fn second_argument(&mut self) -> Result<u64> {
        self.register(RSI)
    }

    /// A general register of the CPU that stopped, by gdb's number.
    pub fn register(&mut self, place: usize) -> Result<u64> {
        let registers = self.ask("g")?;
        let digits = registers.get(place * REGISTER..(place + 1) * REGISTER);
        let digits = digits.ok_or("too few registers")?;
        Ok(u64::from_str_radix(digits, 16)?.swap_bytes())
    }
}

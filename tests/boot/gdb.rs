//! Client for the gdb remote serial protocol (the appendix "gdb Remote Serial Protocol" of gdb's
//! manual), so that the tests do not need gdb.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use tocsin_tests::symbols::Symbols;

use crate::{Result, TIMEOUT, ensure, ensure_eq};

/// Number of hexadecimal digits of a register in the reply to `g`.
const REGISTER: usize = 16;

/// Indices of registers in that reply: RSI is the fifth, RIP follows the 16 general ones.
const RSI: usize = 4;
const RIP: usize = 16;

/// Maximum number of memory bytes in one packet.
const CHUNK: usize = 1024;

/// A debugger connection to a machine.
pub struct Gdb(BufReader<UnixStream>);

impl Gdb {
    pub fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a packet and returns the reply.
    fn ask(&mut self, packet: &str) -> Result<String> {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        write!(self.0.get_mut(), "+${packet}#{sum:02x}")?;
        // The server may acknowledge the packet before the reply.
        self.0.skip_until(b'$')?;
        let mut reply = Vec::new();
        self.0.read_until(b'#', &mut reply)?;
        reply.pop();
        self.0.read_exact(&mut [0; 2])?;
        Ok(String::from_utf8(reply)?)
    }

    /// Sends a packet and checks that the reply has this prefix.
    pub fn expect(&mut self, packet: &str, beginning: &str) -> Result {
        let reply = self.ask(packet)?;
        ensure!(
            reply.starts_with(beginning),
            "{packet:?} is answered by {reply:?}, not {beginning:?}"
        );
        Ok(())
    }

    /// Runs the machine to the kernel's entry point, like tools/tocsin.gdb.
    pub fn run_to_kernel(&mut self) -> Result {
        let symbols = Symbols::of_the_image()?;
        let start = symbols.address("kernel_start").ok_or("no kernel_start")?;
        self.run_to(start)
    }

    /// Runs the machine to this linear address.
    pub fn run_to(&mut self, address: u64) -> Result {
        self.expect(&format!("Z1,{address:x},1"), "OK")?;
        self.expect("c", "T05")?;
        ensure_eq!(self.rip()?, address, "where the machine stopped");
        self.expect(&format!("z1,{address:x},1"), "OK")
    }

    /// Sets a general-purpose register of the stopped CPU.
    pub fn set_register(&mut self, number: usize, value: u64) -> Result {
        let bytes = value.swap_bytes();
        self.expect(&format!("P{number:x}={bytes:016x}"), "OK")
    }

    /// Writes to a physical address, which may be a device register.
    pub fn write_physical(&mut self, address: u64, value: u64) -> Result {
        self.write_physical_bytes(address, &value.to_le_bytes())
    }

    /// Writes bytes to a physical address.
    pub fn write_physical_bytes(&mut self, address: u64, bytes: &[u8]) -> Result {
        // A packet specific to QEMU (its manual, "GDB usage").
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

    /// The instruction pointer of the stopped CPU.
    pub fn rip(&mut self) -> Result<u64> {
        self.register(RIP)
    }

    /// The second argument of the function at whose first instruction the CPU has stopped.
    pub fn second_argument(&mut self) -> Result<u64> {
        self.register(RSI)
    }

    /// A general-purpose register of the stopped CPU, by gdb's number.
    pub fn register(&mut self, index: usize) -> Result<u64> {
        let registers = self.ask("g")?;
        let digits = registers.get(index * REGISTER..(index + 1) * REGISTER);
        let digits = digits.ok_or("too few registers")?;
        Ok(u64::from_str_radix(digits, 16)?.swap_bytes())
    }
}

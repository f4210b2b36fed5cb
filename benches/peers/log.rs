//! The kernel's log: the bring-up of CPUs, and what the module measures.
//!
//! The module writes to the log and not to the console: a console that prints from a thread of the
//! kernel, as under `PREEMPT_RT`, would mix its lines with those of the program, and print during
//! the next measurement.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use crate::MARK;

/// The kernel's log, read from its beginning.
pub struct Log(File);

impl Log {
    pub fn open() -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(libc::O_NONBLOCK);
        Ok(Self(options.open("/dev/kmsg")?))
    }

    /// Prints the new records that belong to the measurement.
    ///
    /// A read returns one record: priority, number and microseconds before the text.
    pub fn pass_on(&mut self) {
        let mut record = [0; 8192];
        while let Ok(length) = self.0.read(&mut record) {
            let text = String::from_utf8_lossy(&record[..length]);
            let Some((head, text)) = text.split_once(';') else {
                continue;
            };
            let text = text.lines().next().unwrap_or_default();
            if text.starts_with(MARK) {
                println!("{text}");
            } else if text.starts_with("smp: Br") {
                let time = head.split(',').nth(2).unwrap_or_default();
                println!("{MARK}log {time} {text}");
            }
        }
    }
}

//! The tables of a unit in memory, and its invalidation queue (6.5.2).

use core::arch::asm;
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};

use tocsin_logic::vtd::register::{self, fault_status};
use tocsin_logic::vtd::{Command, Memory};

use super::error::IommuError;
use crate::hw::mmio::{self, Mmio};
use crate::memory::MemoryError;
use crate::memory::frames;
use crate::time;

/// The number of commands of the queue, which has one page.
const COMMANDS: u64 = frames::FRAME / SIZE;

/// The size of a command in bytes.
const SIZE: u64 = 16;

/// The time in which a unit must complete commands, in nanoseconds.
const TIMEOUT: u64 = 1_000_000_000;

/// The queue of a unit.
#[derive(Debug)]
pub(super) struct Queue {
    registers: Mmio,
    /// Whether the unit snoops the caches of the CPUs.
    is_coherent: bool,
    /// Physical address of the commands.
    commands: u64,
    /// Physical address of the word that wait commands write.
    status: u64,
    /// The index of the next command.
    tail: u64,
    /// The value that the last wait command wrote.
    last: u32,
}

impl Queue {
    /// Allocates a queue. The unit does not use it yet.
    pub(super) fn new(registers: Mmio, is_coherent: bool) -> Result<Self, MemoryError> {
        Ok(Self {
            registers,
            is_coherent,
            commands: frames::allocate_zeroed_page()?,
            status: frames::allocate_zeroed_page()?,
            tail: 0,
            last: 0,
        })
    }

    /// Physical address of the commands.
    pub(super) fn address(&self) -> u64 {
        self.commands
    }

    fn submit(&mut self, command: Command) {
        let place = self.commands + self.tail * SIZE;
        for (index, word) in (0..).zip(command.encode()) {
            self.write(place + index * 8, word);
        }
        self.tail = (self.tail + 1) % COMMANDS;
    }

    /// Waits until the unit has written the value of the last wait command.
    fn wait(&self) -> Result<(), IommuError> {
        // SAFETY: The page belongs to the queue, and is never freed.
        let status = unsafe { &*frames::pointer::<AtomicU32>(self.status) };
        let rejected = Cell::new(0);
        let is_over = time::wait_until(TIMEOUT, || {
            let faults = self.registers.read::<u32>(register::FAULT_STATUS);
            rejected.set(faults & fault_status::QUEUE_ERRORS);
            status.load(Ordering::Acquire) == self.last || rejected.get() != 0
        });
        let rejected = rejected.get();
        if rejected != 0 {
            // The bits are cleared by writing 1. The unit continues with the next command.
            self.registers.write(register::FAULT_STATUS, rejected);
            return Err(IommuError::Rejected(rejected));
        }
        if is_over {
            Ok(())
        } else {
            Err(IommuError::Timeout("complete an invalidation"))
        }
    }
}

impl Memory for Queue {
    type Error = IommuError;

    fn read(&self, address: u64) -> u64 {
        // SAFETY: The tables contain only addresses of tables that were allocated for them.
        unsafe { mmio::read(frames::pointer::<u64>(address) as u64) }
    }

    fn write(&mut self, address: u64, value: u64) {
        let location = frames::pointer::<u64>(address) as u64;
        // SAFETY: As in `read`, and the caller has exclusive access to the tables.
        unsafe { mmio::write(location, value) };
        if !self.is_coherent {
            // SAFETY: Writes back a cache line of the kernel's memory. The fence orders it before
            // the register write that makes the unit read the line.
            unsafe {
                asm!("clflush [{}]", "mfence", in(reg) location, options(nostack, preserves_flags));
            }
        }
    }

    fn allocate(&mut self) -> Option<u64> {
        let table = frames::allocate_zeroed_page().ok()?;
        if !self.is_coherent {
            for offset in (0..frames::FRAME).step_by(8) {
                self.write(table + offset, 0);
            }
        }
        Some(table)
    }

    fn execute(&mut self, commands: &[Command]) -> Result<(), IommuError> {
        // With the wait command, fewer than the queue holds, which is empty now.
        for batch in commands.chunks(COMMANDS as usize / 2) {
            for &command in batch {
                self.submit(command);
            }
            self.last = self.last.wrapping_add(1);
            self.submit(Command::Wait {
                address: self.status,
                value: self.last,
            });
            // The store of the commands is visible before: the registers are uncached.
            self.registers.write(register::QUEUE_TAIL, self.tail * SIZE);
            self.wait()?;
        }
        Ok(())
    }
}

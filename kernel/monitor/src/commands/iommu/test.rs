//! `iommu test` and `iommu flood`: transfers of an `edu` device that the IOMMU must permit or
//! block.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;
use tocsin_logic::vtd::fault::{Access, Blocked, Record};
use tocsin_logic::vtd::{PAGE, SourceId};

use crate::command::CommandError;
use crate::commands::checks::Checks;
use crate::drivers::edu::{Direction, Edu};
use crate::record::Output;
use tocsin::boot::image;
use tocsin::iommu::{dma, fault};
use tocsin::{Machine, cancel, time};

/// The timeout for a fault to be reported, in nanoseconds.
const TIMEOUT: u64 = 1_000_000_000;

/// The maximum number of transfers until a function is isolated.
const MOST_TRANSFERS: u32 = 64;

/// The number of bytes of a transfer.
const LENGTH: u64 = 64;

/// A transfer, and what became of it.
#[derive(Serialize)]
struct Check {
    transfer: &'static str,
    passed: bool,
    outcome: String,
    /// The reason of the fault.
    reason: Option<u8>,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.passed { "passed" } else { "FAILED" };
        write!(f, "  {:<38}  {mark}  {}", self.transfer, self.outcome)
    }
}

/// Runs the test. The machine needs an `edu` device; a second one is used if there is one.
pub(super) fn run(machine: &Machine, output: Output) -> Result<(), CommandError> {
    let tester = Tester::new()?;
    // Functions behind the same bridge to a PCI bus share their memory.
    let other = Edu::claim().ok();
    let other = other.filter(|it| it.function().source() != tester.source);
    let mut checks = Vec::new();
    tester.permitted(&mut checks)?;
    tester.blocked(&mut checks, machine, other.as_ref())?;
    finish(&checks, output)
}

/// `iommu flood`: blocked transfers until the function is isolated, and the return of its driver.
pub(super) fn flood(output: Output) -> Result<(), CommandError> {
    let tester = Tester::new()?;
    // Its buffers make the function a bus master.
    tester.copy()?;
    let is_isolated = || tester.edu.function().is_isolated();
    let mut transfers = 0;
    while !is_isolated() && transfers < MOST_TRANSFERS {
        tester.transfer(Direction::FromMemory, 0)?;
        transfers += 1;
    }
    let mut checks = Vec::new();
    checks.push(Check {
        transfer: "reads of address 0, until isolation",
        passed: is_isolated(),
        outcome: format!("{transfers} transfers"),
        reason: tester.faults().1.map(|record| record.reason.0),
    });
    let arrived = tester.copy()?;
    checks.push(Check {
        transfer: "its own buffers, isolated",
        passed: arrived == 0,
        outcome: format!("{arrived} of {LENGTH} bytes arrived"),
        reason: None,
    });
    drop(tester);
    let tester = Tester::new()?;
    tester.permitted(&mut checks)?;
    finish(&checks, output)
}

fn finish(checks: &[Check], output: Output) -> Result<(), CommandError> {
    let result = Checks::default();
    for check in checks {
        output.print("iommu_check", check);
        result.note(check.passed);
    }
    result.finish(output)
}

struct Tester {
    edu: Edu,
    source: SourceId,
}

impl Tester {
    fn new() -> Result<Self, CommandError> {
        let edu = Edu::claim().map_err(CommandError::Pci)?;
        let source = edu.function().source();
        Ok(Self { edu, source })
    }

    fn buffer(&self, pages: u64, access: dma::Access) -> Result<dma::Buffer<u8>, CommandError> {
        let buffer = self.edu.buffer((pages * PAGE) as usize, access);
        buffer.map_err(|error| CommandError::Failed(error.to_string()))
    }

    fn transfer(&self, direction: Direction, address: u64) -> Result<(), CommandError> {
        if cancel::is_requested() {
            return Err(CommandError::Cancelled);
        }
        let done = self.edu.transfer(direction, address, LENGTH);
        done.map_err(|error| CommandError::Failed(error.to_string()))
    }

    /// The number of faults of the device, and the last of them.
    fn faults(&self) -> (u64, Option<Record>) {
        let all = fault::all();
        let own = all.iter().find(|it| it.source == self.source);
        own.map_or((0, None), |it| (it.count, Some(it.last)))
    }

    /// Transfers data from one buffer to the device and from there to another, across the end of a
    /// page. Returns the number of bytes that arrived.
    fn copy(&self) -> Result<u64, CommandError> {
        let (from, to) = (
            self.buffer(1, dma::Access::Read)?,
            self.buffer(2, dma::Access::Write)?,
        );
        let value = |index: usize| (index as u8).wrapping_mul(37).wrapping_add(11);
        for index in 0..LENGTH as usize {
            from.write(index, value(index));
        }
        self.transfer(Direction::FromMemory, from.address())?;
        let first = (PAGE - LENGTH / 2) as usize;
        self.transfer(Direction::ToMemory, to.address() + first as u64)?;
        let is_clean = to.read(first - 1) == 0 && to.read(first + LENGTH as usize) == 0;
        let right = (0..LENGTH as usize).filter(|&index| to.read(first + index) == value(index));
        Ok(if is_clean { right.count() as u64 } else { 0 })
    }

    fn permitted(&self, checks: &mut Vec<Check>) -> Result<(), CommandError> {
        let (before, _) = self.faults();
        let arrived = self.copy()?;
        checks.push(Check {
            transfer: "its own buffers",
            passed: arrived == LENGTH && self.faults().0 == before,
            outcome: format!("{arrived} of {LENGTH} bytes arrived"),
            reason: None,
        });
        Ok(())
    }

    fn blocked(
        &self,
        checks: &mut Vec<Check>,
        machine: &Machine,
        other: Option<&Edu>,
    ) -> Result<(), CommandError> {
        let read_only = self.buffer(1, dma::Access::Read)?;
        let write_only = self.buffer(1, dma::Access::Write)?;
        let freed = self.buffer(1, dma::Access::ReadWrite)?.address();
        let code = run as *const () as u64 - image::virtual_range().start + machine.boot.image;
        let foreign = match other {
            Some(other) => {
                // So many pages that the addresses are not those of the own buffers.
                let buffer = other.buffer(64 * PAGE as usize, dma::Access::ReadWrite);
                Some(buffer.map_err(|error| CommandError::Failed(error.to_string()))?)
            }
            None => None,
        };
        let mut cases = alloc::vec![
            (
                "a write to a buffer for reads",
                Direction::ToMemory,
                read_only.address()
            ),
            (
                "a read of a buffer for writes",
                Direction::FromMemory,
                write_only.address()
            ),
            (
                "a write beyond its buffers",
                Direction::ToMemory,
                0x0fff_0000
            ),
            ("a read of address 0", Direction::FromMemory, 0),
            ("a write to a freed buffer", Direction::ToMemory, freed),
            (
                "a write to the kernel's code",
                Direction::ToMemory,
                code & !(PAGE - 1)
            ),
        ];
        if let Some(foreign) = &foreign {
            let address = foreign.address() + 32 * PAGE;
            cases.push((
                "a write to another function's buffer",
                Direction::ToMemory,
                address,
            ));
        }
        for (transfer, direction, address) in cases {
            checks.push(self.block(transfer, direction, address)?);
        }
        Ok(())
    }

    /// Makes a transfer that must be blocked, and checks the report.
    fn block(
        &self,
        transfer: &'static str,
        direction: Direction,
        address: u64,
    ) -> Result<Check, CommandError> {
        let (before, _) = self.faults();
        self.transfer(direction, address)?;
        time::wait_until(TIMEOUT, || self.faults().0 > before);
        let (after, last) = self.faults();
        let last = last.filter(|_| after > before);
        let access = match direction {
            Direction::FromMemory => Access::Read,
            Direction::ToMemory => Access::Write,
        };
        let is_right = |record: &Record| match record.blocked {
            Blocked::Dma {
                access: found,
                address: page,
                ..
            } => found == access && page == address & !(PAGE - 1),
            Blocked::Interrupt { .. } => false,
        };
        let outcome = match &last {
            None => "no fault was reported".to_string(),
            Some(record) => format!("blocked: {}", record.reason),
        };
        Ok(Check {
            transfer,
            passed: last.as_ref().is_some_and(is_right),
            outcome,
            reason: last.map(|record| record.reason.0),
        })
    }
}

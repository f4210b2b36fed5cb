//! `lines`: the lines, their routes and their counts, and the test of every vector.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;
use tocsin_logic::irq::route::{ModeSource, Pin};

use super::checks::Checks;
use super::names;
use crate::command::{Arguments, CommandError};
use crate::record::{self, Output};
use crate::stress::lines::{self, LineTest};
use tocsin::line::{self, Description};
use tocsin::{Machine, cpu, println};

/// The route of a pin's interrupts.
#[derive(Serialize)]
pub(super) struct RouteRecord {
    gsi: u32,
    /// The index of the I/O APIC in the MADT's order.
    io_apic: usize,
    pin: u8,
    polarity: &'static str,
    trigger: &'static str,
    /// The source of polarity and trigger mode.
    mode_source: &'static str,
    /// The ISA interrupt of the pin.
    isa_irq: Option<u8>,
}

impl RouteRecord {
    pub(super) fn of(pin: Pin) -> Self {
        let (mode_source, isa_irq) = match pin.mode_source {
            ModeSource::Isa(irq) => ("isa", Some(irq)),
            ModeSource::Override(irq) => ("override", Some(irq)),
            ModeSource::Pci => ("pci", None),
            ModeSource::Request => ("request", None),
        };
        Self {
            gsi: pin.gsi.0,
            io_apic: pin.input.io_apic,
            pin: pin.input.pin,
            polarity: names::polarity(pin.mode.polarity),
            trigger: names::trigger(pin.mode.trigger),
            mode_source,
            isa_irq,
        }
    }
}

/// A line.
#[derive(Serialize)]
struct LineRecord {
    name: &'static str,
    cpu: u32,
    /// The first vector, and the number of vectors.
    vector: u8,
    vectors: u8,
    class: u8,
    claimed: u64,
    unclaimed: u64,
    storms: u32,
    masked: bool,
    source: String,
    /// The route of a pin; none for messages and IPIs.
    route: Option<RouteRecord>,
}

impl LineRecord {
    fn of(line: Description) -> Self {
        Self {
            name: line.name,
            cpu: line.cpu,
            vector: line.first.get(),
            vectors: line.count,
            class: line.class.get(),
            claimed: line.counts.claimed,
            unclaimed: line.counts.unclaimed,
            storms: line.storms,
            masked: line.is_masked,
            source: line.source,
            route: line.pin.map(RouteRecord::of),
        }
    }
}

impl fmt::Display for LineRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.vector;
        let vectors = match self.vectors {
            1 => format!("{first:#04x}"),
            count => format!("{first:#04x}-{:#04x}", first + (count - 1)),
        };
        write!(
            f,
            "  {:<12}  {:>3}  {vectors:<9}  {:>5}  {:>11}  {:>9}  {:>6}  {:<6}  {}",
            self.name,
            self.cpu,
            self.class,
            self.claimed,
            self.unclaimed,
            self.storms,
            if self.masked { "masked" } else { "open" },
            self.source,
        )
    }
}

/// The result of the test of a CPU's vectors.
#[derive(Serialize)]
struct TestRecord {
    cpu: u32,
    vectors: u64,
    received: u64,
    blocks: u64,
    rejected_requests: u64,
    level_triggered: u64,
    errors: Vec<String>,
}

impl TestRecord {
    fn of(cpu: u32, result: LineTest) -> Self {
        Self {
            cpu,
            vectors: result.vectors,
            received: result.received,
            blocks: result.blocks,
            rejected_requests: result.rejected,
            level_triggered: result.levels,
            errors: result.errors,
        }
    }

    fn show(&self) {
        println!("  vectors that had a line      {:>5}", self.vectors);
        println!("  interrupts sent and received {:>5}", self.received);
        println!("  blocks of vectors            {:>5}", self.blocks);
        println!(
            "  requests rejected            {:>5}",
            self.rejected_requests
        );
        println!(
            "  level-triggered inputs        {:>5}",
            self.level_triggered
        );
        for error in &self.errors {
            println!("  error: {error}");
        }
    }
}

pub(super) fn lines(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    match arguments.next_word() {
        None => show_lines(output),
        Some("test") => {
            let cpu = arguments.number(u64::from(u32::MAX))?;
            arguments.end()?;
            // The cast is lossless: `number` limits the value to 32 bits.
            let cpu = cpu.map_or_else(|| cpu::current().id(), |cpu| cpu as u32);
            return test(cpu, output);
        }
        Some(other) => {
            return Err(CommandError::BadArgument {
                given: other.into(),
                expected: "`test`, or nothing".into(),
            });
        }
    }
    Ok(())
}

/// Tests every vector of a CPU.
fn test(cpu: u32, output: Output) -> Result<(), CommandError> {
    let result = lines::try_all(cpu).map_err(|error| CommandError::Failed(error.to_string()))?;
    let test = TestRecord::of(cpu, result);
    match output {
        Output::Text => test.show(),
        Output::Records => record::print("lines_test", &test),
    }
    let checks = Checks::default();
    checks.note_all(
        test.received.min(test.vectors),
        test.vectors.max(test.received),
    );
    checks.note(test.errors.is_empty());
    checks.finish(output)
}

fn show_lines(output: Output) {
    output.heading(
        "  name          CPU  vectors    class      claimed  unclaimed  storms  state   source",
    );
    for line in line::all() {
        output.print("line", &LineRecord::of(line));
    }
}

//! `nmi`: the causes of the NMIs of each CPU, and a test of nested NMIs.

use alloc::string::String;
use core::fmt::{self, Write};

use serde::Serialize;
use tocsin_logic::irq::nmi::Cause;

use super::checks::Checks;
use super::members::{CodeAddress, Counters};
use crate::command::{Arguments, CommandError};
use crate::record::Output;
use crate::stress::nmi_nesting::{self, Moment};
use tocsin::Machine;
use tocsin::cpu::{self, PerCpu, handlers};
use tocsin::panic::symbols::Code;
use tocsin::trap::nmi::{NMI, return_path};

pub(super) fn nmi(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let output = arguments.output();
    let Some(word) = arguments.next_word() else {
        show_counts(output);
        return Ok(());
    };
    if !matches!(word, "nest" | "edge") {
        return Err(CommandError::BadArgument {
            given: word.into(),
            expected: "`nest`, `edge` or nothing".into(),
        });
    }
    let target = arguments.number(u64::from(u32::MAX))?;
    arguments.end()?;
    // The cast is lossless: `number` limits the value to 32 bits.
    let target = target.map_or_else(|| cpu::current().id(), |cpu| cpu as u32);
    let checks = Checks::default();
    if word == "nest" {
        checks.note(run_nested(target, Moment::Inside, output)?);
    } else {
        for address in return_path() {
            checks.note(run_nested(target, Moment::Before(address), output)?);
        }
    }
    checks.finish(output)
}

/// The result of a test of nested NMIs.
#[derive(Serialize)]
struct Nested {
    cpu: u32,
    /// The instruction before which the second NMI was delivered; none if it was delivered in the
    /// handler, after an INT3.
    before: Option<CodeAddress>,
    #[serde(flatten)]
    outcome: nmi_nesting::Outcome,
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.before {
            None => writeln!(
                f,
                "A second NMI in the handler of the first, after an INT3 in it:"
            )?,
            Some(address) => writeln!(f, "A second NMI before the instruction at {address}:")?,
        }
        let nmi_nesting::Outcome {
            sender,
            runs,
            concurrent,
            nested,
            intact,
        } = self.outcome;
        write!(
            f,
            "  CPU {}: sent by CPU {sender}; nested NMIs: {nested}; runs of the handler: {runs}, \
             concurrent: {concurrent}; the interrupted registers are {}",
            self.cpu,
            if intact { "intact" } else { "NOT intact" }
        )
    }
}

/// Sends the two NMIs. Returns whether the second was handled once, after the first.
fn run_nested(target: u32, moment: Moment, output: Output) -> Result<bool, CommandError> {
    let outcome = nmi_nesting::run(target, moment).map_err(CommandError::Cpu)?;
    let nested = Nested {
        cpu: target,
        before: match moment {
            Moment::Inside => None,
            Moment::Before(address) => Some(CodeAddress(Code(address))),
        },
        outcome,
    };
    output.print("nested_nmi", &nested);
    Ok(outcome.is_right())
}

/// The NMIs of a CPU.
#[derive(Serialize)]
struct Nmis {
    cpu: u32,
    delivered: u64,
    /// NMIs that were delivered while another was handled.
    nested: u64,
    /// The NMIs by cause. One NMI can have several.
    causes: Counters,
    /// NMIs whose causes an earlier NMI has handled.
    late: u64,
    unknown: u64,
}

impl Nmis {
    fn of(cpu: PerCpu) -> Self {
        let counts = NMI.of(cpu).counts();
        let causes = Cause::ALL.iter().zip(counts.causes);
        Self {
            cpu: cpu.id(),
            delivered: counts.delivered,
            nested: counts.nested,
            causes: Counters(causes.map(|(cause, count)| (cause.name(), count)).collect()),
            late: counts.late,
            unknown: counts.unknown,
        }
    }
}

impl fmt::Display for Nmis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            delivered,
            nested,
            causes,
            late,
            unknown,
        } = self;
        write!(f, "  {cpu:>3}  {delivered:>9}  {nested:>9}")?;
        let causes = causes.0.iter().map(|(_, count)| count);
        for count in causes.chain([late, unknown]) {
            write!(f, "  {count:>9}")?;
        }
        Ok(())
    }
}

/// The tests of nested NMIs so far.
#[derive(Serialize)]
struct NestedTests {
    runs: u64,
    passed: u64,
}

impl fmt::Display for NestedTests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nested NMIs: {}/{} passed", self.passed, self.runs)
    }
}

fn show_counts(output: Output) {
    let mut header = String::from("  CPU  delivered     nested");
    let causes = Cause::ALL.iter().map(|cause| cause.name());
    for name in causes.chain(["late", "unknown"]) {
        // Cannot fail: writing to a string never fails.
        let _ = write!(header, "  {name:>9}");
    }
    output.heading(&header);
    for cpu in handlers::all_cpus() {
        output.print("nmi", &Nmis::of(cpu));
    }
    let (runs, passed) = nmi_nesting::totals();
    if runs > 0 {
        output.print("nested_nmi_tests", &NestedTests { runs, passed });
    }
}

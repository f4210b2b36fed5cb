//! `backtrace`: the call stacks of CPUs, by NMI.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;
use tocsin_logic::script;

use super::members::CodeAddress;
use crate::command::{Arguments, CommandError};
use crate::record::Output;
use tocsin::ipi::nmi::{self, NmiError};
use tocsin::{Machine, smp};

/// The call stack of a CPU, innermost call first.
#[derive(Serialize)]
struct Backtrace {
    cpu: u32,
    calls: Vec<CodeAddress>,
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CPU {}:", self.cpu)?;
        for (number, call) in self.calls.iter().enumerate() {
            write!(f, "\n    {number:>2}  {call}")?;
        }
        Ok(())
    }
}

pub(super) fn backtrace(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    let Some(word) = arguments.next_word() else {
        return Err(CommandError::MissingArgument("backtrace <cpu>|all"));
    };
    arguments.end()?;
    let all = smp::all().iter().map(|online| online.cpu.id());
    if word == "all" {
        // A CPU without a reply does not end the loop over the others.
        let silent: Vec<_> = all
            .filter_map(|cpu| show(output, cpu).err())
            .map(|error| error.to_string())
            .collect();
        if silent.is_empty() {
            return Ok(());
        }
        return Err(CommandError::Failed(silent.join("; ")));
    }
    let number = script::parse_number(word)
        .ok()
        .and_then(|number| u32::try_from(number).ok());
    let number = number.ok_or_else(|| CommandError::BadArgument {
        given: word.into(),
        expected: "the number of a CPU, or `all`".into(),
    })?;
    show(output, number).map_err(|error| CommandError::Failed(error.to_string()))
}

fn show(output: Output, cpu: u32) -> Result<(), NmiError> {
    let calls = nmi::backtrace_of(cpu)?.calls().map(CodeAddress).collect();
    output.print("backtrace", &Backtrace { cpu, calls });
    Ok(())
}

//! The options that the kernel knows.
//!
//! To add one: a field in [`Options`] and a line in [`KNOWN`].

use super::{Problem, ProblemKind, Problems, Quoting, items};
use crate::script::parse_number;
use crate::smp::Sabotage;

/// Which form of the local APIC to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApicMode {
    /// x2APIC where the CPU has it, else xAPIC.
    #[default]
    Auto,
    /// The memory-mapped form.
    XApic,
    /// The MSR form.
    X2Apic,
}

/// What the command line asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// `run=`: monitor commands to run instead of prompting.
    pub run: Option<&'a str>,
    /// `apic=`: the form of the local APIC.
    pub apic: ApicMode,
    /// `maxcpus=`: the most CPUs to use, the boot CPU included; at least 1.
    pub maxcpus: Option<u32>,
    /// `failcpu=`: a CPU that shall die on its way up, to test what the others do.
    pub failcpu: Option<Sabotage>,
}

/// An option: its key, the values it takes, and how to take one.
pub(super) struct Known {
    pub(super) name: &'static str,
    /// What the value must be, as in "... is needed".
    pub(super) accepts: &'static str,
    /// Takes the value, or `None` if it is not acceptable.
    set: for<'a> fn(&mut Options<'a>, &'a str) -> Option<()>,
}

pub(super) const KNOWN: [Known; 4] = [
    Known {
        name: "run",
        accepts: "a list of monitor commands, such as \"memory; poweroff\",",
        set: |options, value| {
            options.run = Some(value);
            Some(())
        },
    },
    Known {
        name: "apic",
        accepts: "auto, xapic or x2apic",
        set: |options, value| {
            options.apic = match value {
                "auto" => ApicMode::Auto,
                "xapic" => ApicMode::XApic,
                "x2apic" => ApicMode::X2Apic,
                _ => return None,
            };
            Some(())
        },
    },
    Known {
        name: "maxcpus",
        accepts: "a number from 1 up",
        set: |options, value| {
            let number = parse_number(value).ok().and_then(|n| u32::try_from(n).ok());
            options.maxcpus = Some(number.filter(|&n| n > 0)?);
            Some(())
        },
    },
    Known {
        name: "failcpu",
        accepts: "CPU@STAGE, the stage silent, real, protected, long, kernel, tables or apic,",
        set: |options, value| {
            options.failcpu = Some(Sabotage::parse(value)?);
            Some(())
        },
    },
];

impl<'a> Options<'a> {
    /// Reads a command line. What is wrong with it comes second and never keeps
    /// the rest from being taken. Of an option given twice the last one counts.
    #[must_use]
    pub fn parse(line: &'a str) -> (Self, Problems<'a>) {
        let mut options = Self::default();
        let mut problems = Problems::default();
        // One bit for each option seen.
        let mut seen = 0_u32;
        for item in items(line) {
            let mut report = |offset, kind| {
                problems.push(Problem {
                    offset,
                    item: item.text,
                    kind,
                });
            };
            match item.quoting {
                Quoting::Fine => {}
                Quoting::Unclosed(offset) => report(offset, ProblemKind::UnclosedQuote),
                Quoting::TextAfter(offset) => report(offset, ProblemKind::TextAfterQuote),
            }
            let Some(index) = KNOWN.iter().position(|known| known.name == item.key) else {
                report(item.offset, ProblemKind::Unknown { key: item.key });
                continue;
            };
            let known = &KNOWN[index];
            if item
                .value
                .and_then(|value| (known.set)(&mut options, value))
                .is_none()
            {
                report(
                    item.offset,
                    ProblemKind::Value {
                        accepts: known.accepts,
                    },
                );
                continue;
            }
            if seen & 1 << index != 0 {
                report(item.offset, ProblemKind::Duplicate { key: known.name });
            }
            seen |= 1 << index;
        }
        (options, problems)
    }
}

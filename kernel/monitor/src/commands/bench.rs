//! `bench`: the cost of interrupts, as a table or as machine-readable records.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use tocsin_logic::script;

use crate::bench::{self, Clock, GROUPS, Options};
use crate::command::{Arguments, CommandError};
use crate::record::Output;
use tocsin::{Machine, println};

/// The maximum number of samples of a metric. All samples are stored until they are summarized.
const MAX_SAMPLES: u64 = 1_000_000;

/// Prints the arguments of `bench`.
pub(super) fn words() {
    let line = |word: &str, what: &str| println!("  {word:<20} {what}");
    for group in GROUPS {
        line(group.name, group.about);
    }
    line("clock=cycles", "by the TSC; so it is if no clock is named");
    line(
        "clock=instructions",
        "where QEMU counts them: `-icount shift=0,sleep=off`",
    );
    line(
        "samples=N",
        &alloc::format!(
            "of each metric, at most {MAX_SAMPLES}; without it {} in cycles, {} in instructions",
            Clock::Cycles.samples(),
            Clock::Instructions.samples()
        ),
    );
    line(
        "json",
        "the last word: records for programs instead of the table",
    );
    println!("Without a group, all of them are measured.");
}

pub(super) fn bench(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let mut options = Options {
        clock: Clock::Cycles,
        samples: None,
        output: arguments.output(),
        groups: Vec::new(),
    };
    while let Some(word) = arguments.next_word() {
        let bad = |expected: &str| CommandError::BadArgument {
            given: word.to_string(),
            expected: expected.to_string(),
        };
        match word.split_once('=') {
            Some(("clock", name)) => {
                let mut clocks = Clock::ALL.into_iter();
                options.clock = clocks
                    .find(|clock| clock.name() == name)
                    .ok_or_else(|| bad("clock=cycles or clock=instructions"))?;
            }
            Some(("samples", number)) => {
                let number = script::parse_number(number).ok();
                let number = number.filter(|number| (1..=MAX_SAMPLES).contains(number));
                // The cast is lossless: the number is at most a million.
                options.samples = Some(number.ok_or_else(|| {
                    bad(&alloc::format!(
                        "samples= and a number from 1 to {MAX_SAMPLES}"
                    ))
                })? as usize);
            }
            _ => options.groups.push(bench::find(word).ok_or_else(|| {
                let names: Vec<&str> = GROUPS.iter().map(|group| group.name).collect();
                let names: String = names.join(", ");
                bad(&alloc::format!("clock=, samples=, json, or one of {names}"))
            })?),
        }
    }
    let metrics = bench::run(&options);
    let metrics =
        metrics.map_err(|why| CommandError::Failed(alloc::format!("clock=instructions: {why}")))?;
    if options.output == Output::Text {
        println!("{metrics} metrics");
    }
    Ok(())
}

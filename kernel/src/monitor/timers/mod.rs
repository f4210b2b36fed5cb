//! `timers`: the timers of all CPUs, and a test of them all.

mod cases;
mod test;

use alloc::string::ToString;

use tocsin_logic::script;
use tocsin_logic::units::Nanoseconds;

use super::{Arguments, CommandError};
use crate::hw::processor;
use crate::irq::timers::{self, Row};
use crate::{Machine, println, time};

pub(super) fn timers(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    match arguments.next() {
        None => {
            list();
            Ok(())
        }
        Some("test") => {
            let seed = arguments.next().map(|word| {
                script::parse_number(word).map_err(|_| CommandError::BadArgument {
                    given: word.to_string(),
                    expected: "a number to draw the deadlines from".into(),
                })
            });
            let seed = seed.transpose()?.unwrap_or_else(processor::timestamp);
            arguments.end()?;
            test::run(seed)
        }
        Some(word) => Err(CommandError::BadArgument {
            given: word.to_string(),
            expected: "nothing, or `test`".into(),
        }),
    }
}

fn list() {
    println!("  CPU  timer                   next in      period       fired      missed");
    let mut any = false;
    timers::for_each(|row| {
        any = true;
        show(row);
    });
    if !any {
        println!("  none");
    }
}

fn show(row: Row) {
    let now = time::nanoseconds();
    let cell = |time: Option<u64>| time.map_or("-".into(), |time| Nanoseconds(time).to_string());
    println!(
        "  {:>3}  {:<18}  {:>11}  {:>10}  {:>10}  {:>10}",
        row.cpu,
        row.name,
        cell(row.next.map(|next| next.saturating_sub(now))),
        cell(row.period),
        row.fired,
        row.missed
    );
}

//! `nmi`: the causes of the NMIs of each CPU, and a test of nested NMIs.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use tocsin_logic::irq::nmi::Cause;

use crate::command::{Arguments, CommandError};
use crate::stress::nmi_nesting::{self, Moment, Outcome};
use tocsin::cpu::{self, handlers};
use tocsin::panic::symbols::Code;
use tocsin::trap::nmi::{NMI, return_path};
use tocsin::{Machine, println};

pub(super) fn nmi(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let Some(word) = arguments.next_word() else {
        show_counts();
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
    if word == "nest" {
        return meet(target, Moment::Inside);
    }
    for address in return_path() {
        meet(target, Moment::Before(address))?;
    }
    Ok(())
}

fn meet(target: u32, moment: Moment) -> Result<(), CommandError> {
    let Outcome {
        sender,
        runs,
        at_once,
        nested,
        intact,
    } = nmi_nesting::run(target, moment).map_err(CommandError::Cpu)?;
    match moment {
        Moment::Inside => {
            println!("A second NMI while the handler of the first runs, after an INT3 in it:");
        }
        Moment::Before(address) => {
            println!("A second NMI before the instruction at {}:", Code(address));
        }
    }
    println!(
        "  CPU {target}: sent by CPU {sender}; NMIs during another: {nested}; the handler ran {runs} times, \
         {at_once} at once; the interrupted registers are {}",
        if intact { "intact" } else { "NOT intact" }
    );
    Ok(())
}

fn show_counts() {
    let mut header = String::from("  CPU       NMIs  during another");
    for cause in Cause::ALL {
        // Cannot fail: writing to a string never fails.
        let _ = write!(header, "  {:>9}", cause.name());
    }
    println!("{header}       late    unknown");
    for cpu in handlers::all_cpus() {
        let counts = NMI.of(cpu).counts();
        let mut row = format!(
            "  {:>3}  {:>9}  {:>14}",
            cpu.id(),
            counts.delivered,
            counts.nested
        );
        for count in counts.causes.iter().chain([&counts.late, &counts.unknown]) {
            let _ = write!(row, "  {count:>9}");
        }
        println!("{row}");
    }
    let (all, right) = nmi_nesting::totals();
    if all > 0 {
        println!("Made to meet {all} times, {right} as they must.");
    }
}

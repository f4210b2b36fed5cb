//! `bench`: the measurements as a table.

use super::{Arguments, CommandError};
use crate::{Machine, bench, println, time};

pub(super) fn bench(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    arguments.end()?;
    let (overhead, figures) = bench::run();
    println!(
        "TSC cycles at {} MHz; {overhead} cycles for reading it twice are taken off",
        time::frequency().hertz / 1_000_000
    );
    println!(
        "  {:<40}  {:>8}  {:>8}  {:>8}  {:>10}",
        "", "min", "median", "p99", "max"
    );
    for figure in figures {
        let [min, median, p99, max] = figure.cycles;
        println!(
            "  {:<40}  {min:>8}  {median:>8}  {p99:>8}  {max:>10}",
            figure.name
        );
    }
    Ok(())
}

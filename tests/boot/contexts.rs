//! The table of calling contexts in `docs/contexts.md`, executed cell by cell: a permitted
//! operation succeeds, and a rejected one ends in a panic that names the rule.

use libtest_mimic::Trial;
use tocsin_tools::{Machine, Outcome, workspace};

use crate::{MODES, Result, STOPPED, TIMEOUT, ensure, machine, trial, with};

/// The kernel of `kernel/examples` that executes a cell.
const KERNEL: &str = "contexts";

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = MODES
        .into_iter()
        .map(|mode| {
            trial(format!("contexts::permitted::{mode}"), move || {
                permitted(mode)
            })
        })
        .collect();
    trials.extend(
        cells()
            .into_iter()
            .filter(|cell| !cell.is_permitted)
            .map(|cell| {
                let name = format!("contexts::rejected::{}::{}", cell.operation, cell.context);
                trial(name, move || rejected(&cell))
            }),
    );
    trials
}

/// A cell of the table.
struct Cell {
    operation: String,
    context: String,
    is_permitted: bool,
}

/// The rows of the table whose first line begins with `operation`.
fn cells() -> Vec<Cell> {
    let page = std::fs::read_to_string(workspace().join("docs/contexts.md"))
        .expect("the page is part of the project");
    let columns = |line: &str| -> Vec<String> {
        let line = line.trim().trim_matches('|');
        line.split('|')
            .map(|column| column.trim().trim_matches('`').to_owned())
            .collect()
    };
    let head = page.lines().find(|line| line.starts_with("| operation |"));
    let head = columns(head.expect("the page has the table"));
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        let row = columns(row);
        let cells = head.iter().zip(&row).skip(1);
        let cells = cells.filter(|(context, _)| *context != "functions");
        cells
            .map(|(context, cell)| Cell {
                operation: row[0].clone(),
                context: context.clone(),
                is_permitted: match cell.as_str() {
                    "yes" => true,
                    "no" => false,
                    other => panic!("docs/contexts.md: {} in {context}: {other:?}", row[0]),
                },
            })
            .collect::<Vec<_>>()
    })
    .collect()
}

fn kernel(mode: &str, argument: &str) -> Result<Machine> {
    let image = workspace().join(format!("target/image/{KERNEL}.elf"));
    if !image.exists() {
        return Err(format!("not built; EXAMPLE={KERNEL} tools/build-kernel.sh does it").into());
    }
    let machine = machine(3)?.append(format!("apic={mode} {argument}"));
    Ok(machine.image(image))
}

/// All permitted cells in one boot.
fn permitted(mode: &str) -> Result {
    let count = cells().into_iter().filter(|cell| cell.is_permitted).count();
    with(&kernel(mode, "permitted")?, |session| {
        session.expect(&format!("\n{count} cells passed"), TIMEOUT)?;
        session.expect_exit(Outcome::Kernel(0), TIMEOUT)?;
        Ok(())
    })
}

fn rejected(cell: &Cell) -> Result {
    let Cell {
        operation, context, ..
    } = cell;
    with(
        &kernel(MODES[0], &format!("cell={operation}/{context}"))?,
        |session| {
            session.expect_exit(STOPPED, TIMEOUT)?;
            let output = String::from_utf8_lossy(session.transcript().bytes()).into_owned();
            ensure!(
                output.contains(&format!("cell {operation}/{context}\r\n"))
                    && output.contains("context: ")
                    && output.contains("called in "),
                "the panic does not name the rule"
            );
            Ok(())
        },
    )
}

//! The command `help`, and the list of all commands.

use alloc::string::ToString;

use tocsin::{Machine, println};

use super::LISTS;
use crate::command::{Arguments, Command, CommandError};

/// The command `help`, which is the first of the list.
pub(super) const HELP: &[Command] = &[Command {
    name: "help",
    usage: "help [command]",
    help: "list the commands, or show how one is used",
    run: help,
    details: None,
}];

/// All commands.
pub(super) fn all() -> impl Iterator<Item = &'static Command> {
    let lists = LISTS.get().into_iter().flatten();
    HELP.iter().chain(lists.flat_map(|list| list.iter()))
}

/// Returns the command called `name`, or the first if there are several.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    all().find(|command| command.name == name)
}

/// The width of the usage column in the list. A longer usage has a line of its own.
const USAGE_WIDTH: usize = 20;

fn help(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    if let Some(name) = arguments.next_word() {
        arguments.end()?;
        let command = find(name).ok_or_else(|| CommandError::Unknown(name.to_string()))?;
        println!("{}\n    {}", command.usage, command.help);
        if let Some(show) = command.details {
            show();
        }
        return Ok(());
    }
    for command in all() {
        if command.usage.len() > USAGE_WIDTH {
            println!(
                "  {}\n  {:USAGE_WIDTH$} {}",
                command.usage, "", command.help
            );
        } else {
            println!("  {:USAGE_WIDTH$} {}", command.usage, command.help);
        }
    }
    println!(
        "Commands can be joined with `;`. Tab completes, the arrow keys recall earlier lines."
    );
    println!("With `json` as its last word, a command prints records for programs.");
    Ok(())
}

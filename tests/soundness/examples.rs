//! The examples of the documentation compile: those of the library's and the monitor's comments,
//! and those of README and `docs`.

use std::fs;
use std::path::{Path, PathBuf};

use tocsin_tools::workspace;

use crate::Result;

/// An example: its name, which is the file and the line, and the program.
pub type Example = (String, String);

/// The languages of code blocks that must compile.
const COMPILED: [&str; 2] = ["no_run", "rust"];

/// All examples.
pub fn all() -> Result<Vec<Example>> {
    let root = workspace();
    let mut files = vec![root.join("README.md")];
    for folder in ["kernel/src", "kernel/monitor/src", "docs"] {
        collect(&root.join(folder), &mut files)?;
    }
    let mut examples = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        let name = file.strip_prefix(root)?.display().to_string();
        let is_source = file.extension().is_some_and(|it| it == "rs");
        for (line, code) in blocks(&text, is_source) {
            examples.push((format!("{name}:{line}"), program(&code)));
        }
    }
    Ok(examples)
}

/// Adds the Rust and Markdown files below a folder, in the order of their names.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result {
    let entries = fs::read_dir(folder)?.collect::<std::result::Result<Vec<_>, _>>()?;
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|it| it == "rs" || it == "md") {
            files.push(path);
        }
    }
    Ok(())
}

/// The code blocks that must compile, with the line of each. In a source file they are in
/// documentation comments, where a line that begins with `# ` is not shown.
fn blocks(text: &str, is_source: bool) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, bool, String)> = None;
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim_start();
        let text = if is_source {
            let comment = text.strip_prefix("//!").or(text.strip_prefix("///"));
            let Some(comment) = comment else { continue };
            comment.strip_prefix(' ').unwrap_or(comment)
        } else {
            text
        };
        match (&mut open, text.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some((line, COMPILED.contains(&language), String::new()));
            }
            (None, None) => {}
            (Some(_), Some(_)) => {
                let (line, is_compiled, code) = open.take().expect("it is open");
                if is_compiled {
                    blocks.push((line, code));
                }
            }
            (Some((_, _, code)), None) => {
                let shown = text.strip_prefix("# ").filter(|_| is_source);
                code.push_str(shown.unwrap_or(text));
                code.push('\n');
            }
        }
    }
    blocks
}

/// The program of an example: itself, if it is one, or else a function with its statements.
fn program(code: &str) -> String {
    if code.contains("#![no_main]") {
        return code.to_owned();
    }
    let inner = code.replace("#![no_std]\n", "");
    format!(
        "#![no_std]\n#![allow(unused, non_local_definitions)]\nextern crate alloc;\n\
         pub fn example() -> Result<(), alloc::boxed::Box<dyn core::error::Error>> {{\n\
         {inner}Ok(())\n}}\n"
    )
}

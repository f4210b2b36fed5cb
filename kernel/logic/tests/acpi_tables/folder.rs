//! Tables in a folder of the user.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::{captures, reference, show, spoil, table_files};

/// Reads, prints, compares and spoils every table file of a folder.
fn run(folder: &Path) {
    let files = table_files(folder)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
    assert!(
        !files.is_empty(),
        "{} has no *.bin or *.dat file",
        folder.display()
    );
    let mut compared = 0;
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let bytes = fs::read(&file)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        println!("{name}");
        match show::table(&bytes) {
            Ok(text) => print!("{text}"),
            // A table may well be bad; that it is said is what counts.
            Err(error) => println!("   ! {error} ({}'s fault)", error.blame()),
        }
        if let Some(entries) = reference::compare(&bytes) {
            println!("   = the acpi crate reads the same {entries} entries");
            compared += 1;
        }
        spoil(&bytes);
    }
    println!("{compared} MADTs compared with the acpi crate");
}

#[test]
fn tables_in_the_folder_of_the_environment() {
    match env::var_os("ACPI_TABLES").filter(|folder| !folder.is_empty()) {
        Some(folder) => run(&from_workspace(folder.into())),
        None => println!("skipped: ACPI_TABLES names no folder"),
    }
}

#[test]
fn captured_tables() {
    run(&captures());
}

/// Tests run in their package's folder, but people give paths as seen from the
/// workspace's.
fn from_workspace(folder: PathBuf) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(folder)
}

//! Rules for the kernel's sources that the compiler does not check.
//!
//! Paths are read as tokens, so that they are seen in macros and expressions too, and not in
//! comments or strings.

mod contexts;
mod imports;
mod modules;

use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use tocsin_tools::workspace;

/// All source files below `dir`, each with its module's path.
fn files(dir: &Path, module: &[String]) -> Vec<(PathBuf, Vec<String>)> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut inner = module.to_vec();
        if path.is_dir() {
            inner.push(name);
            found.extend(files(&path, &inner));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            if name != "mod" {
                inner.push(name);
            }
            found.push((path, inner));
        }
    }
    found
}

fn tokens(path: &Path) -> TokenStream {
    let source = std::fs::read_to_string(path).unwrap();
    source
        .parse()
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The source files that run on the hardware: the library and the monitor.
fn hardware() -> impl Iterator<Item = PathBuf> {
    let crates = ["kernel/src", "kernel/monitor/src"];
    let all = crates.map(|path| files(&workspace().join(path), &[]));
    all.into_iter().flatten().map(|(path, _)| path)
}

/// Whether code takes `x86_64`'s own way to mask interrupts for a section.
fn masks_by_itself(source: &str) -> bool {
    source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .any(|line| {
            line.contains("interrupts::without_interrupts")
                || line.contains("x86_64") && line.contains("without_interrupts")
        })
}

/// Sections without interrupts go through `sync`, where the longest can be noted.
#[test]
fn interrupts_are_masked_where_it_is_noted() {
    // Noting is no section to be noted.
    let allowed = ["src/sync.rs", "src/priority/latency.rs"]
        .map(|file| workspace().join("kernel").join(file));
    let wrong: Vec<_> = hardware()
        .filter(|path| !allowed.contains(path))
        .filter(|path| masks_by_itself(&std::fs::read_to_string(path).unwrap()))
        .collect();
    assert!(
        wrong.is_empty(),
        "these use the `x86_64` crate's `without_interrupts` instead of `sync`'s: {wrong:?}"
    );
    assert!(masks_by_itself(
        "use x86_64::instructions::interrupts::without_interrupts;"
    ));
    assert!(masks_by_itself(
        "use x86_64::instructions::interrupts::{self, without_interrupts};"
    ));
    assert!(!masks_by_itself("crate::sync::without_interrupts(|| 1);"));
}

/// Accesses that code outside `hw` must not make itself: those of `hw` are compiler barriers, so
/// that a plain store before them is not moved behind the device's read.
fn accesses_devices_by_itself(source: &str) -> bool {
    let code = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<String>();
    let code = code.split_whitespace().collect::<String>();
    let names = [
        "instructions::port",
        "enable_and_hlt",
        "read_volatile",
        "write_volatile",
    ];
    names.iter().any(|name| code.contains(name))
}

/// Ports, registers and `hlt` go through `hw`.
#[test]
fn device_accesses_are_barriers_for_the_compiler() {
    // These modules read and write memory.
    let memory = [
        "src/trap/stack_use.rs",
        "src/panic/backtrace.rs",
        "monitor/src/drivers/virtio/queue.rs",
        "src/memory/stacks.rs",
        "monitor/src/commands/tlb.rs",
    ];
    let memory = memory.map(|file| workspace().join("kernel").join(file));
    let wrong: Vec<_> = hardware()
        .filter(|path| {
            !path.starts_with(workspace().join("kernel/src/hw")) && !memory.contains(path)
        })
        .filter(|path| accesses_devices_by_itself(&std::fs::read_to_string(path).unwrap()))
        .collect();
    assert!(
        wrong.is_empty(),
        "these access devices by other means than those of `hw`: {wrong:?}"
    );
    assert!(accesses_devices_by_itself(
        "use x86_64::instructions::\n    port::Port;"
    ));
    assert!(accesses_devices_by_itself(
        "unsafe { page.write_volatile(0) }"
    ));
    assert!(!accesses_devices_by_itself("// Like `write_volatile`."));
}

/// Whether code refers to a page table exclusively.
fn owns_page_tables(source: &str) -> bool {
    [
        "OffsetPageTable",
        "MappedPageTable",
        "RecursivePageTable",
        "mut PageTable",
    ]
    .iter()
    .any(|name| source.contains(name))
}

/// Page tables are walked while other CPUs change them, so there must be no exclusive reference to
/// one.
#[test]
fn page_tables_are_shared() {
    let wrong: Vec<_> = hardware()
        .filter(|path| owns_page_tables(&std::fs::read_to_string(path).unwrap()))
        .collect();
    assert!(
        wrong.is_empty(),
        "these have exclusive references to page tables, which other CPUs use: {wrong:?}"
    );
    assert!(owns_page_tables(
        "let root = unsafe { &mut *pointer::<PageTable>(root) }; root as &mut PageTable"
    ));
}

/// The examples in the documentation are files that are built.
#[test]
fn documented_kernels_are_those_that_are_built() {
    let read = |path: &str| std::fs::read_to_string(workspace().join(path)).unwrap();
    let readme = read("README.md");
    assert!(
        readme.contains(&read("kernel/monitor/examples/commands.rs")),
        "README.md does not have kernel/monitor/examples/commands.rs"
    );
    let library = read("kernel/src/lib.rs");
    let docs: String = library
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .flat_map(|line| [line.strip_prefix(' ').unwrap_or(line), "\n"])
        .collect();
    assert!(
        docs.contains(&read("kernel/examples/smallest.rs")),
        "kernel/src/lib.rs does not have kernel/examples/smallest.rs"
    );
}

/// The source files that the documentation names.
#[test]
fn documented_files_exist() {
    let mut pages = vec![
        workspace().join("README.md"),
        workspace().join("CONTRIBUTING.md"),
    ];
    for entry in std::fs::read_dir(workspace().join("docs")).unwrap() {
        pages.push(entry.unwrap().path());
    }
    let folders = ["kernel/", "tests/", "tools/", "benches/", "docs/"];
    let mut seen = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for name in text.split('`').skip(1).step_by(2) {
            let is_path = folders.iter().any(|folder| name.starts_with(folder));
            if is_path && !name.contains([' ', '*', 'N']) {
                seen += 1;
                let path = workspace().join(name);
                assert!(path.exists(), "{}: there is no {name}", page.display());
            }
        }
    }
    assert!(
        seen > 20,
        "only {seen} paths were found: the reader is broken"
    );
}

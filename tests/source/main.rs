//! Holds the order of the kernel's modules: each imports only from those before it.
//!
//! Paths are read as tokens, so that they are seen in macros and expressions too,
//! and not in comments or strings. A name that the crate's root only passes on
//! counts as an import from the module that it comes from.

mod contexts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use tocsin_tools::workspace;

/// The order that the design fixes; the kernel may put more modules in between.
const DESIGN: &[&str] = &[
    "hw", "boot", "memory", "cpu", "acpi", "apic", "smp", "irq", "pci", "iommu", "bench", "monitor",
];

/// What stands before the list of modules in the crate's documentation.
const LIST_BEGINS: &str = "Modules import only from those before them:";

/// The modules in the order in which they build on each other, as the crate's documentation
/// lists them.
fn order(root: &str) -> Vec<String> {
    let docs = root.lines().map_while(|line| line.strip_prefix("//!"));
    let docs = docs.collect::<Vec<_>>().join(" ");
    let (_, list) = docs
        .split_once(LIST_BEGINS)
        .expect("lib.rs lists its modules in order");
    let (list, _) = list
        .split_once('.')
        .expect("the list ends with a full stop");
    // Every second piece is between backquotes.
    list.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// An import: where it stands, and the name at the crate's root that it begins with.
#[derive(Debug, PartialEq, Eq)]
struct Import {
    line: usize,
    name: String,
}

/// All names at the crate's root that `tokens` mention by `crate::` or enough `super::`,
/// for a file whose module lies `depth` below the root.
fn imports(tokens: TokenStream, depth: usize, found: &mut Vec<Import>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        if let TokenTree::Group(group) = &tokens[at] {
            // Within `mod name { ... }`, `super` is one level less.
            let inline =
                group.delimiter() == Delimiter::Brace && at >= 2 && is(&tokens[at - 2], "mod");
            imports(group.stream(), depth + usize::from(inline), found);
        }
        let mut supers = 0;
        while is_at(&tokens, at + 3 * supers, "super") && is_path(&tokens, at + 3 * supers + 1) {
            supers += 1;
        }
        if supers > 0 {
            at += 3 * supers;
            if supers >= depth {
                names(tokens.get(at), found);
            }
            continue;
        }
        if is_at(&tokens, at, "crate") && is_path(&tokens, at + 1) {
            at += 3;
            names(tokens.get(at), found);
            continue;
        }
        at += 1;
    }
}

/// The first names of what follows `crate::`: one, or those in braces.
fn names(token: Option<&TokenTree>, found: &mut Vec<Import>) {
    match token {
        Some(TokenTree::Ident(name)) => found.push(Import {
            line: name.span().start().line,
            name: name.to_string(),
        }),
        Some(TokenTree::Group(group)) => {
            let mut first = true;
            for token in group.stream() {
                match &token {
                    TokenTree::Punct(comma) if comma.as_char() == ',' => first = true,
                    _ if first => {
                        names(Some(&token), found);
                        first = false;
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn is(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

fn is_at(tokens: &[TokenTree], at: usize, word: &str) -> bool {
    tokens.get(at).is_some_and(|token| is(token, word))
}

fn is_path(tokens: &[TokenTree], at: usize) -> bool {
    let colon =
        |at| matches!(tokens.get(at), Some(TokenTree::Punct(colon)) if colon.as_char() == ':');
    colon(at) && colon(at + 1)
}

/// The macros that `tokens` define.
fn macros(tokens: TokenStream) -> Vec<String> {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let definitions = tokens
        .windows(3)
        .filter(|window| is(&window[0], "macro_rules"));
    definitions.map(|window| window[2].to_string()).collect()
}

/// Where the names come from that the root passes on, as `pub use start::Machine`.
fn passed_on(root: TokenStream) -> BTreeMap<String, String> {
    let tokens: Vec<_> = root.into_iter().collect();
    let mut found = BTreeMap::new();
    for at in 0..tokens.len() {
        if !is(&tokens[at], "use") || !is_path(&tokens, at + 2) {
            continue;
        }
        let mut last = Vec::new();
        let statement = tokens[at + 1..]
            .iter()
            .take_while(|token| token.to_string() != ";");
        names(statement.last(), &mut last);
        found.extend(
            last.into_iter()
                .map(|name| (name.name, tokens[at + 1].to_string())),
        );
    }
    found
}

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

#[test]
fn kernel_modules_import_from_those_before_them() {
    let source = workspace().join("kernel/src");
    let files = files(&source, &[]);
    let mut origin = passed_on(tokens(&source.join("lib.rs")));
    for (path, module) in &files {
        for name in macros(tokens(path)) {
            origin.entry(name).or_insert_with(|| module[0].clone());
        }
    }
    let order = order(&std::fs::read_to_string(source.join("lib.rs")).unwrap());
    let place = |module: &str| order.iter().position(|known| *known == module);
    let is_module = |name: &str| files.iter().any(|(_, module)| module[0] == name);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, module) in &files {
        let module_name = module[0].as_str();
        if matches!(module_name, "lib" | "main") {
            continue;
        }
        let mut found = Vec::new();
        imports(tokens(path), module.len(), &mut found);
        let Some(here) = place(module_name) else {
            wrong.push(format!("module `{module_name}` has no place in the order"));
            continue;
        };
        for Import { line, name } in found {
            let from = origin.get(&name).unwrap_or(&name);
            let there = place(from);
            seen += usize::from(there.is_some());
            if there.is_none() && is_module(from) || there.is_some_and(|there| there > here) {
                let path = path.strip_prefix(workspace()).unwrap().display();
                wrong.push(format!(
                    "{path}:{line}: `{module_name}` imports {name}, of `{from}`"
                ));
            }
        }
    }
    wrong.dedup();
    let designed: Vec<_> = DESIGN.iter().filter_map(|module| place(module)).collect();
    assert!(
        designed.is_sorted(),
        "the order {order:?} is not that of the design, {DESIGN:?}"
    );
    assert!(
        designed.len() > 5,
        "modules are missing in the order {order:?}"
    );
    assert!(
        seen > 20,
        "only {seen} imports were found: the reader is broken"
    );
    assert!(
        wrong.is_empty(),
        "imports against the order {order:?}:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn imports_are_found_wherever_they_stand() {
    let source = r#"
        //! crate::comment
        use crate::hw::{self, crate_like};
        use crate::{boot::image, cpu, println};
        use super::sibling;
        fn f() {
            crate::memory::g();
            println!("crate::string {}", crate::time::now());
            super::super::stop::stop();
        }
        mod tests {
            use super::super::super::monitor;
            use super::super::near;
        }
    "#;
    let mut found = Vec::new();
    imports(source.parse().unwrap(), 2, &mut found);
    let names: Vec<_> = found.iter().map(|import| import.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "hw", "boot", "cpu", "println", "memory", "time", "stop", "monitor"
        ]
    );
    assert_eq!(found[0].line, 3);
}

#[test]
fn what_the_root_passes_on_is_traced() {
    let root = "pub use start::Machine; pub use a::{b, c::d}; use std::fmt;";
    let found = passed_on(root.parse().unwrap());
    assert_eq!(found["Machine"], "start");
    assert_eq!(found["b"], "a");
    let source = "#[macro_export] macro_rules! println { () => {} }";
    assert_eq!(macros(source.parse().unwrap()), ["println"]);
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
    let source = workspace().join("kernel/src");
    // Noting is no section to be noted.
    let allowed = ["sync.rs", "cpu/stretch.rs"].map(|file| source.join(file));
    let wrong: Vec<_> = files(&source, &[])
        .into_iter()
        .map(|(path, _)| path)
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
    let source = workspace().join("kernel/src");
    // These modules read and write memory.
    let memory = [
        "cpu/interrupt_stack.rs",
        "cpu/report.rs",
        "devices/virtio/queue.rs",
        "memory/stacks.rs",
        "monitor/tlb.rs",
    ];
    let memory = memory.map(|file| source.join(file));
    let wrong: Vec<_> = files(&source, &[])
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| !path.starts_with(source.join("hw")) && !memory.contains(path))
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
    let wrong: Vec<_> = files(&workspace().join("kernel/src"), &[])
        .into_iter()
        .map(|(path, _)| path)
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

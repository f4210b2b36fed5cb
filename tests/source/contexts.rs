//! The `Context:` lines: every public function of the library has one, with one of a few fixed
//! phrases, which agrees with the table in `docs/contexts.md`.

use std::collections::BTreeMap;
use std::path::Path;

use syn::{Attribute, Expr, ForeignItem, ImplItem, Item, Lit, Meta, TraitItem, Visibility};
use tocsin_tools::workspace;

use super::files;

/// Modules without an interface.
const PRIVATE: [&str; 4] = ["start", "commands", "shell", "virtio"];

/// The columns of the table.
const COLUMNS: [&str; 8] = [
    "thread", "IF=0", "ceiling", "handler", "callback", "called", "deferred", "NMI",
];

/// The classes of the columns that have one, as the table says; 0 is a thread that masks nothing.
const CLASSES: [Option<u8>; 8] = [
    Some(0),
    None,
    Some(9),
    Some(9),
    Some(14),
    Some(13),
    Some(2),
    None,
];

/// The columns in which a function with this phrase may be called; `None` for an unknown phrase.
fn permitted(phrase: &str) -> Option<[bool; 8]> {
    let (base, needs_if) = match phrase.strip_suffix(", interrupts enabled") {
        Some(base) => (base, true),
        None => (phrase, false),
    };
    let up_to = |limit: u8| CLASSES.map(|class| class.is_some_and(|class| class <= limit));
    let mut columns = match base {
        "any" => [true; 8],
        "any but NMI" => [true, true, true, true, true, true, true, false],
        "thread" => [true, false, false, false, false, false, false, false],
        "thread or handler" => up_to(15),
        "thread or handler up to the ceiling" => up_to(9),
        // The table's line is of class 9.
        "thread or handler below the line's class" => up_to(8),
        _ => up_to(
            base.strip_prefix("thread or handler up to class ")?
                .parse()
                .ok()?,
        ),
    };
    if base.starts_with("thread or handler") {
        columns[1] = !needs_if;
    } else if needs_if {
        return None;
    }
    Some(columns)
}

/// The phrase of the `Context:` line in a doc comment.
fn phrase(attributes: &[Attribute]) -> Option<String> {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Str(text) => Some(text.value()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        });
    let text = lines
        .map(|line| line.trim().to_owned())
        .collect::<Vec<_>>()
        .join("\n");
    let (_, after) = text.split_once("Context: ")?;
    let end = after.find(['.', ';', '('])?;
    Some(after[..end].trim().replace('\n', " "))
}

/// Adds the public functions of `items`, which are all named `module::Type::function`, with their
/// phrases.
fn functions(items: &[Item], module: &str, found: &mut BTreeMap<String, Vec<Option<String>>>) {
    let is_public = |visibility: &Visibility| matches!(visibility, Visibility::Public(_));
    for item in items {
        match item {
            Item::Fn(function) if is_public(&function.vis) => {
                found
                    .entry(format!("{module}::{}", function.sig.ident))
                    .or_default()
                    .push(phrase(&function.attrs));
            }
            Item::Impl(block) if block.trait_.is_none() => {
                let syn::Type::Path(path) = &*block.self_ty else {
                    continue;
                };
                let Some(name) = path.path.segments.last() else {
                    continue;
                };
                for item in &block.items {
                    if let ImplItem::Fn(function) = item
                        && is_public(&function.vis)
                    {
                        found
                            .entry(format!("{}::{}", name.ident, function.sig.ident))
                            .or_default()
                            .push(phrase(&function.attrs));
                    }
                }
            }
            Item::ForeignMod(block) => {
                for item in &block.items {
                    if let ForeignItem::Fn(function) = item
                        && is_public(&function.vis)
                    {
                        found
                            .entry(format!("{module}::{}", function.sig.ident))
                            .or_default()
                            .push(phrase(&function.attrs));
                    }
                }
            }
            Item::Mod(inner) if is_public(&inner.vis) => {
                if let Some((_, items)) = &inner.content {
                    functions(items, &inner.ident.to_string(), found);
                }
            }
            Item::Trait(definition) if is_public(&definition.vis) => {
                for item in &definition.items {
                    if let TraitItem::Fn(function) = item {
                        found
                            .entry(format!("{}::{}", definition.ident, function.sig.ident))
                            .or_default()
                            .push(phrase(&function.attrs));
                    }
                }
            }
            _ => {}
        }
    }
}

/// All public functions of the library and of the monitor, with their phrases.
fn library() -> BTreeMap<String, Vec<Option<String>>> {
    let mut found = BTreeMap::new();
    let crates = ["kernel/src", "kernel/monitor/src"].map(|path| workspace().join(path));
    for (path, module) in crates.iter().flat_map(|source| files(source, &[])) {
        if module.iter().any(|name| PRIVATE.contains(&name.as_str())) {
            continue;
        }
        let name = module.last().expect("a file has a name");
        functions(&parse(&path).items, name, &mut found);
    }
    found
}

fn parse(path: &Path) -> syn::File {
    let source = std::fs::read_to_string(path).unwrap();
    syn::parse_file(&source).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_public_function_states_its_context() {
    let library = library();
    assert!(
        library.len() > 150,
        "only {} functions were found: the reader is broken",
        library.len()
    );
    let wrong: Vec<_> = library
        .iter()
        .flat_map(|(name, phrases)| phrases.iter().map(move |phrase| (name, phrase)))
        .filter_map(|(name, phrase)| match phrase {
            None => Some(format!("{name}: no `Context:` line")),
            Some(phrase) if permitted(phrase).is_none() => {
                Some(format!("{name}: unknown context {phrase:?}"))
            }
            Some(_) => None,
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} functions:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn functions_and_the_table_agree() {
    let library = library();
    let page = std::fs::read_to_string(workspace().join("docs/contexts.md")).unwrap();
    let mut compared = 0;
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let columns: Vec<_> = row
            .trim()
            .trim_matches('|')
            .split('|')
            .map(str::trim)
            .collect();
        let cells: Vec<_> = columns[1..=COLUMNS.len()]
            .iter()
            .map(|cell| *cell == "yes")
            .collect();
        let names = columns[COLUMNS.len() + 1].split('`').skip(1).step_by(2);
        for name in names.filter(|name| name.contains("::")) {
            // The `lock` of `IrqMutex` comes from a crate.
            let Some(phrases) = library.get(name) else {
                assert!(
                    name.starts_with("IrqMutex::"),
                    "docs/contexts.md: there is no {name}"
                );
                continue;
            };
            // Two types of one name may have such a function.
            let mut output = phrases.iter().flatten();
            assert!(
                output.any(|phrase| permitted(phrase).map(Vec::from).as_ref() == Some(&cells)),
                "{name} says {phrases:?}; the table has another rule in its row {}",
                columns[0]
            );
            compared += 1;
        }
    }
    assert!(compared > 10, "only {compared} functions were compared");
}

#[test]
fn phrases_are_read_and_understood() {
    let source = "
        /// Does it.
        ///
        /// Context: thread or handler up to class
        /// 12, interrupts enabled. It waits.
        pub fn f() {}
        /// Context: any but NMI (takes a lock).
        pub fn g() {}
        pub fn h() {}
    ";
    let mut found = BTreeMap::new();
    functions(&syn::parse_file(source).unwrap().items, "m", &mut found);
    let expected = "thread or handler up to class 12, interrupts enabled";
    assert_eq!(found["m::f"], [Some(expected.to_owned())]);
    assert_eq!(found["m::g"], [Some("any but NMI".to_owned())]);
    assert_eq!(found["m::h"], [None]);
    let with = [true, false, true, true, false, false, true, false];
    assert_eq!(permitted(expected), Some(with));
    assert_eq!(permitted("somewhere"), None);
}

//! The order of the modules: each imports only from those before it, in each crate of the kernel;
//! and the files that import each other in a cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;
use proc_macro2::TokenStream;
use tocsin_tools::workspace;

use super::imports::{Import, imports, macros};
use super::{files, tokens};

/// What stands before the list of modules in a crate's documentation.
const LIST_BEGINS: &str = "Modules import only from those before them:";

/// The groups of files that import each other, each with its reason. No other file may join one.
const CYCLES: &[(&str, &[&str])] = &[
    (
        "an EOI may belong to an I/O APIC's input",
        &["apic::io", "apic::local", "apic::in_service"],
    ),
    (
        "a wait for another CPU executes its calls",
        &["ipi::call", "ipi::wait"],
    ),
    (
        "a storm masks the line that it watches",
        &["line::binding", "line::inner", "line::storm"],
    ),
    (
        "the cases call what runs them",
        &["commands::timers::cases", "commands::timers::test"],
    ),
];

/// A crate of the kernel.
struct Crate {
    root: PathBuf,
    /// The source files and their modules.
    files: Vec<(PathBuf, Vec<String>)>,
    /// Where the names come from that the root exports, as `pub use start::Machine`.
    origins: BTreeMap<String, String>,
}

impl Crate {
    fn read(path: &str) -> Self {
        let root = workspace().join(path);
        let files = files(&root, &[]);
        let mut origins = exported(tokens(&root.join("lib.rs")));
        for (path, module) in &files {
            for name in macros(tokens(path)) {
                origins.entry(name).or_insert_with(|| module[0].clone());
            }
        }
        Self {
            root,
            files,
            origins,
        }
    }

    /// The modules in the order in which they build on each other, as the crate's documentation
    /// lists them.
    fn order(&self) -> Vec<String> {
        let root = std::fs::read_to_string(self.root.join("lib.rs")).unwrap();
        let docs = root.lines().map_while(|line| line.strip_prefix("//!"));
        let docs = docs.collect::<Vec<_>>().join(" ");
        let (_, list) = docs
            .split_once(LIST_BEGINS)
            .expect("lib.rs lists its modules in order");
        let (list, _) = list
            .split_once('.')
            .expect("the list ends with a full stop");
        // Every second piece is between backquotes.
        let names = list.split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect()
    }

    /// The imports of one file, those of exported names from their origins.
    fn imports(&self, path: &Path, module: &[String]) -> Vec<Import> {
        let children: Vec<_> = self
            .files
            .iter()
            .filter(|(_, other)| other.len() == module.len() + 1 && other.starts_with(module))
            .map(|(_, other)| other[module.len()].clone())
            .collect();
        let mut found = imports(tokens(path), module, &children);
        for import in &mut found {
            if let Some(origin) = import.path.first().and_then(|name| self.origins.get(name)) {
                import.path.insert(0, origin.clone());
            }
        }
        found
    }

    /// The files except the root and those of tests, which import what they test.
    fn modules(&self) -> impl Iterator<Item = (&PathBuf, &[String])> {
        self.files
            .iter()
            .filter(|(_, module)| {
                let is_root = matches!(module[0].as_str(), "lib" | "main");
                !is_root && !module.iter().any(|name| name == "tests")
            })
            .map(|(path, module)| (path, module.as_slice()))
    }

    fn check_order(&self) {
        let order = self.order();
        let position = |module: &str| order.iter().position(|known| *known == module);
        let is_module = |name: &str| self.files.iter().any(|(_, module)| module[0] == name);
        let mut wrong = Vec::new();
        let mut seen = 0;
        for (path, module) in self.modules() {
            let own = module[0].as_str();
            let Some(here) = position(own) else {
                wrong.push(format!("module `{own}` has no position in the order"));
                continue;
            };
            let shown = path.strip_prefix(workspace()).unwrap().display();
            if std::fs::read_to_string(path)
                .unwrap()
                .contains("extern crate self")
            {
                wrong.push(format!("{shown}: another name for the crate"));
            }
            for import in self.imports(path, module) {
                let line = import.line;
                if import.is_of_root() {
                    wrong.push(format!(
                        "{shown}:{line}: a name for the crate's root, or all of it"
                    ));
                    continue;
                }
                let from = import.path[0].as_str();
                let there = position(from);
                seen += usize::from(there.is_some());
                if there.is_none() && !is_module(from) {
                    wrong.push(format!(
                        "{shown}:{line}: `{from}`, which is defined in the root"
                    ));
                }
                if there.is_none() && is_module(from) || there.is_some_and(|there| there > here) {
                    wrong.push(format!("{shown}:{line}: `{own}` imports from `{from}`"));
                }
            }
        }
        wrong.dedup();
        assert!(
            seen > 10,
            "only {seen} imports were found: the reader is broken"
        );
        assert!(
            wrong.is_empty(),
            "imports against the order {order:?}:\n{}",
            wrong.join("\n")
        );
    }

    /// The groups of files that import each other, by their modules' names.
    fn cycles(&self) -> Vec<BTreeSet<String>> {
        let mut graph = DiGraph::<String, ()>::new();
        let nodes: BTreeMap<Vec<String>, _> = self
            .modules()
            .map(|(_, module)| (module.to_vec(), graph.add_node(module.join("::"))))
            .collect();
        for (path, module) in self.modules() {
            for import in self.imports(path, module) {
                // The file is that of the longest module that the path begins with.
                let there = (1..=import.path.len())
                    .rev()
                    .find_map(|length| nodes.get(&import.path[..length]));
                // A module declares its children, and exports what is in them: that makes no cycle.
                if let Some(&there) = there
                    && !graph[there].starts_with(&format!("{}::", module.join("::")))
                {
                    graph.update_edge(nodes[module], there, ());
                }
            }
        }
        let groups = tarjan_scc(&graph)
            .into_iter()
            .filter(|group| group.len() > 1);
        groups
            .map(|group| group.into_iter().map(|node| graph[node].clone()).collect())
            .collect()
    }
}

/// Where the names come from that the root exports.
fn exported(root: TokenStream) -> BTreeMap<String, String> {
    let root: syn::File = syn::parse2(root).expect("lib.rs can be read");
    let mut found = BTreeMap::new();
    for item in root.items {
        if let syn::Item::Use(item) = item
            && let syn::UseTree::Path(path) = item.tree
        {
            let mut names = Vec::new();
            leaves(&path.tree, &mut names);
            let origin = path.ident.to_string();
            found.extend(names.into_iter().map(|name| (name, origin.clone())));
        }
    }
    found
}

fn leaves(tree: &syn::UseTree, names: &mut Vec<String>) {
    match tree {
        syn::UseTree::Path(path) => leaves(&path.tree, names),
        syn::UseTree::Name(name) => names.push(name.ident.to_string()),
        syn::UseTree::Rename(rename) => names.push(rename.rename.to_string()),
        syn::UseTree::Glob(_) => {}
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, names)),
    }
}

#[test]
fn library_modules_import_from_those_before_them() {
    Crate::read("kernel/src").check_order();
}

#[test]
fn logic_modules_import_from_those_before_them() {
    Crate::read("kernel/logic/src").check_order();
}

#[test]
fn monitor_modules_import_from_those_before_them() {
    Crate::read("kernel/monitor/src").check_order();
}

#[test]
fn import_cycles_are_known() {
    let crates = ["kernel/src", "kernel/logic/src", "kernel/monitor/src"];
    let mut found: Vec<_> = crates
        .into_iter()
        .flat_map(|path| Crate::read(path).cycles())
        .collect();
    let mut known: Vec<BTreeSet<_>> = CYCLES
        .iter()
        .map(|(_, names)| names.iter().map(|name| (*name).to_owned()).collect())
        .collect();
    found.sort();
    known.sort();
    assert_eq!(
        found, known,
        "files that import each other in a cycle (left), and those that are known"
    );
}

#[test]
fn what_the_root_exports_is_traced() {
    let root = "pub use start::Machine; pub use a::{b, c::d};";
    let found = exported(root.parse().unwrap());
    assert_eq!(found["Machine"], "start");
    assert_eq!(found["b"], "a");
    assert_eq!(found["d"], "a");
}

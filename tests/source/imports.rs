//! The imports of a source file: `use` items, resolved to paths from the crate's root, and paths in code and macros.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::UseTree;

/// A path that a file mentions, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    pub line: usize,
    /// The names from the crate's root on; `*` for all of a module. Empty for the root itself.
    pub path: Vec<String>,
}

impl Import {
    /// Whether it names the crate's root or all that is in it. Then the file could use any module by another name.
    pub fn is_of_root(&self) -> bool {
        matches!(self.path.as_slice(), [] | [_] if self.path.first().is_none_or(|name| name == "*"))
    }
}

/// All that `tokens` import from their own crate, for a file of this module.
pub fn imports(tokens: TokenStream, module: &[String]) -> Vec<Import> {
    let mut found = Vec::new();
    collect(tokens, module, &mut found);
    found
}

fn collect(tokens: TokenStream, module: &[String], found: &mut Vec<Import>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        if let TokenTree::Group(group) = &tokens[at] {
            let mut inner = module.to_vec();
            let is_module =
                group.delimiter() == Delimiter::Brace && at >= 2 && is(&tokens[at - 2], "mod");
            if is_module {
                inner.push(tokens[at - 1].to_string());
            }
            collect(group.stream(), &inner, found);
            at += 1;
        } else if is(&tokens[at], "use") {
            let length = tokens[at..]
                .iter()
                .take_while(|token| token.to_string() != ";")
                .count();
            let end = (at + length + 1).min(tokens.len());
            let item: TokenStream = tokens[at..end].iter().cloned().collect();
            // In a macro's definition it may be no item.
            if let Ok(item) = syn::parse2::<syn::ItemUse>(item) {
                let line = tokens[at].span().start().line;
                expand(&item.tree, &mut Vec::new(), module, line, found);
            }
            at = end;
        } else {
            at += path(&tokens[at..], module, found);
        }
    }
}

/// Notes a path in code that begins with `crate` or `super`. Returns how many tokens it has, at least one.
fn path(tokens: &[TokenTree], module: &[String], found: &mut Vec<Import>) -> usize {
    let begins = is(&tokens[0], "crate") || is(&tokens[0], "super");
    if !begins || !is_separator(tokens, 1) {
        return 1;
    }
    let mut names = vec![tokens[0].to_string()];
    let mut at = 1;
    while is_separator(tokens, at)
        && let Some(TokenTree::Ident(name)) = tokens.get(at + 2)
    {
        names.push(name.to_string());
        at += 3;
    }
    note(&names, module, tokens[0].span().start().line, found);
    at
}

/// Notes all paths of a `use` item.
fn expand(
    tree: &UseTree,
    before: &mut Vec<String>,
    module: &[String],
    line: usize,
    found: &mut Vec<Import>,
) {
    let mut leaf = |name: String| {
        let mut names = before.clone();
        names.push(name);
        note(&names, module, line, found);
    };
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            expand(&path.tree, before, module, line, found);
            before.pop();
        }
        UseTree::Name(name) => leaf(name.ident.to_string()),
        UseTree::Rename(rename) => leaf(rename.ident.to_string()),
        UseTree::Glob(_) => leaf("*".to_owned()),
        UseTree::Group(group) => {
            for tree in &group.items {
                expand(tree, before, module, line, found);
            }
        }
    }
}

/// Resolves `crate`, `self` and `super`. Paths into other crates are left out.
fn note(names: &[String], module: &[String], line: usize, found: &mut Vec<Import>) {
    let mut place = match names[0].as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.to_vec(),
        _ => return,
    };
    for name in names {
        match name.as_str() {
            "crate" | "self" => {}
            "super" => {
                place.pop();
            }
            name => place.push(name.to_owned()),
        }
    }
    found.push(Import { line, path: place });
}

fn is(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    let colon =
        |at| matches!(tokens.get(at), Some(TokenTree::Punct(colon)) if colon.as_char() == ':');
    colon(at) && colon(at + 1)
}

/// The macros that `tokens` define.
pub fn macros(tokens: TokenStream) -> Vec<String> {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let definitions = tokens
        .windows(3)
        .filter(|window| is(&window[0], "macro_rules"));
    definitions.map(|window| window[2].to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str, module: &str) -> Vec<String> {
        let module: Vec<_> = module.split("::").map(str::to_owned).collect();
        let found = imports(source.parse().unwrap(), &module);
        let paths = found.iter().map(|import| import.path.join("::"));
        paths.collect()
    }

    #[test]
    fn imports_are_found_wherever_they_stand() {
        let source = r#"
            //! crate::comment
            use crate::hw::{self, crate_like};
            use crate::{boot::image, cpu as processor, println};
            use super::sibling;
            use core::fmt;
            fn f() {
                crate::memory::g();
                println!("crate::string {}", crate::time::now());
                super::super::stop::stop();
            }
            mod inner {
                use super::super::super::monitor;
                use super::super::near;
            }
        "#;
        assert_eq!(
            found(source, "a::b"),
            [
                "hw",
                "hw::crate_like",
                "boot::image",
                "cpu",
                "println",
                "a::sibling",
                "memory::g",
                "time::now",
                "stop::stop",
                "monitor",
                "a::near"
            ]
        );
    }

    #[test]
    fn every_name_of_the_root_is_noticed() {
        for (source, module) in [
            ("use crate as root;", "a"),
            ("use crate::{self as root};", "a"),
            ("use crate::*;", "a"),
            ("use super::*;", "a"),
            ("use super as root;", "a"),
            ("use super::super as root;", "a::b"),
            ("use super::{super::*};", "a::b"),
            ("mod inner { use super::super::*; }", "a"),
        ] {
            let module: Vec<_> = module.split("::").map(str::to_owned).collect();
            let found = imports(source.parse().unwrap(), &module);
            assert!(found.iter().all(Import::is_of_root), "{source}: {found:?}");
            assert!(!found.is_empty(), "{source}");
        }
        // Nested groups lead out of the module too.
        assert_eq!(found("use super::{super::irq};", "a::b"), ["irq"]);
        let inner: Vec<_> = ["a".to_owned()].into();
        let allowed = imports("mod tests { use super::*; }".parse().unwrap(), &inner);
        assert!(!allowed[0].is_of_root(), "all of the file's own module");
    }

    #[test]
    fn macros_are_found() {
        let source = "#[macro_export] macro_rules! println { () => {} }";
        assert_eq!(macros(source.parse().unwrap()), ["println"]);
    }
}

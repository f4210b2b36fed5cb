//! The imports of a source file: `use` items, resolved to paths from the crate's root, and paths in
//! code and macros.

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
    /// Whether it names the crate's root or all that is in it. Then the file could use any module
    /// by another name.
    pub fn is_of_root(&self) -> bool {
        matches!(self.path.as_slice(), [] | [_] if self.path.first().is_none_or(|name| name == "*"))
    }
}

/// All that `tokens` import from their own crate, for a file of this module. Paths may also begin
/// with one of the module's `children`.
pub fn imports(tokens: TokenStream, module: &[String], children: &[String]) -> Vec<Import> {
    let mut reader = Reader {
        children,
        found: Vec::new(),
    };
    reader.collect(tokens, module);
    reader.found
}

struct Reader<'a> {
    children: &'a [String],
    found: Vec<Import>,
}

impl Reader<'_> {
    fn collect(&mut self, tokens: TokenStream, module: &[String]) {
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
                self.collect(group.stream(), &inner);
                at += 1;
            } else if let Some((item, length)) = use_item(&tokens[at..]) {
                let line = tokens[at].span().start().line;
                self.expand(&item.tree, &mut Vec::new(), module, line);
                at += length;
            } else {
                at += self.path(&tokens[at..], module);
            }
        }
    }

    /// Notes a path in code that begins with `crate` or `super`. Returns how many tokens it has, at
    /// least one.
    fn path(&mut self, tokens: &[TokenTree], module: &[String]) -> usize {
        let is_child = |token: &TokenTree| matches!(token, TokenTree::Ident(name) if self.children.iter().any(|child| name == child));
        let begins = is(&tokens[0], "crate") || is(&tokens[0], "super") || is_child(&tokens[0]);
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
        self.note(&names, module, tokens[0].span().start().line);
        // A path in a path, as `other::child::name`, is not read twice.
        at
    }

    /// Notes all paths of a `use` item.
    fn expand(&mut self, tree: &UseTree, before: &mut Vec<String>, module: &[String], line: usize) {
        let mut leaf = |name: String| {
            let mut names = before.clone();
            names.push(name);
            self.note(&names, module, line);
        };
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.expand(&path.tree, before, module, line);
                before.pop();
            }
            UseTree::Name(name) => leaf(name.ident.to_string()),
            UseTree::Rename(rename) => leaf(rename.ident.to_string()),
            UseTree::Glob(_) => leaf("*".to_owned()),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.expand(tree, before, module, line);
                }
            }
        }
    }

    /// Resolves `crate`, `self` and `super`. Paths into other crates are left out.
    fn note(&mut self, names: &[String], module: &[String], line: usize) {
        let mut path = match names[0].as_str() {
            "crate" => Vec::new(),
            "self" | "super" => module.to_vec(),
            name if self.children.iter().any(|child| child == name) => module.to_vec(),
            _ => return,
        };
        for name in names {
            match name.as_str() {
                "crate" | "self" => {}
                "super" => {
                    path.pop();
                }
                name => path.push(name.to_owned()),
            }
        }
        self.found.push(Import { line, path });
    }
}

/// The `use` item that `tokens` begin with, and its length. In `impl Trait + use<'_>`, and in the
/// definitions of some macros, `use` begins no item.
fn use_item(tokens: &[TokenTree]) -> Option<(syn::ItemUse, usize)> {
    if !is(&tokens[0], "use") {
        return None;
    }
    let length = tokens.iter().position(|token| token.to_string() == ";")? + 1;
    let item = syn::parse2(tokens[..length].iter().cloned().collect());
    Some((item.ok()?, length))
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
        let found = imports(source.parse().unwrap(), &module, &["child".to_owned()]);
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
            let found = imports(source.parse().unwrap(), &module, &[]);
            assert!(found.iter().all(Import::is_of_root), "{source}: {found:?}");
            assert!(!found.is_empty(), "{source}");
        }
        // Nested groups lead out of the module too.
        assert_eq!(found("use super::{super::irq};", "a::b"), ["irq"]);
        let inner: Vec<_> = ["a".to_owned()].into();
        let allowed = imports("mod tests { use super::*; }".parse().unwrap(), &inner, &[]);
        assert!(!allowed[0].is_of_root(), "all of the file's own module");
    }

    #[test]
    fn paths_that_begin_with_a_child_are_found() {
        let source = "pub use child::{One, two}; fn f() { child::g(); other::child::h(); }";
        let expected = [
            "a::child::One",
            "a::child::two",
            "a::child::g",
            "a::child::h",
        ];
        assert_eq!(found(source, "a"), expected);
    }

    #[test]
    fn code_after_what_is_no_item_is_read() {
        let source =
            "impl A { fn f() -> impl B + use<'_> { crate::x::y() } fn g() { crate::z::w(); } }";
        assert_eq!(found(source, "a"), ["x::y", "z::w"]);
        let source = "macro_rules! m { () => { use $crate::x::y; } }";
        assert_eq!(found(source, "a"), ["x::y"]);
    }

    #[test]
    fn macros_are_found() {
        let source = "#[macro_export] macro_rules! println { () => {} }";
        assert_eq!(macros(source.parse().unwrap()), ["println"]);
    }
}

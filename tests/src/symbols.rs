//! The kernel's functions, read from its ELF file on the host.

use std::ops::Range;

use object::{Object as _, ObjectSymbol as _, SymbolKind};
use tocsin_tools::workspace;

use crate::report::Code;

/// The functions of the kernel image.
#[derive(Debug)]
pub struct Symbols {
    functions: Vec<(Range<u64>, String)>,
}

impl Symbols {
    /// Reads the functions of the image that all tests boot.
    ///
    /// # Errors
    ///
    /// The image cannot be read, or is not an ELF file.
    pub fn of_the_image() -> Result<Self, String> {
        let path = workspace().join("target/image/tocsin.elf");
        let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let file = object::File::parse(&*bytes).map_err(|e| format!("{}: {e}", path.display()))?;
        // Assembly labels have no type.
        let of_code = |kind| matches!(kind, SymbolKind::Text | SymbolKind::Unknown);
        let functions = file.symbols().filter(|symbol| of_code(symbol.kind()));
        let functions = functions.map(|symbol| {
            let name = symbol.name().unwrap_or_default();
            // Without rustc's hash, which the kernel also omits.
            let name = format!("{:#}", rustc_demangle::demangle(name));
            (symbol.address()..symbol.address() + symbol.size(), name)
        });
        Ok(Self {
            functions: functions.collect(),
        })
    }

    /// The address of the function of this name.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<u64> {
        let mut known = self.functions.iter();
        known
            .find(|(_, known)| known == name)
            .map(|(range, _)| range.start)
    }

    /// Checks the kernel's name for an address in its code. If the linker merged several functions,
    /// any of their names is valid.
    ///
    /// # Errors
    ///
    /// The ELF file has a different name.
    pub fn check(&self, code: &Code) -> Result<(), String> {
        let here = || {
            self.functions
                .iter()
                .filter(|(range, _)| range.contains(&code.address))
        };
        match &code.symbol {
            Some((name, offset)) => {
                let right = here()
                    .any(|(range, known)| known == name && range.start + offset == code.address);
                // Assembly labels have no size; then the name must begin at the kernel's address.
                let label = self.functions.iter().any(|(range, known)| {
                    known == name && range.is_empty() && range.start + offset == code.address
                });
                if right || label {
                    return Ok(());
                }
                let known: Vec<_> = here().map(|(_, known)| known).collect();
                Err(format!("{code:x?} is {known:?} by the ELF file"))
            }
            None => match here().next() {
                Some((_, known)) => Err(format!("{code:x?} has no name, but is {known}")),
                None => Ok(()),
            },
        }
    }
}

//! Symbol names of addresses, from the symbol table of the kernel's own ELF file.

use core::fmt;

use spin::Once;
use tocsin_logic::symbols::{Symbol, Symbols, SymbolsError};

static SYMBOLS: Once<Symbols<'static>> = Once::new();

/// Loads the symbols of `file`, the ELF file that the loader left in memory.
///
/// # Errors
///
/// [`SymbolsError`], if the file is not an ELF file with symbols; addresses then have no names.
pub(crate) fn load(file: &'static [u8]) -> Result<(), SymbolsError> {
    let symbols = Symbols::parse(file)?;
    SYMBOLS.call_once(|| symbols);
    Ok(())
}

/// An address in the kernel's code, shown with the function it is in.
#[derive(Clone, Copy, Debug)]
pub struct Code(pub u64);

impl Code {
    /// The function that contains the address, if its name is known.
    ///
    /// Context: any.
    #[must_use]
    pub fn symbol(self) -> Option<Symbol<'static>> {
        SYMBOLS.get()?.lookup(self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)?;
        match self.symbol() {
            Some(symbol) => write!(f, "  {}", symbol.at(self.0)),
            None => Ok(()),
        }
    }
}

//! Symbol lookup for addresses, in the kernel's own ELF file.
//!
//! The boot loader provides the file, so it is not trusted: an invalid file causes an error or no
//! names, never a panic. No index is built; a lookup scans the symbol table, because it occurs only
//! in a fault report and must not need memory there.

use core::fmt;
use elf::abi::{SHF_EXECINSTR, SHN_LORESERVE, SHN_UNDEF, STT_FUNC, STT_NOTYPE};
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::section::{SectionHeader, SectionHeaderTable};
use elf::string_table::StringTable;
use elf::symbol::SymbolTable;
use elf::{ElfBytes, ParseError};

#[cfg(test)]
mod tests;

/// The reason why a file has no symbols.
#[derive(Debug)]
pub enum SymbolsError {
    /// Not a little-endian ELF file, or damaged.
    Elf(ParseError),
    /// A valid ELF file, but not for 64-bit x86.
    NotX86_64,
    /// There is no `.symtab` section: the file is stripped.
    NoSymbolTable,
}

impl fmt::Display for SymbolsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elf(error) => write!(f, "the file cannot be read as ELF: {error}"),
            Self::NotX86_64 => f.write_str("the ELF file is not for 64-bit x86"),
            Self::NoSymbolTable => {
                f.write_str("the ELF file has no .symtab section; keep it when stripping")
            }
        }
    }
}

impl core::error::Error for SymbolsError {}

impl From<ParseError> for SymbolsError {
    fn from(error: ParseError) -> Self {
        Self::Elf(error)
    }
}

/// The function symbols of an ELF file.
#[derive(Debug)]
pub struct Symbols<'a> {
    table: SymbolTable<'a, LittleEndian>,
    names: StringTable<'a>,
    sections: SectionHeaderTable<'a, LittleEndian>,
}

/// A function or an assembly label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// The linker's name, mangled.
    pub name: &'a str,
    /// Its first address.
    pub address: u64,
    /// Its size in bytes; 0 for an assembly label without a size.
    pub size: u64,
}

impl<'a> Symbol<'a> {
    /// Displays an address as this symbol and the offset from it: `trap_entry+0x1c`.
    #[must_use]
    pub fn at(self, address: u64) -> impl fmt::Display + 'a {
        SymbolAt {
            symbol: self,
            offset: address.wrapping_sub(self.address),
        }
    }
}

/// The name, demangled and without its hash.
impl fmt::Display for Symbol<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", rustc_demangle::demangle(self.name))
    }
}

struct SymbolAt<'a> {
    symbol: Symbol<'a>,
    offset: u64,
}

impl fmt::Display for SymbolAt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:#x}", self.symbol, self.offset)
    }
}

/// A table entry that can name code.
#[derive(Clone, Copy)]
struct Candidate {
    name: u32,
    address: u64,
    size: u64,
    section: u16,
}

impl Candidate {
    fn covers(&self, address: u64) -> bool {
        address
            .checked_sub(self.address)
            .is_some_and(|offset| offset < self.size)
    }
}

impl<'a> Symbols<'a> {
    /// Reads the headers of an ELF file.
    ///
    /// # Errors
    ///
    /// [`SymbolsError`], for anything that is not a 64-bit x86 ELF file with a
    /// symbol table.
    pub fn parse(file: &'a [u8]) -> Result<Self, SymbolsError> {
        let elf = ElfBytes::<LittleEndian>::minimal_parse(file)?;
        if elf.ehdr.class != Class::ELF64 || elf.ehdr.e_machine != elf::abi::EM_X86_64 {
            return Err(SymbolsError::NotX86_64);
        }
        let (table, names) = elf.symbol_table()?.ok_or(SymbolsError::NoSymbolTable)?;
        let sections = elf.section_headers().ok_or(SymbolsError::NoSymbolTable)?;
        Ok(Self {
            table,
            names,
            sections,
        })
    }

    /// The function that contains an address.
    ///
    /// It is the innermost symbol whose range covers the address, or else the nearest preceding
    /// label in the section, if that label has no size. A sized function that ends before the
    /// address is not returned.
    #[must_use]
    pub fn lookup(&self, address: u64) -> Option<Symbol<'a>> {
        let section = self.section_of(address);
        let mut covering: Option<Candidate> = None;
        let mut nearest: Option<Candidate> = None;
        for candidate in self.candidates().filter(|c| c.address <= address) {
            let best = if candidate.covers(address) {
                &mut covering
            } else if section == Some(candidate.section) {
                &mut nearest
            } else {
                continue;
            };
            // A label at the start of a sized function does not extend beyond the function.
            let rank = |c: Candidate| (c.address, c.size);
            if best.is_none_or(|best| rank(best) < rank(candidate)) {
                *best = Some(candidate);
            }
        }
        let found = covering.or(nearest.filter(|label| label.size == 0))?;
        let name = self.names.get(found.name as usize).ok()?;
        Some(Symbol {
            name,
            address: found.address,
            size: found.size,
        })
    }

    /// The symbols that can name code: functions and untyped labels that are defined in a section
    /// and have a name.
    fn candidates(&self) -> impl Iterator<Item = Candidate> {
        self.table
            .iter()
            .filter(|s| matches!(s.st_symtype(), STT_FUNC | STT_NOTYPE))
            .filter(|s| s.st_shndx != SHN_UNDEF && s.st_shndx < SHN_LORESERVE && s.st_name != 0)
            .map(|s| Candidate {
                name: s.st_name,
                address: s.st_value,
                size: s.st_size,
                section: s.st_shndx,
            })
    }

    /// The index of the code section that contains an address.
    fn section_of(&self, address: u64) -> Option<u16> {
        let holds = |section: &SectionHeader| {
            section.sh_flags & u64::from(SHF_EXECINSTR) != 0
                && address
                    .checked_sub(section.sh_addr)
                    .is_some_and(|at| at < section.sh_size)
        };
        let index = self.sections.iter().position(|section| holds(&section))?;
        u16::try_from(index).ok()
    }
}

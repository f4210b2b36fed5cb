use super::{Symbol, Symbols, SymbolsError};
use elf::abi::{
    EM_AARCH64, EM_X86_64, SHF_ALLOC, SHF_EXECINSTR, SHN_ABS, SHT_NOBITS, SHT_NULL, SHT_PROGBITS,
    SHT_STRTAB, SHT_SYMTAB, STT_FUNC, STT_NOTYPE, STT_OBJECT,
};
use proptest::prelude::*;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

const TEXT: u64 = 0xffff_ffff_8020_0000;
const TEXT_SIZE: u64 = 0x1000;
const DATA: u64 = TEXT + TEXT_SIZE;

/// Section indices of [`file`].
const IN_TEXT: u16 = 1;
const IN_DATA: u16 = 2;

/// A section header, of 64 bytes.
fn section(kind: u32, flags: u32, address: u64, offset: u64, size: u64, link: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    for word in [u64::from(flags), address, offset, size] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(link.to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    let entry_size: u64 = if kind == SHT_SYMTAB { 24 } else { 0 };
    bytes.extend(1_u64.to_le_bytes());
    bytes.extend(entry_size.to_le_bytes());
    bytes
}

/// An ELF file with a code section, a data section and these symbols: name, type,
/// section, address, size.
fn file(symbols: &[(&str, u8, u16, u64, u64)]) -> Vec<u8> {
    let mut names = Vec::from([0]);
    let mut table = Vec::from([0; 24]);
    for &(name, kind, section, address, size) in symbols {
        table.extend((names.len() as u32).to_le_bytes());
        table.extend([kind, 0]);
        table.extend(section.to_le_bytes());
        table.extend(address.to_le_bytes());
        table.extend(size.to_le_bytes());
        names.extend(name.as_bytes());
        names.push(0);
    }
    let (table_at, names_at) = (64, 64 + table.len() as u64);
    let headers_at = names_at + names.len() as u64;

    let mut bytes = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    bytes.extend(2_u16.to_le_bytes());
    bytes.extend(EM_X86_64.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    for word in [TEXT, 0, headers_at] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 0, 64, 5, 0] {
        bytes.extend(half.to_le_bytes());
    }
    assert_eq!(bytes.len(), 64);
    bytes.extend(&table);
    bytes.extend(&names);
    let code = SHF_ALLOC | SHF_EXECINSTR;
    bytes.extend(section(SHT_NULL, 0, 0, 0, 0, 0));
    bytes.extend(section(SHT_PROGBITS, code, TEXT, 0, TEXT_SIZE, 0));
    bytes.extend(section(SHT_NOBITS, SHF_ALLOC, DATA, 0, 0x1000, 0));
    bytes.extend(section(SHT_SYMTAB, 0, 0, table_at, table.len() as u64, 4));
    bytes.extend(section(SHT_STRTAB, 0, 0, names_at, names.len() as u64, 0));
    bytes
}

fn name_at(file: &[u8], address: u64) -> Option<String> {
    let symbols = Symbols::parse(file).unwrap();
    let symbol = symbols.lookup(address)?;
    Some(symbol.at(address).to_string())
}

#[test]
fn a_function_covers_its_range_and_nothing_else() {
    let file = file(&[
        ("first", STT_FUNC, IN_TEXT, TEXT, 0x20),
        ("second", STT_FUNC, IN_TEXT, TEXT + 0x40, 0x20),
    ]);
    for (offset, name) in [
        (0x00, Some("first+0x0")),
        (0x1f, Some("first+0x1f")),
        (0x20, None),
        (0x3f, None),
        (0x40, Some("second+0x0")),
        (0x5f, Some("second+0x1f")),
        (0x60, None),
    ] {
        assert_eq!(
            name_at(&file, TEXT + offset).as_deref(),
            name,
            "{offset:#x}"
        );
    }
    assert_eq!(name_at(&file, TEXT - 1), None);
    assert_eq!(name_at(&file, 0), None);
    assert_eq!(name_at(&file, u64::MAX), None);
}

#[test]
fn lookup_gives_name_address_and_size() {
    let file = file(&[("entry", STT_FUNC, IN_TEXT, TEXT + 8, 4)]);
    let symbols = Symbols::parse(&file).unwrap();
    let expected = Symbol {
        name: "entry",
        address: TEXT + 8,
        size: 4,
    };
    assert_eq!(symbols.lookup(TEXT + 9), Some(expected));
}

#[test]
fn a_label_without_a_size_reaches_to_the_next_symbol() {
    let file = file(&[
        ("sized", STT_FUNC, IN_TEXT, TEXT + 0x40, 0x10),
        ("stub", STT_NOTYPE, IN_TEXT, TEXT, 0),
        ("other_stub", STT_NOTYPE, IN_TEXT, TEXT + 0x20, 0),
    ]);
    for (offset, name) in [
        (0x00, Some("stub+0x0")),
        (0x1f, Some("stub+0x1f")),
        (0x20, Some("other_stub+0x0")),
        (0x3f, Some("other_stub+0x1f")),
        (0x4f, Some("sized+0xf")),
        // A label before a function does not extend beyond it.
        (0x50, None),
    ] {
        assert_eq!(
            name_at(&file, TEXT + offset).as_deref(),
            name,
            "{offset:#x}"
        );
    }
}

#[test]
fn a_label_ends_with_its_section() {
    let file = file(&[("last", STT_NOTYPE, IN_TEXT, TEXT + TEXT_SIZE - 4, 0)]);
    assert_eq!(name_at(&file, DATA - 1).as_deref(), Some("last+0x3"));
    assert_eq!(name_at(&file, DATA), None);
}

#[test]
fn a_label_inside_a_function_does_not_hide_it() {
    let file = file(&[
        ("outer", STT_FUNC, IN_TEXT, TEXT, 0x100),
        ("label", STT_NOTYPE, IN_TEXT, TEXT + 0x40, 0),
        ("inner", STT_FUNC, IN_TEXT, TEXT + 0x80, 0x10),
    ]);
    assert_eq!(name_at(&file, TEXT + 0x50).as_deref(), Some("outer+0x50"));
    assert_eq!(name_at(&file, TEXT + 0x88).as_deref(), Some("inner+0x8"));
    assert_eq!(name_at(&file, TEXT + 0x90).as_deref(), Some("outer+0x90"));
}

#[test]
fn a_label_at_the_start_of_a_function_ends_with_it() {
    for (first, second) in [(0, 1), (1, 0)] {
        let symbols = [
            ("text_start", STT_NOTYPE, IN_TEXT, TEXT, 0),
            ("main", STT_FUNC, IN_TEXT, TEXT, 0x10),
        ];
        let file = file(&[symbols[first], symbols[second]]);
        assert_eq!(name_at(&file, TEXT).as_deref(), Some("main+0x0"));
        assert_eq!(name_at(&file, TEXT + 0x10), None);
    }
}

#[test]
fn data_absolute_and_undefined_symbols_name_no_code() {
    let file = file(&[
        ("object", STT_OBJECT, IN_TEXT, TEXT, 0x10),
        ("absolute", STT_NOTYPE, SHN_ABS, TEXT, 0),
        ("absolute_function", STT_FUNC, SHN_ABS, TEXT, 0x10),
        ("undefined", STT_FUNC, 0, TEXT, 0x10),
        ("data_label", STT_NOTYPE, IN_DATA, DATA, 0),
    ]);
    assert_eq!(name_at(&file, TEXT), None);
    assert_eq!(name_at(&file, DATA + 4), None);
}

#[test]
fn a_function_at_the_top_of_the_address_space_does_not_wrap() {
    let file = file(&[("top", STT_FUNC, IN_TEXT, u64::MAX - 1, 0x100)]);
    assert_eq!(name_at(&file, u64::MAX).as_deref(), Some("top+0x1"));
    assert_eq!(name_at(&file, 0x10), None);
}

#[test]
fn names_are_demangled_without_their_hash() {
    for (mangled, name) in [
        (
            "_ZN6tocsin3cpu5entry17h0123456789abcdefE",
            "tocsin::cpu::entry",
        ),
        ("_RNvNtCs1234_6tocsin3cpu5entry", "tocsin::cpu::entry"),
        ("trap_entry", "trap_entry"),
    ] {
        let file = file(&[(mangled, STT_FUNC, IN_TEXT, TEXT, 0x10)]);
        let symbols = Symbols::parse(&file).unwrap();
        let symbol = symbols.lookup(TEXT + 4).unwrap();
        assert_eq!(symbol.name, mangled);
        assert_eq!(symbol.to_string(), name);
        assert_eq!(symbol.at(TEXT + 4).to_string(), format!("{name}+0x4"));
    }
}

#[test]
fn files_that_are_wrong_say_how() {
    let error = |bytes: &[u8]| Symbols::parse(bytes).unwrap_err();
    assert!(matches!(error(b""), SymbolsError::Elf(_)));
    assert!(matches!(
        error(b"not an ELF file, but longer than its header is, which has 64 bytes"),
        SymbolsError::Elf(_)
    ));
    let good = file(&[("a", STT_FUNC, IN_TEXT, TEXT, 4)]);
    assert!(Symbols::parse(&good).is_ok());
    let mut arm = good.clone();
    arm[18..20].copy_from_slice(&EM_AARCH64.to_le_bytes());
    assert!(matches!(error(&arm), SymbolsError::NotX86_64));
    let mut stripped = good.clone();
    let symtab_type = stripped.len() - 2 * 64 + 4;
    stripped[symtab_type..symtab_type + 4].copy_from_slice(&SHT_PROGBITS.to_le_bytes());
    assert!(matches!(error(&stripped), SymbolsError::NoSymbolTable));
    assert_eq!(
        error(&stripped).to_string(),
        "the ELF file has no .symtab section; keep it when stripping"
    );
    assert!(
        error(b"")
            .to_string()
            .starts_with("the file cannot be read as ELF: ")
    );
}

#[inline(never)]
fn a_function_of_this_program() -> u64 {
    std::hint::black_box(7)
}

/// A real file from a real linker: this test program.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn finds_a_function_of_the_running_program() {
    assert_eq!(a_function_of_this_program(), 7);
    let path = std::env::current_exe().unwrap();
    let file = std::fs::read(&path).unwrap();
    // The program is position-independent: its addresses are relative to its first mapping.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps
        .lines()
        .find(|line| line.ends_with(path.to_str().unwrap()))
        .unwrap();
    let base = u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
    let address = a_function_of_this_program as fn() -> u64 as usize as u64 - base;
    let symbols = Symbols::parse(&file).unwrap();
    let symbol = symbols.lookup(address).unwrap();
    assert_eq!(symbol.address, address);
    assert!(symbol.size > 0);
    assert_eq!(
        symbol.to_string(),
        "tocsin_logic::symbols::tests::a_function_of_this_program"
    );
}

/// Uses every part of a file.
fn exercise(file: &[u8], addresses: &[u64]) {
    match Symbols::parse(file) {
        Ok(symbols) => {
            for &address in addresses {
                if let Some(symbol) = symbols.lookup(address) {
                    assert!(symbol.address <= address);
                    let _ = symbol.at(address).to_string();
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..512), address: u64) {
        exercise(&bytes, &[address]);
    }

    /// A damaged valid file passes more checks than random bytes.
    #[test]
    fn no_damage_makes_it_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut: prop::sample::Index,
        shorten: bool,
        address: u64,
    ) {
        let mut file = file(&[
            ("_ZN6tocsin3cpu5entry17h0123456789abcdefE", STT_FUNC, IN_TEXT, TEXT, 0x20),
            ("label", STT_NOTYPE, IN_TEXT, TEXT + 0x20, 0),
        ]);
        for (index, byte) in damage {
            let index = index.index(file.len());
            file[index] = byte;
        }
        if shorten {
            file.truncate(cut.index(file.len()));
        }
        exercise(&file, &[address, TEXT, TEXT + 0x10, TEXT + 0x28, DATA, u64::MAX]);
    }
}

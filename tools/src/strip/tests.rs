//! Tests of `strip`.

use super::*;

use object::elf;

/// A minimal kernel: text with relocations, a note, debug information, symbols.
fn kernel() -> Vec<u8> {
    let mut builder = Builder::new(Endianness::Little, true);
    builder.header.e_type = elf::ET_EXEC;
    builder.header.e_machine = elf::EM_X86_64;
    builder.header.e_phoff = 64;
    let mut section = |name: &'static [u8], kind, data: SectionData<'static>| {
        let section = builder.sections.add();
        section.name = name.into();
        section.sh_type = kind;
        section.sh_addralign = 8;
        section.data = data;
        section.id()
    };
    let data = |bytes: &'static [u8]| SectionData::Data(bytes.into());
    let text = section(b".text", elf::SHT_PROGBITS, data(&[0x90; 4096]));
    let note = section(
        b".note.Xen",
        elf::SHT_NOTE,
        SectionData::Note(vec![7; 20].into()),
    );
    let info = section(b".debug_info", elf::SHT_PROGBITS, data(&[0xdb; 5000]));
    let symtab = section(b".symtab", elf::SHT_SYMTAB, SectionData::Symbol);
    section(b".strtab", elf::SHT_STRTAB, SectionData::String);
    section(b".shstrtab", elf::SHT_STRTAB, SectionData::SectionString);
    let relocations = section(
        b".rela.debug_info",
        elf::SHT_RELA,
        SectionData::Relocation(vec![]),
    );
    let relocations = builder.sections.get_mut(relocations);
    relocations.sh_flags = elf::SHF_INFO_LINK;
    relocations.sh_info_section = Some(info);
    relocations.sh_link_section = Some(symtab);
    for (name, within) in [(&b"_start"[..], text), (b"in_debug", info)] {
        let symbol = builder.symbols.add();
        symbol.name = name.into();
        symbol.section = Some(within);
        symbol.st_value = 0xffff_ffff_8020_0000;
    }
    for (section, kind) in [(text, elf::PT_LOAD), (note, elf::PT_NOTE)] {
        let section = builder.sections.get_mut(section);
        section.sh_flags = SHF_ALLOC;
        section.sh_offset = if kind == elf::PT_LOAD { 0x1000 } else { 0x2000 };
        section.sh_addr = 0xffff_ffff_801f_f000 + section.sh_offset;
        section.sh_size = if kind == elf::PT_LOAD { 4096 } else { 20 };
        let (offset, address, size) = (section.sh_offset, section.sh_addr, section.sh_size);
        let segment = builder.segments.add();
        segment.p_type = kind;
        segment.p_offset = offset;
        segment.p_vaddr = address;
        segment.p_paddr = address & 0xff_ffff;
        segment.p_filesz = size;
        segment.p_memsz = size;
    }
    let mut out = Vec::new();
    builder.write(&mut out).unwrap();
    out
}

#[test]
fn debug_sections_go_and_the_rest_stays() {
    let before = kernel();
    let after = without_debug(&before).unwrap();
    assert!(after.len() + 5000 < before.len());
    assert_eq!(changed_segment(&before, &after).unwrap(), None);
    let stripped = Builder::read(&*after).unwrap();
    let names: Vec<_> = stripped
        .sections
        .iter()
        .map(|s| s.name.to_string())
        .collect();
    assert_eq!(
        names,
        [".text", ".note.Xen", ".symtab", ".strtab", ".shstrtab"]
    );
    let symbols: Vec<_> = stripped
        .symbols
        .iter()
        .map(|s| s.name.to_string())
        .collect();
    assert_eq!(symbols, ["_start"]);
}

#[test]
fn a_changed_segment_is_noticed() {
    let before = kernel();
    let mut after = before.clone();
    after[0x1000] ^= 1;
    assert_eq!(
        changed_segment(&before, &after).unwrap(),
        Some((0, "contents"))
    );
    let mut after = before.clone();
    // p_paddr of the second program header (ELF-64 file format, metric 6).
    after[64 + 56 + 24] ^= 1;
    assert_eq!(
        changed_segment(&before, &after).unwrap(),
        Some((1, "header"))
    );
}

#[test]
fn the_image_is_written_only_if_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("in"), dir.path().join("new/out"));
    std::fs::write(&input, kernel()).unwrap();
    assert!(strip(&input, &output).unwrap().written);
    assert!(!strip(&input, &output).unwrap().written);
    std::fs::write(&input, b"no ELF").unwrap();
    let error = strip(&input, &output).unwrap_err();
    assert!(matches!(error, StripError::Elf { .. }), "{error}");
    let missing = strip(&dir.path().join("none"), &output).unwrap_err();
    assert!(matches!(missing, StripError::Read { .. }), "{missing}");
}

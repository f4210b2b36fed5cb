//! Addresses of the kernel image's sections, from the linker script's symbols.

use core::ops::Range;

unsafe extern "C" {
    static image_start: u8;
    static text_start: u8;
    static text_end: u8;
    static rodata_start: u8;
    static rodata_end: u8;
    static idt_start: u8;
    static idt_end: u8;
    static data_start: u8;
    static data_end: u8;
    static bss_start: u8;
    static bss_end: u8;
    static image_end: u8;
}

/// Access rights of a section; never both write and execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and execute.
    Execute,
    /// Read only.
    Read,
    /// Read and write.
    Write,
}

/// One section of the image.
#[derive(Clone, Debug)]
pub struct Section {
    /// Name as in the linker script.
    pub name: &'static str,
    /// Page-aligned virtual addresses.
    pub range: Range<u64>,
    /// Access rights of its pages.
    pub access: Access,
}

/// Virtual addresses of the whole image, page-aligned.
///
/// Context: any.
#[must_use]
pub fn virtual_range() -> Range<u64> {
    &raw const image_start as u64..&raw const image_end as u64
}

/// The sections of the image, in ascending order; together they cover it.
///
/// Context: any.
#[must_use]
pub fn sections() -> [Section; 5] {
    let section = |name, start: *const u8, end: *const u8, access| Section {
        name,
        range: start as u64..end as u64,
        access,
    };
    [
        section(
            "text",
            &raw const text_start,
            &raw const text_end,
            Access::Execute,
        ),
        section(
            "rodata",
            &raw const rodata_start,
            &raw const rodata_end,
            Access::Read,
        ),
        section(
            "data",
            &raw const data_start,
            &raw const data_end,
            Access::Write,
        ),
        section(
            "idt",
            &raw const idt_start,
            &raw const idt_end,
            Access::Read,
        ),
        section(
            "bss",
            &raw const bss_start,
            &raw const bss_end,
            Access::Write,
        ),
    ]
}

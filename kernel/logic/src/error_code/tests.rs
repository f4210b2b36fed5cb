use super::{
    ControlProtectionErrorCode, ErrorCode, PageFaultErrorCode, SecurityErrorCode,
    SelectorErrorCode, Table, VmmCommunicationErrorCode, describe,
};
use crate::exception::{self, ErrorCodeKind};
use proptest::prelude::*;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// The bits that the text lists as reserved.
fn reserved_bits_in(text: &str) -> Vec<u32> {
    let Some((_, list)) = text.split_once("reserved bit") else {
        return Vec::new();
    };
    let list = list.trim_start_matches('s');
    list.split(", ")
        .map(|bit| bit.trim().parse().unwrap())
        .collect()
}

#[test]
fn selector_fields() {
    // Selector 0x28 of the GDT, during the delivery of an interrupt.
    let code = SelectorErrorCode(0x29);
    assert_eq!(
        (code.table(), code.index(), code.external()),
        (Table::Gdt, 5, true)
    );
    assert_eq!(code.to_string(), "GDT selector 0x0028, external");
    assert_eq!(SelectorErrorCode(0x28).to_string(), "GDT selector 0x0028");
    // Selector 0x2c: index 5 of the LDT.
    let code = SelectorErrorCode(0x2c);
    assert_eq!(
        (code.table(), code.index(), code.external()),
        (Table::Ldt, 5, false)
    );
    assert_eq!(code.to_string(), "LDT selector 0x002c");
    // 0x21 * 8 + 2 + 1.
    let code = SelectorErrorCode(0x10b);
    assert_eq!(
        (code.table(), code.index(), code.external()),
        (Table::Idt, 0x21, true)
    );
    assert_eq!(code.to_string(), "IDT vector 0x21, external");
}

#[test]
fn null_selector() {
    assert_eq!(
        SelectorErrorCode(0).to_string(),
        "no selector, or the null selector"
    );
    assert_eq!(
        SelectorErrorCode(1).to_string(),
        "no selector, or the null selector, external"
    );
    // Vector 0 and LDT entry 0 are not null selectors.
    assert_eq!(SelectorErrorCode(2).to_string(), "IDT vector 0x00");
    assert_eq!(SelectorErrorCode(4).to_string(), "LDT selector 0x0004");
}

#[test]
fn selector_shows_bits_that_should_be_clear() {
    assert_eq!(SelectorErrorCode(0x0e).to_string(), "IDT vector 0x01, TI");
    assert_eq!(
        SelectorErrorCode(0x8001_0028).to_string(),
        "GDT selector 0x0028, reserved bits 16, 31"
    );
    assert_eq!(
        SelectorErrorCode(0x2_0000).to_string(),
        "no selector, or the null selector, reserved bit 17"
    );
}

#[test]
fn idt_codes_for_every_vector() {
    for vector in 0..=255 {
        for external in [false, true] {
            let code = SelectorErrorCode::idt(vector, external);
            assert_eq!(code.0, u32::from(vector) * 8 + 2 + u32::from(external));
            assert_eq!(code.table(), Table::Idt);
            assert_eq!(code.index(), u16::from(vector));
            assert_eq!(code.external(), external);
            assert!(!code.is_null());
        }
    }
}

#[test]
fn selector_codes_leave_the_rpl_out() {
    assert_eq!(SelectorErrorCode::selector(0x2b, false).0, 0x28);
    assert_eq!(SelectorErrorCode::selector(0x2f, true).0, 0x2d);
    assert!(SelectorErrorCode::selector(3, true).is_null());
}

#[test]
fn page_fault_text() {
    for (code, text) in [
        (0x00, "0x0000: page not present, read, supervisor, data"),
        (0x02, "0x0002: page not present, write, supervisor, data"),
        (
            0x03,
            "0x0003: protection violation, write, supervisor, data",
        ),
        (0x07, "0x0007: protection violation, write, user, data"),
        (
            0x11,
            "0x0011: protection violation, read, supervisor, instruction fetch",
        ),
        (
            0x09,
            "0x0009: protection violation, read, supervisor, data, \
             reserved bit set in a paging entry",
        ),
    ] {
        assert_eq!(PageFaultErrorCode(code).to_string(), text);
    }
}

#[test]
fn page_fault_bits_each_have_their_method_and_word() {
    type Method = fn(PageFaultErrorCode) -> bool;
    let bits: [(u32, Method, &str); 11] = [
        (0, PageFaultErrorCode::present, "protection violation"),
        (1, PageFaultErrorCode::write, "write"),
        (2, PageFaultErrorCode::user, "user"),
        (
            3,
            PageFaultErrorCode::reserved_bit,
            "reserved bit set in a paging entry",
        ),
        (4, PageFaultErrorCode::fetch, "instruction fetch"),
        (5, PageFaultErrorCode::protection_key, "protection key"),
        (6, PageFaultErrorCode::shadow_stack, "shadow-stack access"),
        (7, PageFaultErrorCode::hlat, "HLAT paging"),
        (15, PageFaultErrorCode::sgx, "SGX access control"),
        (31, PageFaultErrorCode::rmp, "RMP check"),
        (31, |code| code.reserved() == 0 && code.rmp(), "RMP check"),
    ];
    for bit in 0..32 {
        let code = PageFaultErrorCode(1 << bit);
        for (known, method, word) in bits {
            assert_eq!(method(code), known == bit, "bit {bit}, {word}");
            assert_eq!(
                code.to_string().contains(word),
                known == bit,
                "bit {bit}, {word}"
            );
        }
        let is_known = bits.iter().any(|&(known, ..)| known == bit);
        assert_eq!(code.reserved() == 0, is_known);
        assert_eq!(
            code.to_string().contains(&format!("reserved bit {bit}")),
            !is_known
        );
    }
}

#[test]
fn control_protection_text() {
    for (code, start) in [
        (1, "NEAR-RET"),
        (2, "FAR-RET/IRET"),
        (3, "ENDBRANCH"),
        (4, "RSTORSSP"),
        (5, "SETSSBSY"),
    ] {
        let text = ControlProtectionErrorCode(code).to_string();
        assert!(text.starts_with(&format!("{start}: ")), "{text}");
        assert!(!text.contains("enclave"));
        let text = ControlProtectionErrorCode(code | 0x8000).to_string();
        assert!(
            text.starts_with(start) && text.ends_with(", in an enclave"),
            "{text}"
        );
    }
    assert_eq!(
        ControlProtectionErrorCode(0).to_string(),
        "reserved cause 0"
    );
    assert_eq!(
        ControlProtectionErrorCode(0x1_8006).to_string(),
        "reserved cause 6, in an enclave, reserved bit 16"
    );
}

#[test]
fn vmm_communication_text() {
    for (code, text) in [
        (0x72, "exit code for CPUID"),
        (0x7b, "exit code for IN or OUT"),
        (0x400, "exit code for nested page fault"),
        (0x27, "exit code for a read of DR7"),
        (0x37, "exit code for a write of DR7"),
        (0x14, "exit code for a write of CR4"),
        (0x4e, "exit code for exception 14"),
        (0x1234, "exit code without a name"),
    ] {
        assert_eq!(VmmCommunicationErrorCode(code).to_string(), text);
    }
}

#[test]
fn security_text() {
    assert!(SecurityErrorCode(1).to_string().starts_with("INIT signal"));
    assert_eq!(SecurityErrorCode(2).to_string(), "reserved cause 2");
}

#[test]
fn error_code_reads_each_vector_by_its_format() {
    for (vector, code, text) in [
        (0, 0, "none"),
        (8, 0, "0x0000: always zero"),
        (8, 4, "0x0004: should be zero, reserved bit 2"),
        (13, 0, "0x0000: no selector, or the null selector"),
        (13, 0x10a, "0x010a: IDT vector 0x21"),
        (14, 2, "0x0002: page not present, write, supervisor, data"),
        (17, 1, "0x0001: external"),
        (
            21,
            3,
            "0x0003: ENDBRANCH: indirect branch to a place without ENDBRANCH",
        ),
        (29, 0x72, "0x0072: exit code for CPUID"),
        (30, 9, "0x0009: reserved cause 9"),
        (32, 5, "none"),
    ] {
        assert_eq!(ErrorCode::new(vector, code).to_string(), text);
    }
}

#[test]
fn bits_above_31_are_shown() {
    let text = ErrorCode::new(14, 1 << 63 | 1 << 32).to_string();
    assert_eq!(
        text,
        "0x0000: page not present, read, supervisor, data, reserved bits 32, 63"
    );
}

#[test]
fn describe_is_the_same_text() {
    let text: String = describe(ErrorCodeKind::Selector, 0x28).to_string();
    assert_eq!(text, "0x0028: GDT selector 0x0028");
}

proptest! {
    #[test]
    fn selector_text_and_fields_say_all_bits(code: u32) {
        let decoded = SelectorErrorCode(code);
        let rebuilt = u32::from(decoded.index()) << 3
            | u32::from(decoded.in_ldt()) << 2
            | u32::from(decoded.in_idt()) << 1
            | u32::from(decoded.external());
        prop_assert_eq!(rebuilt, code & 0xffff);
        let reserved: Vec<u32> = (16..32).filter(|bit| code >> bit & 1 != 0).collect();
        prop_assert_eq!(reserved_bits_in(&decoded.to_string()), reserved);
    }

    #[test]
    fn page_fault_text_names_every_reserved_bit(code: u32) {
        let code = code & !(1 << 3);
        let reserved: Vec<u32> =
            (8..31).filter(|&bit| bit != 15 && code >> bit & 1 != 0).collect();
        prop_assert_eq!(reserved_bits_in(&PageFaultErrorCode(code).to_string()), reserved);
    }

    #[test]
    fn any_code_of_any_vector_has_a_text(vector: u8, code: u64) {
        let text = ErrorCode::new(vector, code).to_string();
        prop_assert_eq!(text == "none", !exception::pushes_error_code(vector));
        prop_assert!(text.is_ascii() && !text.contains('\n'));
    }
}

use super::is_control_free;
use super::{BankStatus, Capabilities, ErrorCode, GlobalStatus, Level, Severity, Transaction};
use super::{MemoryTransaction, Participation, Request, Space};
use proptest::prelude::*;
use std::string::ToString;

#[test]
fn capabilities() {
    // QEMU's value: ten banks, MCG_CTL, and a higher bit.
    let found = Capabilities(0x0100_010a);
    assert_eq!((found.banks(), found.has_control()), (10, true));
    assert_eq!(Capabilities(0xfe16).banks(), 22);
    assert!(!Capabilities(0xfe16).has_control());
}

#[test]
fn bank_0_is_firmwares_in_old_processors() {
    // Pentium III, Core 2, then Nehalem, Skylake and a Zen (families 6, 6, 6, 6, 17h).
    for (signature, is_free) in [
        (0x0000_0673, false),
        (0x0001_067a, false),
        (0x0001_06a5, true),
        (0x0005_06e3, true),
        (0x0080_0f11, true),
    ] {
        assert_eq!(is_control_free(0, signature), is_free, "{signature:#x}");
        assert!(is_control_free(1, signature));
    }
}

#[test]
fn global_status() {
    let status = GlobalStatus(0b0101);
    assert!(status.restart_ip_valid() && !status.error_ip_valid());
    assert!(status.in_progress() && !status.local());
    assert_eq!(status.to_string(), "0x00000005 RIPV MCIP");
    assert!(GlobalStatus(2).error_ip_valid());
    assert!(GlobalStatus(8).local());
    assert_eq!(
        GlobalStatus(0x1018).to_string(),
        "0x00001018 LMCE_S bit 4 SEAM_NR"
    );
}

/// The status in the example of QEMU's documentation of `mce`.
#[test]
fn bank_status_of_a_fatal_error() {
    let status = BankStatus(0xb200_0000_0000_0005);
    assert!(status.valid() && status.uncorrected() && status.enabled());
    assert!(status.context_corrupt() && !status.overflow());
    assert_eq!(status.severity(true), Severity::Fatal);
    assert_eq!(
        status.to_string(),
        "0xb200000000000005 VAL UC EN PCC: internal parity error, model code 0x0000"
    );
}

#[test]
fn each_bit_has_its_method_and_name() {
    type Method = fn(BankStatus) -> bool;
    let bits: [(u8, Method, &str); 9] = [
        (63, BankStatus::valid, "VAL"),
        (62, BankStatus::overflow, "OVER"),
        (61, BankStatus::uncorrected, "UC"),
        (60, BankStatus::enabled, "EN"),
        (59, BankStatus::misc_valid, "MISCV"),
        (58, BankStatus::address_valid, "ADDRV"),
        (57, BankStatus::context_corrupt, "PCC"),
        (56, BankStatus::signalled, "S"),
        (55, BankStatus::action_required, "AR"),
    ];
    for bit in 0..63 {
        let status = BankStatus(1 << 63 | 1 << bit);
        let text = status.to_string();
        let (flags, _) = text.split_once(':').unwrap();
        for (known, method, name) in &bits[1..] {
            assert_eq!(method(status), *known == bit);
            assert_eq!(
                flags.split(' ').any(|word| word == *name),
                *known == bit,
                "{text}"
            );
        }
    }
    let empty = BankStatus(!(1 << 63));
    assert!(!empty.valid());
    assert_eq!(empty.to_string(), "0x7fffffffffffffff no error recorded");
}

#[test]
fn numbers_in_a_status() {
    let status = BankStatus(1 << 63 | 0x1234 << 38 | 0xabcd << 16 | 0x0400);
    assert_eq!(status.corrected_count(), 0x1234);
    assert_eq!(status.model_code(), 0xabcd);
    assert_eq!(status.code(), ErrorCode::InternalTimer);
}

/// SDM vol. 3B, table 17-6: UC, PCC, S and AR, in this order.
#[test]
fn severities() {
    let status = |uc: u64, pcc: u64, s: u64, ar: u64| {
        BankStatus(1 << 63 | uc << 61 | 1 << 60 | pcc << 57 | s << 56 | ar << 55)
    };
    for (bits, severity) in [
        (status(0, 0, 0, 0), Severity::Corrected),
        (status(1, 0, 0, 0), Severity::NoAction),
        (status(1, 0, 1, 0), Severity::ActionOptional),
        (status(1, 0, 1, 1), Severity::ActionRequired),
        (status(1, 1, 1, 1), Severity::Fatal),
        (status(1, 1, 0, 0), Severity::Fatal),
    ] {
        assert_eq!(bits.severity(true), severity);
        let without_recovery = if bits.uncorrected() {
            Severity::Fatal
        } else {
            Severity::Corrected
        };
        assert_eq!(bits.severity(false), without_recovery);
    }
    let lost = BankStatus(status(1, 0, 1, 1).0 | 1 << 62);
    assert_eq!(lost.severity(true), Severity::Fatal);
    let not_enabled = BankStatus(status(1, 1, 1, 1).0 & !(1 << 60));
    assert_eq!(not_enabled.severity(true), Severity::NotEnabled);
    assert!(Severity::Corrected < Severity::Fatal);
    assert_eq!(
        Severity::ActionOptional.to_string(),
        "uncorrected, action optional"
    );
}

#[test]
fn simple_codes() {
    for (code, decoded, text) in [
        (0x0000, ErrorCode::None, "no error"),
        (0x0001, ErrorCode::Unclassified, "unclassified error"),
        (
            0x0002,
            ErrorCode::MicrocodeRomParity,
            "microcode ROM parity error",
        ),
        (0x0003, ErrorCode::External, "external error (BINIT#)"),
        (
            0x0004,
            ErrorCode::RedundancyCheck,
            "functional redundancy check error",
        ),
        (0x0005, ErrorCode::InternalParity, "internal parity error"),
        (
            0x0006,
            ErrorCode::SmmCodeAccess,
            "SMM handler code access violation",
        ),
        (0x0400, ErrorCode::InternalTimer, "internal timer error"),
        (
            0x0401,
            ErrorCode::Internal(1),
            "internal unclassified error 0x001",
        ),
        (
            0x07ff,
            ErrorCode::Internal(0x3ff),
            "internal unclassified error 0x3ff",
        ),
        (0x0e0b, ErrorCode::Io, "I/O error"),
        (
            0x0007,
            ErrorCode::Unknown(7),
            "unknown MCA error code 0x0007",
        ),
        (
            0x2000,
            ErrorCode::Unknown(0x2000),
            "unknown MCA error code 0x2000",
        ),
    ] {
        assert_eq!(ErrorCode::decode(code), decoded);
        assert_eq!(decoded.to_string(), text);
    }
}

/// SDM vol. 3B, table 17-10, with the fields filled in by hand.
#[test]
fn compound_codes() {
    for (code, text) in [
        (0b0000_0000_0000_1110, "generic cache hierarchy error, L2"),
        (0b0000_0000_0001_0101, "DTLBL1_ERR"),
        (0b0000_0000_0001_1011, "GTLBLG_ERR"),
        (0b0000_0000_1001_0010, "RD_CHANNEL2_ERR"),
        (0b0000_0000_1100_1111, "MS_CHANNEL?_ERR"),
        (0b0000_0010_1010_0000, "EXT_MEM_WR_CHANNEL0_ERR"),
        (0b0000_0001_0011_0100, "DCACHEL0_DRD_ERR"),
        (0b0000_0001_0101_0001, "ICACHEL1_IRD_ERR"),
        (
            0b0001_0001_0111_1010,
            "GCACHEL2_EVICT_ERR (later corrected errors not reported)",
        ),
        (0b0000_1000_0000_1011, "BUSLG_SRC_ERR_IO_NOTIMEOUT_ERR"),
        (0b0000_1111_0001_0001, "BUSL1_GEN_RD_M_TIMEOUT_ERR"),
        (0b0000_1100_1000_1110, "BUSL2_OBS_SNOOP_OTHER_NOTIMEOUT_ERR"),
    ] {
        assert_eq!(ErrorCode::decode(code).to_string(), text, "{code:#018b}");
    }
    assert_eq!(
        ErrorCode::decode(0b0001_0000_0001_0110),
        ErrorCode::Tlb {
            transaction: Transaction::Data,
            level: Level::L2,
            filtered: true
        }
    );
}

/// Every code: the highest bits determine the form, and unassigned field values are not guessed.
#[test]
fn all_codes_by_their_form() {
    for code in 0..=u16::MAX {
        let form = code & !(1 << 12);
        let transaction_known = form >> 2 & 3 != 3;
        let request_known = form >> 4 & 0xf <= 8;
        let memory_known = form >> 4 & 7 <= 4;
        let decoded = ErrorCode::decode(code);
        let right = match decoded {
            ErrorCode::None => code == 0,
            ErrorCode::Unclassified => code == 1,
            ErrorCode::MicrocodeRomParity => code == 2,
            ErrorCode::External => code == 3,
            ErrorCode::RedundancyCheck => code == 4,
            ErrorCode::InternalParity => code == 5,
            ErrorCode::SmmCodeAccess => code == 6,
            ErrorCode::InternalTimer => code == 0x400,
            ErrorCode::Io => code == 0xe0b,
            ErrorCode::Internal(bits) => bits != 0 && code == 0x400 | bits,
            ErrorCode::Cache { .. } => form & !3 == 0xc,
            ErrorCode::Tlb { .. } => form & !0xf == 0x10 && transaction_known,
            ErrorCode::Memory { extended, .. } => {
                let prefix = if extended { 0x280 } else { 0x80 };
                form & !0x7f == prefix && memory_known
            }
            ErrorCode::CacheRequest { .. } => {
                form & !0xff == 0x100 && transaction_known && request_known
            }
            ErrorCode::Bus { .. } => form & !0x7ff == 0x800 && request_known,
            ErrorCode::Unknown(same) => {
                let could_be = form & !3 == 0xc
                    || form & !0xf == 0x10 && transaction_known
                    || [0x80, 0x280].contains(&(form & !0x7f)) && memory_known
                    || form & !0xff == 0x100 && transaction_known && request_known
                    || form & !0x7ff == 0x800 && request_known;
                same == code && !could_be
            }
        };
        assert!(right, "{code:#06x} is not {decoded:?}");
    }
}

#[test]
fn fields_have_the_values_of_their_tables() {
    let bus = |code: u16| match ErrorCode::decode(0x0800 | code) {
        ErrorCode::Bus {
            participation,
            timeout,
            request,
            space,
            level,
            ..
        } => (participation, timeout, request, space, level),
        other => panic!("{other:?} is no bus error"),
    };
    let parts = [
        Participation::Source,
        Participation::Responder,
        Participation::Observer,
        Participation::Generic,
    ];
    let requests = [
        Request::Generic,
        Request::Read,
        Request::Write,
        Request::DataRead,
        Request::DataWrite,
        Request::InstructionFetch,
        Request::Prefetch,
        Request::Eviction,
        Request::Snoop,
    ];
    let spaces = [Space::Memory, Space::Reserved, Space::Io, Space::Other];
    let levels = [Level::L0, Level::L1, Level::L2, Level::Generic];
    for n in 0..4_u16 {
        // 0x0e0b is the code of the I/O error, so the other fields stay 0.
        assert_eq!(bus(n << 9).0, parts[usize::from(n)]);
        assert_eq!(bus(n << 2).3, spaces[usize::from(n)]);
        assert_eq!(bus(n).4, levels[usize::from(n)]);
    }
    for (n, request) in (0..).zip(requests) {
        assert_eq!(bus(n << 4).2, request);
    }
    assert!(bus(1 << 8).1);
    let kinds = [
        MemoryTransaction::Generic,
        MemoryTransaction::Read,
        MemoryTransaction::Write,
        MemoryTransaction::AddressCommand,
        MemoryTransaction::Scrub,
    ];
    for (n, kind) in (0..).zip(kinds) {
        for channel in 0..16_u16 {
            let code = 0x0080 | n << 4 | channel;
            let expected = ErrorCode::Memory {
                extended: false,
                transaction: kind,
                channel: u8::try_from(channel).ok().filter(|&c| c < 15),
                filtered: false,
            };
            assert_eq!(ErrorCode::decode(code), expected);
        }
    }
}

proptest! {
    #[test]
    fn any_status_has_a_text(value: u64, recovery: bool) {
        let status = BankStatus(value);
        prop_assert!(!status.to_string().is_empty());
        prop_assert_eq!(status.severity(recovery) == Severity::Corrected, !status.uncorrected());
        prop_assert!(!GlobalStatus(value).to_string().is_empty());
    }
}

#[test]
fn polling_takes_what_no_exception_signals() {
    const VAL: u64 = 1 << 63;
    const UC: u64 = 1 << 61;
    const PCC: u64 = 1 << 57;
    const S: u64 = 1 << 56;
    const EN: u64 = 1 << 60;
    for (status, without, with) in [
        (0, false, false),
        // Not valid.
        (EN, false, false),
        (VAL, true, true),
        (VAL | EN | 0x151, true, true),
        (VAL | UC | EN, false, true),
        (VAL | UC | EN | S, false, false),
        (VAL | UC | EN | PCC, false, false),
        // Not enabled: not signalled.
        (VAL | UC, true, true),
        (VAL | UC | S, true, true),
        (VAL | UC | PCC, true, true),
    ] {
        let status = BankStatus(status);
        let found = [false, true].map(|recovery| status.is_for_polling(recovery));
        assert_eq!(found, [without, with], "{status}");
    }
}

#[test]
fn what_no_machine_check_signals_is_for_polling() {
    for (status, recovery, expected) in [
        (0xb200_0000_0000_0000, false, false),
        (0xb000_0000_0000_0000, false, false),
        // Needs no action: S is 0, which is only valid with recovery.
        (0xb000_0000_0000_0000, true, true),
        (0xb200_0000_0000_0000, true, false),
        // Not enabled, corrected, not valid.
        (0xa200_0000_0000_0000, false, true),
        (0xa000_0000_0000_0000, true, true),
        (0x9000_0000_0000_0000, false, true),
        (0x3200_0000_0000_0000, false, false),
    ] {
        let status = BankStatus(status);
        assert_eq!(status.is_for_polling(recovery), expected, "{status}");
    }
}

#[test]
fn recovery_is_bit_24() {
    assert!(Capabilities(1 << 24).has_recovery());
    assert!(!Capabilities(!(1 << 24)).has_recovery());
}

//! The commands of the invalidation queue, bit by bit (6.5.2).

use crate::vtd::{Command, DomainId, PAGE, SourceId};
use proptest::prelude::*;

const SOURCE: SourceId = SourceId(0x1234);
const DOMAIN: DomainId = DomainId(0xabcd);

#[test]
fn each_command() {
    let cases = [
        (Command::AllContexts, [0x11, 0]),
        (Command::Context(SOURCE, DOMAIN), [0x0000_1234_abcd_0031, 0]),
        (Command::AllDomains, [0xd2, 0]),
        (Command::Domain(DOMAIN), [0xabcd_00e2, 0]),
        (
            Command::Pages {
                domain: DOMAIN,
                address: 0x7654_3000,
                mask: 9,
                leaf_only: true,
            },
            [0xabcd_00f2, 0x7654_3049],
        ),
        (
            Command::DeviceTlb {
                source: SOURCE,
                address: 0x7654_3000,
                mask: 0,
                depth: 31,
            },
            [0x0000_1234_001f_0003, 0x7654_3000],
        ),
        (
            Command::DeviceTlb {
                source: SOURCE,
                address: 0x7654_0000,
                mask: 2,
                depth: 0,
            },
            [0x0000_1234_0000_0003, 0x7654_1001],
        ),
        (
            Command::DeviceTlb {
                source: SOURCE,
                address: 0,
                mask: 52,
                depth: 0,
            },
            [0x0000_1234_0000_0003, 0x7fff_ffff_ffff_f001],
        ),
        (Command::AllInterrupts, [4, 0]),
        (
            Command::Interrupts {
                index: 0xbeef,
                mask: 3,
            },
            [0x0000_beef_1800_0014, 0],
        ),
        (
            Command::Wait {
                address: 0x1_2345_6780,
                value: 0xdead_beef,
            },
            [0xdead_beef_0000_0025, 0x1_2345_6780],
        ),
    ];
    for (command, words) in cases {
        assert_eq!(command.encode(), words, "{command:x?}");
        assert_eq!(Command::decode(words), Some(command), "{words:x?}");
    }
}

proptest! {
    /// What is decoded is encoded again to the same words.
    #[test]
    fn arbitrary_words(low in any::<u64>(), high in any::<u64>(), kind in 0..16_u64) {
        for low in [low, low & !0xf | kind, low & 0xffff_ffff_ffff_00f0 | kind] {
            if let Some(command) = Command::decode([low, high]) {
                prop_assert_eq!(command.encode(), [low, high]);
            }
        }
    }

    /// The size of a device-TLB invalidation is in the address.
    #[test]
    fn device_tlb_sizes(page in any::<u64>(), mask in 0..52_u8) {
        let block = PAGE.checked_shl(mask.into()).filter(|size| (PAGE..=1 << 62).contains(size));
        let address = block.map_or(0, |size| page / size * size);
        let command = Command::DeviceTlb { source: SOURCE, address, mask, depth: 1 };
        prop_assert_eq!(Command::decode(command.encode()), Some(command));
    }
}

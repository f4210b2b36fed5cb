//! Tests of `memory`.

use super::*;

#[test]
fn the_second_size_counts() {
    assert_eq!(used_bytes("   509.8 MiB     440 KiB"), Some(440 << 10));
    assert_eq!(used_bytes("1 GiB 1.5 MiB"), Some(3 << 19));
    assert_eq!(used_bytes("1 GiB 17 B"), Some(17));
    assert_eq!(used_bytes("1 GiB"), None);
    assert_eq!(used_bytes("1 GiB x KiB"), None);
    assert_eq!(used_bytes("1 GiB 1 TiB"), None);
}

/// The end of the kernel's output, with this much memory in use and this size of an interrupt
/// stack.
fn said(used: &str, interrupt: u64) -> String {
    let first = 0xffff_e000_0004_0000 - interrupt;
    format!(
        "Allocators:                   total        used\n  \
           frames below 1 MiB         632 KiB       8 KiB\n  \
           frames above 1 MiB       508.1 MiB {used:>11}\n  \
           heap                       4.0 MiB     3.8 MiB\n\
         Stacks of CPU 0:\n  \
           0xffffe00000010000  0xffffe0000001ffff      64 KiB  thread        guard page unmapped\n  \
           {first:#018x}  0xffffe0000003ffff      {} KiB  interrupt     guard page unmapped\n  \
           0xffffe0000005c000  0xffffe0000005ffff      16 KiB  double-fault  guard page unmapped\n\
         [   0.241113] cpu0   the kernel ends, with status 0\n",
        interrupt >> 10
    )
}

#[test]
fn the_stacks_are_those_that_the_kernel_has() {
    let few = Said::parse(&said("456 KiB", 48 << 10)).unwrap();
    let stacks = (64 + 48 + 16) << 10;
    assert_eq!((few.used, few.stacks), (456 << 10, stacks));
    // Each interrupt stack is 16 KiB larger, and so are the frames in use: the difference is
    // unchanged.
    for interrupt in [48 << 10, 64 << 10] {
        let each = stacks - (48 << 10) + interrupt + (20 << 10);
        let used = ((456 << 10) + 128 * each) >> 10;
        let many = Said::parse(&said(&format!("{used} KiB"), interrupt)).unwrap();
        let figure = PerCpu::between(few, many);
        assert_eq!(figure.bytes, 20 << 10, "interrupt stack of {interrupt}");
        let mut text = String::new();
        figure.show(&mut text);
        let shown = format!("beyond its stacks ({} KiB)", many.stacks >> 10);
        assert!(text.contains(&shown), "{text}");
    }
}

#[test]
fn what_shows_no_frames_or_no_stacks_is_refused() {
    let good = said("456 KiB", 48 << 10);
    let refused = |text: &str| match Said::parse(text) {
        Err(BenchError::Memory(line)) => line,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(""), "nothing");
    assert_eq!(refused(&good.replace("Stacks of", "Stack of")), "nothing");
    assert_eq!(
        refused(&good.replace("456 KiB", "many")),
        "508.1 MiB     many"
    );
    let bad = good.replace("0xffffe0000001ffff", "0xffffe0000000fffe");
    assert!(refused(&bad).starts_with("0xffffe00000010000"));
}

#[test]
fn the_limit_is_held() {
    assert!(
        PerCpu {
            stacks: 0,
            bytes: LIMIT
        }
        .is_within_limit()
    );
    assert!(
        !PerCpu {
            stacks: 0,
            bytes: LIMIT + 1
        }
        .is_within_limit()
    );
}

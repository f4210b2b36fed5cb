//! Tests of `memory`.

use super::*;

/// The end of the kernel's output, with this many bytes in use and this size of an interrupt stack.
fn output(used: u64, interrupt: u64) -> String {
    let stack = |name: &str, end: u64, size: u64| {
        let start = end - size;
        format!(
            "@json {{\"kind\":\"stack\",\"cpu\":0,\"stack\":\"{name}\",\"range\":{{\"start\":{start},\"end\":{end}}}}}\n"
        )
    };
    let allocator = |name: &str, used: u64| {
        format!(
            "@json {{\"kind\":\"allocator\",\"name\":\"{name}\",\"total\":9999999,\"used\":{used}}}\n"
        )
    };
    [
        "@json {\"kind\":\"memory\",\"usable\":9999999}\n".to_owned(),
        allocator("low_frames", 8192),
        allocator("high_frames", used),
        allocator("heap", 16384),
        stack("thread", 0xffff_e000_0002_0000, 64 << 10),
        stack("interrupt", 0xffff_e000_0004_0000, interrupt),
        stack("double_fault", 0xffff_e000_0006_0000, 16 << 10),
        "[   0.241113] cpu0   the kernel ends, with status 0\n".to_owned(),
    ]
    .concat()
}

#[test]
fn the_stacks_are_those_that_the_kernel_has() {
    let few = MemoryUse::parse(&output(456 << 10, 48 << 10)).unwrap();
    let stacks = (64 + 48 + 16) << 10;
    assert_eq!((few.used, few.stacks), (456 << 10, stacks));
    // Each interrupt stack is 16 KiB larger, and so are the frames in use: the difference is
    // unchanged.
    for interrupt in [48 << 10, 64 << 10] {
        let each = stacks - (48 << 10) + interrupt + (20 << 10);
        let used = (456 << 10) + 128 * each;
        let many = MemoryUse::parse(&output(used, interrupt)).unwrap();
        let metric = PerCpu::between(few, many);
        assert_eq!(metric.bytes, 20 << 10, "interrupt stack of {interrupt}");
        let mut text = String::new();
        metric.show(&mut text);
        let shown = format!("beyond its stacks ({} KiB)", many.stacks >> 10);
        assert!(text.contains(&shown), "{text}");
    }
}

#[test]
fn what_shows_no_frames_or_no_stacks_is_refused() {
    let good = output(456 << 10, 48 << 10);
    let refused = |text: &str| match MemoryUse::parse(text) {
        Err(BenchError::Memory(line)) => line,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(""), "nothing");
    assert_eq!(refused(&good.replace("\"stack\"", "\"stick\"")), "nothing");
    assert_eq!(refused(&good.replace("high_frames", "frames")), "nothing");
    assert!(refused(&good.replace("466944", "\"many\"")).contains("many"));
    let last = 0xffff_e000_0002_0000_u64.to_string();
    assert!(refused(&good.replace(&last, "5")).contains("\"end\":5"));
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

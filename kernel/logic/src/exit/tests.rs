use super::{BASE, MAX, STOPPED, from_qemu, to_port};

/// The exit code of QEMU for a value written to `isa-debug-exit`, truncated to 8 bits by the OS.
fn qemu(value: u32) -> i32 {
    ((value << 1 | 1) & 0xff).cast_signed()
}

#[test]
fn every_status_round_trips() {
    for status in 0..=STOPPED {
        assert_eq!(from_qemu(qemu(to_port(status))), Some(status));
    }
}

#[test]
fn success_is_33() {
    assert_eq!(to_port(0), BASE);
    assert_eq!(qemu(to_port(0)), 33);
}

#[test]
fn nothing_else_is_a_status() {
    let ours = (0..=STOPPED).map(|status| qemu(to_port(status)));
    let ours: std::vec::Vec<i32> = ours.collect();
    for code in -300..=600 {
        assert_eq!(from_qemu(code).is_some(), ours.contains(&code), "{code}");
    }
    for code in [i32::MIN, i32::MAX] {
        assert_eq!(from_qemu(code), None);
    }
}

#[test]
fn a_status_that_does_not_exist_is_reported_as_stopped() {
    for status in STOPPED..=u8::MAX {
        assert_eq!(from_qemu(qemu(to_port(status))), Some(STOPPED));
    }
    const { assert!(MAX < STOPPED) };
}

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

#[test]
fn the_limit_is_held() {
    assert!(PerCpu { bytes: LIMIT }.is_within_limit());
    assert!(!PerCpu { bytes: LIMIT + 1 }.is_within_limit());
}

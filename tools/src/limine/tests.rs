//! Tests of `limine`.

use super::*;

#[test]
fn the_version_is_read_from_the_stage() {
    let stage = b"\0Limine -- \0Limine bootloader\0Limine 8.2.0 (x86-64, BIOS)\0";
    assert_eq!(version_in(stage).as_deref(), Some("8.2.0"));
    assert_eq!(version_in(b"Limine "), None);
    assert_eq!(version_in(b""), None);
}

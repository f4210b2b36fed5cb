//! Tests of `initramfs`.

use super::*;

fn archive() -> Vec<u8> {
    let mut archive = Archive::default();
    archive.directory("dev");
    archive.program("init", b"#!");
    archive.finish()
}

#[test]
fn entries_are_aligned_and_ended() {
    let bytes = archive();
    assert_eq!(bytes.len() % 4, 0);
    // 110 bytes of header, the NUL-terminated name, padded to a multiple of 4.
    assert_eq!(&bytes[..14], b"07070100000001");
    assert_eq!(&bytes[110..114], b"dev\0");
    assert_eq!(&bytes[116..122], b"070701");
    assert_eq!(&bytes[116 + 54..116 + 62], b"00000002");
    assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
}

//! Tests of `bz_image`.

use super::*;

/// An image whose version string is at this offset from the second sector, at the end of the image.
fn image(version_at: u16, version: &str) -> Vec<u8> {
    let mut image = vec![0; SECTOR + usize::from(version_at.max(0x100))];
    image[MAGIC_AT].copy_from_slice(MAGIC);
    image[VERSION_AT].copy_from_slice(&version_at.to_le_bytes());
    image.extend_from_slice(version.as_bytes());
    image
}

#[test]
fn the_release_is_the_versions_first_word() {
    let debian = "6.1.0-56-amd64 (debian-kernel@lists.debian.org) #1 SMP\0rest";
    for (version, release_of_it) in [
        (debian, "6.1.0-56-amd64"),
        ("6.1\0rest", "6.1"),
        ("6.1", "6.1"),
    ] {
        assert_eq!(release(&image(0x3000, version)).unwrap(), release_of_it);
    }
}

#[test]
fn an_unknown_release_is_empty() {
    assert_eq!(release(&image(0, "6.1")).unwrap(), "");
    assert_eq!(release(&image(0x3000, "6.1")[..0x1000]).unwrap(), "");
}

#[test]
fn other_files_are_no_bz_image() {
    let image = image(0x3000, "6.1");
    for other in [
        &b""[..],
        b"\x7fELF",
        &image[..0x204],
        &image[..0x20f],
        &[0; 0x1000],
    ] {
        assert_eq!(release(other), None);
    }
}

//! Tests of `release`.

use super::*;

fn names_of<const N: usize>(releases: [&str; N]) -> Vec<String> {
    names(&releases.map(str::to_owned))
}

#[test]
fn the_version_and_the_flavour_name_a_kernel() {
    let names = names_of([
        "6.1.0-57-amd64",
        "6.12.95+deb12-cloud-amd64",
        "6.12.95+deb12-rt-amd64",
        "6.12.95+deb12-amd64",
        "6.8.0-45-lowlatency",
        "",
    ]);
    let expected = [
        "Linux 6.1",
        "Linux 6.12 cloud",
        "Linux 6.12 rt",
        "Linux 6.12",
        "Linux 6.8 lowlatency",
        "Linux",
    ];
    assert_eq!(names, expected);
}

#[test]
fn kernels_of_one_version_and_flavour_have_their_whole_release() {
    let names = names_of(["6.1.0-56-amd64", "6.1.0-57-amd64", "6.12.95-rt-amd64"]);
    let expected = [
        "Linux 6.1.0-56-amd64",
        "Linux 6.1.0-57-amd64",
        "Linux 6.12 rt",
    ];
    assert_eq!(names, expected);
}

//! Other kernels that are missing, are none, or do not measure.

use std::fs;
use std::path::Path;

use crate::emulator::{SuiteDir, start};

/// Another kernel's image, as far as it is looked at before it is booted.
fn build(dir: &SuiteDir) -> std::path::PathBuf {
    let folder = dir.path("kut/x86");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("vmexit.flat"), "").unwrap();
    dir.path("kut")
}

/// The beginning of a bzImage of this release.
fn bz_image(path: &Path, release: &str) {
    let mut image = vec![0; 0x1000];
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x20e..0x210].copy_from_slice(&0x300_u16.to_le_bytes());
    image[0x500..0x500 + release.len()].copy_from_slice(release.as_bytes());
    fs::write(path, image).unwrap();
}

#[test]
fn an_invalid_peer_fails_before_measuring() {
    let dir = SuiteDir::new();
    let kernel = dir.path("bzImage");
    bz_image(&kernel, "6.1.0-56-amd64 (somebody)");
    bz_image(&dir.path("other"), "6.12-rt (somebody)");
    let text = dir.path("text");
    fs::write(&text, "no kernel ".repeat(1000)).unwrap();
    for (name, release) in [("5.10", "5.10"), ("6.1", "6.1"), ("6.12", "6.12-rt")] {
        let headers = dir.path(name);
        fs::create_dir_all(headers.join("include/generated")).unwrap();
        let line = format!("#define UTS_RELEASE \"{release}\"\n");
        fs::write(headers.join("include/generated/utsrelease.h"), line).unwrap();
    }
    for name in ["5.10", "6.12"] {
        fs::write(dir.path(name).join("Makefile"), "").unwrap();
    }
    let at = |name: &str| dir.path(name).display().to_string();
    let cases: [(&[(&str, String)], String); 8] = [
        (
            &[("KUT_DIR", at("nowhere"))],
            format!(
                "kvm-unit-tests: KUT_DIR={}: no x86/vmexit.flat there; build",
                at("nowhere")
            ),
        ),
        (
            &[("LINUX_KERNEL", at("nowhere"))],
            format!("Linux: LINUX_KERNEL={}: No such file", at("nowhere")),
        ),
        (
            &[("LINUX_KERNEL", at(""))],
            format!("Linux: LINUX_KERNEL={}: Is a directory", at("")),
        ),
        (
            &[("LINUX_KERNEL", at("text"))],
            format!(
                "Linux: LINUX_KERNEL={}: that is no bzImage; give one, as /boot/",
                at("text")
            ),
        ),
        (
            &[
                ("LINUX_KERNEL", at("bzImage")),
                ("LINUX_HEADERS", at("6.1")),
            ],
            format!(
                "Linux: LINUX_HEADERS={}: no Makefile there; give /usr/src/",
                at("6.1")
            ),
        ),
        (
            &[
                ("LINUX_KERNEL", at("bzImage")),
                ("LINUX_HEADERS", at("5.10")),
            ],
            format!(
                "Linux: LINUX_HEADERS={}: those are of 5.10, and LINUX_KERNEL is 6.1.0-56-amd64; \
                 give the headers of that, or none",
                at("5.10")
            ),
        ),
        (
            &[("LINUX_KERNEL", format!("{}:{}", at("bzImage"), at("text")))],
            format!("Linux: LINUX_KERNEL={}: that is no bzImage", at("text")),
        ),
        (
            // One kernel has both of these headers.
            &[
                ("LINUX_KERNEL", format!("{}:{}", at("bzImage"), at("other"))),
                ("LINUX_HEADERS", format!("{}:{}", at("6.12"), at("6.12"))),
            ],
            format!(
                "Linux: LINUX_HEADERS={}: those are of 6.12-rt, and LINUX_KERNEL is 6.1.0-56-amd64, \
                 6.12-rt; give",
                at("6.12")
            ),
        ),
    ];
    for (variables, printed) in cases {
        let mut command = dir.command(&["peers", "--into"]);
        command.arg(dir.path("results"));
        let ended = start(command.envs(variables.iter().cloned())).end();
        ended.expect(1, &[&format!("tocsin-benches: {printed}")]);
    }
    assert_eq!(dir.started(), "");
    dir.expect_clean();
}

/// A metric of it, which means that it measured; or why it is left out.
#[test]
fn another_kernel_that_does_not_measure_is_left_out() {
    for (does, printed) in [
        (
            "greet; echo 'x2apic_self_ipi_sti_nop 4000' >&4; exit 1",
            None,
        ),
        (
            "greet; echo 'no metric at all' >&4; exit 1",
            Some("it printed no metric (QEMU ended"),
        ),
        (
            "echo 'no kernel' >&2; exit 1",
            Some("QEMU did not start the machine"),
        ),
        (
            "greet; hang",
            Some("no end of the machine within 12 s: the guest hangs"),
        ),
    ] {
        let dir = SuiteDir::new();
        dir.machine("peer", does);
        let mut command = dir.command(&["peers", "--timeout", "3", "--into"]);
        command
            .arg(dir.path("results"))
            .env("KUT_DIR", build(&dir))
            .env("ROUNDS", "2");
        let ended = start(&mut command).end();
        let others = "Linux: not measured: LINUX_KERNEL=... names a bzImage";
        ended.expect(0, &[others]);
        if let Some(printed) = printed {
            ended.expect(0, &[&format!("kvm-unit-tests is left out: {printed}")]);
        }
        // From then on.
        let (again, listed) = match printed {
            None => (" peer", "kvm-unit-tests"),
            Some(printed) => ("", printed),
        };
        let started = format!("x2apic xapic peer x2apic xapic{again}");
        assert_eq!(dir.started(), started);
        assert!(ended.output.contains(listed), "{}", ended.output);
        let row = "kvm-unit-tests,cycles,x2apic_self_ipi_sti_nop,";
        let csv = fs::read_to_string(dir.path("results/results.csv")).unwrap();
        assert_eq!(csv.contains(row), printed.is_none(), "{csv}");
        assert!(csv.contains("self_ipi.entry"), "{csv}");
        dir.expect_clean();
    }
}

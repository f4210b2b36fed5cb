//! What is read before measuring, and what is written after it.

use std::fs;

use crate::emulator::{SuiteDir, start};

#[test]
fn an_unreadable_comparison_fails_before_measuring() {
    let dir = SuiteDir::new();
    let results = dir.measured();
    dir.results().expect("x2apic xapic");
    let good = dir.path("before.json");
    fs::copy(dir.path("results/results.json"), &good).unwrap();
    let text = fs::read_to_string(&good).unwrap();
    let is_first = text.starts_with("{\"format\":1,");
    assert!(is_first, "{text}");
    let cases = [
        (None, "cannot read COMPARE: No such file or directory"),
        (Some("not { json".to_owned()), "COMPARE: no JSON: "),
        (
            Some(text[..text.len() / 2].to_owned()),
            "COMPARE: no JSON: ",
        ),
        (
            Some(text.replacen(":1,", ":2,", 1)),
            "COMPARE: its format is 2, this suite reads 1; measure again",
        ),
        (
            Some("[1, 2]".to_owned()),
            "COMPARE: its format is null, this suite reads 1; measure again",
        ),
        (
            Some("{\"format\":1}".to_owned()),
            "COMPARE: no results of `make bench`: missing field",
        ),
    ];
    let compare = dir.path("other.json");
    let started = dir.started();
    for (content, printed) in cases {
        if let Some(content) = content {
            fs::write(&compare, content).unwrap();
        }
        let printed = printed.replace("COMPARE", &compare.display().to_string());
        let ended = start(dir.suite(&[]).env("COMPARE", &compare)).end();
        ended.expect(1, &[&format!("tocsin-benches: {printed}")]);
    }
    let ended = start(dir.suite(&[]).env("COMPARE", dir.path("results"))).end();
    ended.expect(1, &["results: Is a directory"]);
    assert_eq!(dir.started(), started, "machines were booted");
    assert_eq!(dir.results(), results);

    let ended = start(dir.suite(&[]).env("COMPARE", &good)).end();
    ended.expect(0, &[]);
    let row = "self_ipi.entry tocsin (x2apic, 4 CPUs)";
    let (_, compared) = ended.output.split_once("csv written\n").unwrap();
    assert!(
        compared.contains(row) && compared.contains("+0.0 %"),
        "{compared}"
    );
}

#[test]
fn an_unwritable_folder_fails_before_measuring() {
    let dir = SuiteDir::new();
    let file = dir.path("file");
    fs::write(&file, "").unwrap();
    let taken = dir.path("taken");
    fs::create_dir_all(taken.join("results.csv")).unwrap();
    for (into, printed) in [
        (
            file.clone(),
            format!("cannot make the folder {}: ", file.display()),
        ),
        (
            file.join("deep"),
            format!(
                "cannot make the folder {}/deep: Not a directory",
                file.display()
            ),
        ),
        (
            taken.clone(),
            format!(
                "cannot write {}/results.csv: is a directory",
                taken.display()
            ),
        ),
        // Nobody may write there, not even root.
        (
            "/proc".into(),
            "cannot write /proc/results.json: ".to_owned(),
        ),
    ] {
        let mut command = dir.command(&["suite", "--into"]);
        let ended = start(command.arg(into)).end();
        ended.expect(1, &[&format!("tocsin-benches: {printed}")]);
        assert_eq!(dir.started(), "");
    }
}

/// As on a disk that is full: files may not grow beyond a block.
#[test]
fn results_that_cannot_be_written_leave_the_old_ones() {
    let dir = SuiteDir::new();
    let before = dir.measured();
    let mut limited = std::process::Command::new("sh");
    let suite = dir.suite(&[]);
    limited.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"]);
    limited
        .arg(suite.get_program())
        .args(suite.get_args())
        .env_clear();
    let set = suite
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    let ended = start(limited.envs(set)).end();
    let file = dir.path("results/results.json");
    let printed = format!(
        "tocsin-benches: cannot write {}: File too large",
        file.display()
    );
    ended.expect(1, &[&printed]);
    assert_eq!(dir.results(), before);
    dir.expect_clean();
}

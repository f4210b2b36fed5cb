//! Panic stop on several CPUs at once: one complete report, which names all other CPUs.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use libtest_mimic::Trial;
use regex::Regex;
use tocsin_tools::Session;

use crate::{Result, STOPPED, TIMEOUT, ensure, ensure_eq, machine_in, trial, with};

/// Maximum number of other CPUs of each kind that a report names.
const SHOWN: usize = 8;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for cpus in [2, 8, 32] {
        for (kind, check) in [
            ("panic-all", all as fn(&PanicReport) -> Result),
            ("panic-printing", printing),
            ("panic-first", first),
        ] {
            trials.push(one(kind, cpus, "x2apic", check));
        }
    }
    trials.push(one("panic-printing", 8, "xapic", printing));
    trials.push(one("panic-first", 8, "xapic", first));
    trials.push(one("panic-silent", 3, "x2apic", silent));
    trials.push(one("panic-silent", 12, "x2apic", silent));
    trials
}

fn one(
    kind: &'static str,
    cpus: u32,
    mode: &'static str,
    check: fn(&PanicReport) -> Result,
) -> Trial {
    trial(
        format!("trouble::panic_stop::{kind}::{mode}::smp{cpus}"),
        move || {
            with(&machine_in(mode, cpus)?, |session| {
                check(&PanicReport::of(kind, cpus, session)?)
            })
        },
    )
}

/// The result of a panic stop.
struct PanicReport {
    cpus: u32,
    /// Output before the report.
    before: Vec<String>,
    /// The reporting CPU.
    reporter: u32,
    /// The panic message.
    what: String,
    /// The lines about other CPUs: the field's name, and the rest.
    others: Vec<(String, String)>,
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is part of this program")
}

impl PanicReport {
    /// Stops the kernel by `fault KIND`, and reads its report: every line must belong to the
    /// report.
    fn of(kind: &str, cpus: u32, session: &mut Session) -> Result<Self> {
        static TITLE: LazyLock<Regex> =
            LazyLock::new(|| regex(r"^#### CPU (\d+): kernel panic #+$"));
        static BODY: LazyLock<Regex> = LazyLock::new(|| {
            regex(
                r"^  (?:what        (.+)|where       kernel/monitor/src/commands/fault_injection_smp\.rs:\d+:\d+|backtrace|  [ \d]\d  0x[0-9a-f]{16}  \S.*\+0x[0-9a-f]+|(also|silent|stopped)  +(\S.*))$",
            )
        });
        session.wait_prompt(TIMEOUT)?;
        let from = session.transcript().bytes().len();
        session.send_line(&format!("fault {kind}"))?;
        session.expect_exit(STOPPED, TIMEOUT)?;
        let output = session.transcript().text_from(from);
        let mut lines = output.lines().map(str::trim_end);
        let mut before = Vec::new();
        let title = loop {
            let line = lines.next().ok_or("there is no report")?;
            if let Some(title) = TITLE.captures(line) {
                break title;
            }
            before.push(line.to_owned());
        };
        let mut report = Self {
            cpus,
            before,
            reporter: title[1].parse()?,
            what: String::new(),
            others: Vec::new(),
        };
        let last = format!("#### CPU {} stopped ", report.reporter);
        for line in lines.by_ref() {
            if line.starts_with(&last) {
                break;
            }
            let body = BODY.captures(line);
            let body = body.ok_or(format!("{line:?} does not belong in the report"))?;
            if let Some(what) = body.get(1) {
                ensure!(report.what.is_empty(), "there are two reports in one");
                what.as_str().clone_into(&mut report.what);
            }
            if let (Some(name), Some(rest)) = (body.get(2), body.get(3)) {
                let (name, rest) = (name.as_str().to_owned(), rest.as_str().to_owned());
                report.others.push((name, rest));
            }
        }
        let rest: Vec<_> = lines.collect();
        ensure!(rest.is_empty(), "after the report: {rest:?}");
        Ok(report)
    }

    /// Checks that all CPUs except the reporter are named, each once, or counted.
    fn check_all_named(&self) -> Result {
        let mut named = BTreeSet::new();
        let mut more = 0;
        for (kind, text) in &self.others {
            let mut words = text.split_whitespace();
            match (words.next(), words.next()) {
                (Some("CPU"), Some(number)) => {
                    let number: u32 = number.trim_end_matches(':').parse()?;
                    ensure!(number < self.cpus, "there is no CPU {number}");
                    ensure!(
                        number != self.reporter,
                        "the reporter {number} is named as another CPU"
                    );
                    ensure!(named.insert(number), "CPU {number} is named twice");
                }
                (Some(count), Some("more")) => {
                    let shown = self.of_kind(kind).count() - 1;
                    ensure_eq!(shown, SHOWN, "{kind} CPUs that are named");
                    more += count.parse::<usize>()?;
                }
                _ => return Err(format!("{kind} {text:?} names no CPU").into()),
            }
        }
        let others = self.cpus as usize - 1;
        ensure_eq!(named.len() + more, others, "other CPUs in the report");
        Ok(())
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        let of_kind = self.others.iter().filter(move |(name, _)| name == kind);
        of_kind.map(|(_, text)| text.as_str())
    }

    /// Checks that the first CPUs of a kind match `expected` by their numbers, and that the rest is
    /// counted.
    fn check_kind(&self, kind: &str, expected: impl Fn(u32) -> String) -> Result {
        let others: Vec<_> = (0..self.cpus).filter(|&cpu| cpu != self.reporter).collect();
        let found: Vec<_> = self.of_kind(kind).collect();
        ensure_eq!(
            found.len(),
            others.len().min(SHOWN + 1),
            "lines of {kind} CPUs"
        );
        for (&cpu, line) in others.iter().take(SHOWN).zip(&found) {
            let expected = regex(&expected(cpu));
            ensure!(expected.is_match(line), "{line:?} is not {expected}");
        }
        if others.len() > SHOWN {
            let more = format!("{} more", others.len() - SHOWN);
            ensure_eq!(found[SHOWN], more, "the last line of {kind} CPUs");
        }
        Ok(())
    }
}

/// Each CPU reports, was stopped before it could report, or has left its record.
fn all(report: &PanicReport) -> Result {
    let expected = format!("CPU {} panics with all others", report.reporter);
    ensure_eq!(report.what, expected, "what");
    for note in report.of_kind("also") {
        let note_of = regex(
            r"^(?:CPU (\d+): kernel panic: CPU (\d+) panics with all others, at kernel/monitor/src/commands/fault_injection_smp\.rs:\d+:\d+|\d+ more)$",
        );
        let words = note_of
            .captures(note)
            .ok_or(format!("a note is {note:?}"))?;
        let [by, of] = [1, 2].map(|index| words.get(index).map(|word| word.as_str()));
        ensure_eq!(by, of, "the CPU that a note is of");
    }
    ensure_eq!(report.of_kind("silent").count(), 0, "silent CPUs");
    report.check_all_named()
}

/// All lines of other CPUs are complete, and none follows the start of the report.
fn printing(report: &PanicReport) -> Result {
    ensure_eq!(report.reporter, 0, "reporter");
    ensure_eq!(report.what, "CPU 0 panics while others print", "what");
    let whole = regex(r"^line \d+ by CPU (\d+), to its end$");
    let lines = report
        .before
        .iter()
        .skip_while(|line| !line.starts_with("fault: "));
    let lines: Vec<_> = lines.skip(1).collect();
    ensure!(lines.len() > 10, "the others printed {} lines", lines.len());
    for line in lines {
        ensure!(whole.is_match(line), "a line is torn: {line:?}");
    }
    report.check_kind("stopped", |cpu| {
        format!(r"^CPU {cpu} at 0x[0-9a-f]{{16}}  \S")
    })?;
    report.check_all_named()
}

/// CPUs that stop after the reporter has begun leave a record each: odd ones a panic, even ones
/// #UD.
fn first(report: &PanicReport) -> Result {
    ensure_eq!(report.reporter, 0, "reporter");
    ensure_eq!(report.what, "CPU 0 panics before the others", "what");
    report.check_kind("also", |cpu| {
        if cpu % 2 == 1 {
            format!("^CPU {cpu}: kernel panic: CPU {cpu} panics after another, at kernel/monitor/src/commands/fault_injection_smp")
        } else {
            format!(r"^CPU {cpu}: #UD invalid opcode at 0x[0-9a-f]{{16}}  \S+::fail_after_stop\+0x")
        }
    })?;
    report.check_all_named()
}

/// CPUs that do not respond to the NMI are named, after a bounded wait.
fn silent(report: &PanicReport) -> Result {
    ensure_eq!(report.reporter, 0, "reporter");
    report.check_kind("silent", |cpu| {
        format!("^CPU {cpu} did not respond to an NMI$")
    })?;
    report.check_all_named()
}

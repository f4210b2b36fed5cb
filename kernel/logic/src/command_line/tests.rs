use crate::apic::ModeOption;

use super::{Item, Options, ProblemKind, Problems, Quoting, items, virtio_mmio};
use crate::smp::{InjectedFault, Stage};
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;

fn split(line: &str) -> Vec<(&str, Option<&str>, usize)> {
    items(line)
        .map(|item| (item.key, item.value, item.offset))
        .collect()
}

fn messages(line: &str) -> Vec<String> {
    let (_, problems) = Options::parse(line);
    assert_eq!(problems.dropped(), 0);
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn items_are_keys_with_or_without_values() {
    assert_eq!(
        split("run=\"memory; poweroff\" apic=xapic quiet"),
        [
            ("run", Some("memory; poweroff"), 0),
            ("apic", Some("xapic"), 23),
            ("quiet", None, 34),
        ]
    );
}

#[test]
fn white_space_around_items_does_not_matter() {
    assert_eq!(split(" \t a=1\n b "), [("a", Some("1"), 3), ("b", None, 8)]);
    assert_eq!(split("  "), []);
    assert_eq!(split(""), []);
}

#[test]
fn values_may_be_empty_or_contain_equals_signs() {
    assert_eq!(
        split("a= b=\"\" c=d=e"),
        [
            ("a", Some(""), 0),
            ("b", Some(""), 3),
            ("c", Some("d=e"), 8)
        ]
    );
    assert_eq!(split("=1"), [("", Some("1"), 0)]);
}

#[test]
fn an_unclosed_quote_takes_the_rest_of_the_line() {
    let item = items("a run=\"b c").nth(1).unwrap();
    assert_eq!(item.value, Some("b c"));
    assert_eq!(item.text, "run=\"b c");
    assert_eq!(item.quoting, Quoting::Unclosed(6));
    assert_eq!(item.to_string(), "run=\"b c");
}

#[test]
fn text_after_a_quote_is_the_next_item() {
    let found: Vec<Item<'_>> = items("run=\"a\"apic=xapic").collect();
    assert_eq!(found[0].value, Some("a"));
    assert_eq!(found[0].quoting, Quoting::TextAfter(7));
    assert_eq!((found[1].key, found[1].value), ("apic", Some("xapic")));
}

#[test]
fn an_empty_line_gives_the_defaults() {
    let (options, problems) = Options::parse("");
    assert_eq!(options, Options::default());
    assert_eq!(
        (options.run, options.apic, options.maxcpus),
        (None, ModeOption::Auto, None)
    );
    assert!(problems.is_empty());
}

#[test]
fn all_options_are_taken() {
    let (options, problems) = Options::parse("maxcpus=0x10 run=\"memory; poweroff 3\" apic=x2apic");
    assert!(problems.is_empty());
    assert_eq!(options.run, Some("memory; poweroff 3"));
    assert_eq!(options.apic, ModeOption::X2Apic);
    assert_eq!(options.maxcpus, Some(16));
    for (text, mode) in [
        ("auto", ModeOption::Auto),
        ("xapic", ModeOption::XApic),
        ("x2apic", ModeOption::X2Apic),
    ] {
        let line = std::format!("apic={text}");
        assert_eq!(Options::parse(&line).0.apic, mode);
    }
}

#[test]
fn devices_may_be_given_several_times() {
    let line = "virtio_mmio.device=512@0x1000:5 apic=auto virtio_mmio.device=4K@0x2000:6:1 \
                virtio_mmio.device=oops";
    let gsis: Vec<u32> = virtio_mmio(line).map(|place| place.gsi).collect();
    assert_eq!(gsis, [5, 6]);
    let problems = messages(line);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("`virtio_mmio.device=oops` at column "));
}

#[test]
fn unknown_options_are_named_with_their_place_and_the_known_ones() {
    assert_eq!(
        messages("apic=xapic foo=1"),
        [
            "unknown option `foo` at column 12; known: run, apic, iommu, maxcpus, failcpu, latecpu, cpu_init_udelay, \
             virtio_mmio.device"
        ]
    );
    assert_eq!(
        messages("RUN=x"),
        [
            "unknown option `RUN` at column 1; known: run, apic, iommu, maxcpus, failcpu, latecpu, cpu_init_udelay, \
             virtio_mmio.device"
        ]
    );
}

#[test]
fn bad_values_say_what_is_needed() {
    for (line, message) in [
        (
            "maxcpus=0",
            "`maxcpus=0` at column 1: a number from 1 up is needed",
        ),
        (
            "virtio_mmio.device=512@0xfeb00e00",
            "`virtio_mmio.device=512@0xfeb00e00` at column 1: \
             there is no : between address and GSI; \
             SIZE@ADDRESS:GSI, such as 512@0xfeb00e00:31, is needed",
        ),
        (
            "virtio_mmio.device",
            "`virtio_mmio.device` at column 1: SIZE@ADDRESS:GSI, such as 512@0xfeb00e00:31, is needed",
        ),
        (
            "maxcpus=many",
            "`maxcpus=many` at column 1: a number from 1 up is needed",
        ),
        (
            "maxcpus=4294967296",
            "`maxcpus=4294967296` at column 1: a number from 1 up is needed",
        ),
        (
            "maxcpus",
            "`maxcpus` at column 1: a number from 1 up is needed",
        ),
        (
            " apic=X2",
            "`apic=X2` at column 2: auto, xapic or x2apic is needed",
        ),
        (
            "run",
            "`run` at column 1: a list of monitor commands, such as \"memory; poweroff\", is needed",
        ),
    ] {
        assert_eq!(messages(line), [message]);
        assert_eq!(Options::parse(line).0, Options::default());
    }
}

#[test]
fn failcpu_takes_a_cpu_and_a_stage() {
    let (options, problems) = Options::parse("failcpu=3@apic");
    let expected = InjectedFault {
        cpu: 3,
        stage: Stage::LocalApic,
    };
    assert_eq!(options.failcpu, Some(expected));
    assert!(problems.is_empty());
    let (options, problems) = Options::parse("failcpu=0@apic");
    assert_eq!(options.failcpu, None);
    assert_eq!(problems.iter().count(), 1);
}

#[test]
fn latecpu_takes_a_stage_after_the_claim() {
    let (options, problems) = Options::parse("latecpu=3@long");
    let expected = InjectedFault {
        cpu: 3,
        stage: Stage::LongMode,
    };
    assert_eq!(options.latecpu, Some(expected));
    assert!(problems.is_empty());
    assert_eq!(
        messages("latecpu=3@silent"),
        [
            "`latecpu=3@silent` at column 1: CPU@STAGE, the stage long, kernel, tables or apic, is needed"
        ]
    );
}

#[test]
fn the_wait_after_init_is_in_microseconds() {
    for (value, expected) in [("0", 0), ("10000", 10_000), ("1000000", 1_000_000)] {
        let line = std::format!("cpu_init_udelay={value}");
        let (options, problems) = Options::parse(&line);
        assert_eq!(options.cpu_init_udelay, Some(expected));
        assert!(problems.is_empty());
    }
    for value in ["", "-1", "1000001", "auto", "10ms"] {
        let line = std::format!("cpu_init_udelay={value}");
        assert_eq!(Options::parse(&line).0, Options::default(), "{value:?}");
        assert_eq!(
            messages(&line),
            [std::format!(
                "`{line}` at column 1: a number of microseconds from 0 to 1000000 is needed"
            )]
        );
    }
}

#[test]
fn a_bad_item_does_not_spoil_the_others() {
    let (options, problems) = Options::parse("maxcpus=2 apic=bad foo maxcpus=x run=help");
    assert_eq!(
        options,
        Options {
            run: Some("help"),
            apic: ModeOption::Auto,
            maxcpus: Some(2),
            ..Options::default()
        }
    );
    let offsets: Vec<usize> = problems.iter().map(|problem| problem.offset).collect();
    assert_eq!(offsets, [10, 19, 23]);
}

#[test]
fn the_last_of_two_counts_and_is_reported() {
    let line = "maxcpus=2 maxcpus=3";
    assert_eq!(Options::parse(line).0.maxcpus, Some(3));
    assert_eq!(
        messages(line),
        ["`maxcpus=3` at column 11: maxcpus was given before; this one counts"]
    );
}

#[test]
fn quotes_that_are_wrong_are_reported() {
    assert_eq!(
        messages("run=\"memory; poweroff"),
        ["unclosed quote at column 5: taken to the end of the line"]
    );
    assert_eq!(
        Options::parse("run=\"memory; poweroff").0.run,
        Some("memory; poweroff")
    );
    assert_eq!(
        messages("run=\"a\"apic=xapic"),
        ["text right after a quote at column 8: taken as the next item"]
    );
}

#[test]
fn more_problems_than_fit_are_counted() {
    let (_, problems) = Options::parse("a b c d e f g h i j");
    assert_eq!(problems.iter().count(), Problems::CAPACITY);
    assert_eq!(problems.dropped(), 2);
    assert!(
        problems
            .iter()
            .all(|p| matches!(p.kind, ProblemKind::Unknown { .. }))
    );
    assert_eq!((&problems).into_iter().count(), 8);
}

proptest! {
    /// No input causes a panic; every item is at its reported offset, and items do not overlap.
    #[test]
    fn items_lie_where_they_say(line in "([a-c=\" \t]|\\PC){0,40}") {
        let mut end = 0;
        for item in items(&line) {
            prop_assert!(item.offset >= end);
            prop_assert!(line[end..item.offset].trim().is_empty());
            prop_assert!(line[item.offset..].starts_with(item.text));
            prop_assert!(item.text.starts_with(item.key));
            end = item.offset + item.text.len();
        }
        prop_assert!(line[end..].trim().is_empty());
    }

    #[test]
    fn any_line_is_read(line in "(run|apic|maxcpus|=|\"|[0-9]| |\\PC){0,30}") {
        let (options, problems) = Options::parse(&line);
        prop_assert!(options.maxcpus != Some(0));
        for problem in &problems {
            prop_assert!(problem.offset < line.len());
            prop_assert!(!problem.to_string().is_empty());
        }
    }

    /// Options written in the documented form parse to the same values.
    #[test]
    fn written_options_come_back(run in "[a-z; 0-9]{0,20}", maxcpus in 1_u32.., hex: bool) {
        let maxcpus_text = if hex { std::format!("{maxcpus:#x}") } else { maxcpus.to_string() };
        let line = std::format!("maxcpus={maxcpus_text} run=\"{run}\"");
        let (options, problems) = Options::parse(&line);
        prop_assert!(problems.is_empty());
        prop_assert_eq!((options.run, options.maxcpus), (Some(run.as_str()), Some(maxcpus)));
    }
}

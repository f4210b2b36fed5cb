use super::{NumberError, commands, parse_number, words};
use proptest::prelude::*;
use std::format;
use std::string::ToString;
use std::vec::Vec;

fn split(line: &str) -> Vec<&str> {
    commands(line).collect()
}

fn split_words(command: &str) -> Vec<&str> {
    words(command).collect()
}

#[test]
fn commands_are_separated_by_semicolons() {
    assert_eq!(
        split("memory; fault pf ;poweroff 3"),
        ["memory", "fault pf", "poweroff 3"]
    );
    assert_eq!(split("help"), ["help"]);
}

#[test]
fn empty_commands_are_left_out() {
    assert_eq!(split(""), [""; 0]);
    assert_eq!(split(" ; ;;\t"), [""; 0]);
    assert_eq!(split(";a;;b;"), ["a", "b"]);
}

#[test]
fn quotes_protect_semicolons_and_spaces() {
    assert_eq!(split("say \"a; b\"; c"), ["say \"a; b\"", "c"]);
    assert_eq!(split_words("say \"a;  b\" c"), ["say", "a;  b", "c"]);
    assert_eq!(
        split_words("set run=\"a b\" c"),
        ["set", "run=\"a b\"", "c"]
    );
}

#[test]
fn an_unclosed_quote_goes_to_the_end() {
    assert_eq!(split("say \"a; b"), ["say \"a; b"]);
    assert_eq!(split_words("say \"a b "), ["say", "a b "]);
}

#[test]
fn words_are_separated_by_any_white_space() {
    assert_eq!(split_words("  a\t b \r\n c  "), ["a", "b", "c"]);
    assert_eq!(split_words(" "), [""; 0]);
}

#[test]
fn a_quoted_word_may_be_empty() {
    assert_eq!(split_words("say \"\" x"), ["say", "", "x"]);
    assert_eq!(split_words("say \""), ["say", ""]);
}

#[test]
fn only_a_word_that_is_one_quoted_text_loses_its_quotes() {
    assert_eq!(
        split_words("\"a\"b a\"b\" \"a\"\"b\""),
        ["\"a\"b", "a\"b\"", "\"a\"\"b\""]
    );
}

#[test]
fn numbers_in_all_bases() {
    for (text, value) in [
        ("0", 0),
        ("32", 32),
        ("0x20", 32),
        ("0X2f", 0x2f),
        ("0o40", 32),
        ("0b10_0000", 32),
        ("007", 7),
        ("1_000_000", 1_000_000),
        ("0xffff_8000_0000_0000", 0xffff_8000_0000_0000),
        ("18446744073709551615", u64::MAX),
        ("0xffffffffffffffff", u64::MAX),
    ] {
        assert_eq!(parse_number(text), Ok(value), "{text}");
    }
}

#[test]
fn what_is_no_number_says_why() {
    let digit = |character, base| Err(NumberError::Digit { character, base });
    for (text, error) in [
        ("", Err(NumberError::Empty)),
        ("0x", Err(NumberError::Empty)),
        ("_", Err(NumberError::Empty)),
        ("2f", digit('f', 10)),
        ("0b12", digit('2', 2)),
        ("0o8", digit('8', 8)),
        ("0xg", digit('g', 16)),
        ("-1", digit('-', 10)),
        ("+1", digit('+', 10)),
        (" 1", digit(' ', 10)),
        ("ünf", digit('ü', 10)),
        ("0xü", digit('ü', 16)),
        ("18446744073709551616", Err(NumberError::TooLarge)),
        ("0x10000000000000000", Err(NumberError::TooLarge)),
    ] {
        assert_eq!(parse_number(text), error, "{text}");
    }
}

#[test]
fn number_errors_in_words() {
    for (text, message) in [
        ("", "a number is missing; write 32, 0x20, 0o40 or 0b100000"),
        (
            "2f",
            "'f' is not a decimal digit; hexadecimal numbers begin with 0x",
        ),
        ("0b2", "'2' is not a digit in base 2"),
        (
            "99999999999999999999",
            "the number is above 0xffffffffffffffff",
        ),
    ] {
        assert_eq!(parse_number(text).unwrap_err().to_string(), message);
    }
}

proptest! {
    #[test]
    fn numbers_round_trip(value: u64) {
        for text in [format!("{value}"), format!("{value:#x}"), format!("{value:#o}"), format!("{value:#b}")] {
            prop_assert_eq!(parse_number(&text), Ok(value));
        }
    }

    /// No panic for any input, and only separators and quotes are removed.
    #[test]
    fn any_line_is_split_without_loss(line in "([a-c;\" \t=ü]|\\PC){0,40}") {
        let kept = |text: &str| -> usize {
            text.chars().filter(|c| !c.is_whitespace() && !";\"".contains(*c)).count()
        };
        let split = split(&line);
        prop_assert_eq!(split.iter().map(|c| kept(c)).sum::<usize>(), kept(&line));
        for command in split {
            prop_assert!(!command.is_empty() && command == command.trim());
            let words = split_words(command);
            prop_assert_eq!(words.iter().map(|w| kept(w)).sum::<usize>(), kept(command));
            let _ = parse_number(command);
        }
    }

    /// Words that are quoted where necessary are returned unchanged.
    #[test]
    fn quoting_protects_every_word(given in prop::collection::vec("[a-z;= \t]{0,8}", 1..6)) {
        let quoted: Vec<_> = given.iter().map(|word| format!("\"{word}\"")).collect();
        let line = quoted.join(" ");
        prop_assert_eq!(split(&line), [line.as_str()]);
        prop_assert_eq!(split_words(&line), given);
    }
}

//! Tests of `transcript`.

use super::*;

fn transcript() -> Transcript {
    let mut it = Transcript::default();
    it.push(b"one\r\ntw", Duration::from_millis(1));
    it.push(b"o\n\x1b[1mthree", Duration::from_millis(2));
    it
}

#[test]
fn finds_across_pieces_and_knows_when() {
    let it = transcript();
    assert_eq!(it.find(b"two", 0), Some(5));
    assert_eq!(it.find(b"one", 1), None);
    assert_eq!(it.find(b"one", 100), None);
    assert_eq!(it.time_of(6), Some(Duration::from_millis(1)));
    assert_eq!(it.time_of(7), Some(Duration::from_millis(2)));
    assert_eq!(it.time_of(it.bytes().len()), None);
}

#[test]
fn shows_lines_trimmed_and_controls_as_text() {
    let it = transcript();
    assert_eq!(it.text_from(0), "one\ntwo\n\\u{1b}[1mthree");
    assert_eq!(it.tail(2), "   0.001 | two\n   0.002 | \\u{1b}[1mthree\n");
    assert_eq!(it.tail(9).lines().count(), 3);
    assert_eq!(Transcript::default().tail(5), "");
}

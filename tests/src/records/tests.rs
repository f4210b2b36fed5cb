//! Tests of `records`.

use serde::Deserialize;

use super::{all, one};

#[derive(Debug, Deserialize, PartialEq)]
struct Cpu {
    number: u32,
    uid: Option<u32>,
}

const OUTPUT: &str = r#"
@json {"kind":"cpu","number":0,"uid":null}
@json {"kind":"end"}
@json {"kind":"cpu","number":1,"uid":7,"state":"online"}
"#;

#[test]
fn records_of_a_kind_are_read() {
    let cpus: Vec<Cpu> = all(OUTPUT, "cpu").unwrap();
    let [first, second] = &cpus[..] else {
        panic!("found {cpus:?}")
    };
    assert_eq!((first.number, first.uid), (0, None));
    assert_eq!((second.number, second.uid), (1, Some(7)));
    assert!(one::<serde_json::Value>(OUTPUT, "end").is_ok());
}

#[test]
fn wrong_records_are_rejected() {
    assert!(one::<Cpu>(OUTPUT, "cpu").unwrap_err().contains("several"));
    assert!(
        all::<Cpu>(OUTPUT, "line")
            .unwrap_err()
            .contains("no record")
    );
    assert!(all::<Cpu>(OUTPUT, "end").unwrap_err().contains("number"));
    assert!(all::<Cpu>("@json {", "cpu").unwrap_err().contains("EOF"));
}

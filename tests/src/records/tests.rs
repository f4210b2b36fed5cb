//! Tests of `records`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{all, any, contain, one};

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
    assert!(one::<Value>(OUTPUT, "end").is_ok());
    assert_eq!(any::<Cpu>(OUTPUT, "line"), Ok(Vec::new()));
}

#[test]
fn members_are_compared() {
    let output = r#"@json {"kind":"line","name":"a","route":{"gsi":4,"pin":4},"cpus":[1,2]}"#;
    let line = |expected| contain(output, &expected).unwrap();
    assert!(line(json!({ "kind": "line", "route": { "pin": 4 } })));
    assert!(line(json!({ "kind": "line", "cpus": [1, 2] })));
    assert!(!line(json!({ "kind": "line", "cpus": [1] })));
    assert!(!line(json!({ "kind": "line", "route": null })));
    assert!(!line(json!({ "kind": "line", "name": "a", "cpu": 1 })));
    assert!(contain(output, &json!({ "kind": "cpu" })).is_err());
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
    assert!(any::<Cpu>(OUTPUT, "end").unwrap_err().contains("number"));
    assert!(all::<Cpu>("@json {", "cpu").unwrap_err().contains("EOF"));
}

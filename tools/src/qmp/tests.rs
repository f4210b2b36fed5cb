//! Tests of `qmp`.

use super::*;
use serde_json::json;

fn parse(line: &str) -> Message {
    serde_json::from_str(line).unwrap()
}

#[test]
fn lines_are_distinguished() {
    let greeting = r#"{"QMP": {"version": {"qemu": {"major": 10}}, "capabilities": ["oob"]}}"#;
    assert!(matches!(parse(greeting), Message::Greeting { .. }));
    let line = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN",
                   "data": {"guest": true, "reason": "guest-reset"}}"#;
    let Message::Event(event) = parse(line) else {
        panic!("not an event")
    };
    assert_eq!(
        (event.name.as_str(), event.reason()),
        ("SHUTDOWN", "guest-reset")
    );
    assert!(matches!(parse(r#"{"event": "STOP"}"#), Message::Event(e) if e.reason().is_empty()));
    assert!(matches!(
        parse(r#"{"return": {}, "id": 7}"#),
        Message::Return { id: 7, .. }
    ));
    let line = r#"{"id": 8, "error": {"class": "GenericError", "desc": "no"}}"#;
    assert!(matches!(parse(line), Message::Error { id: Some(8), error } if error.desc == "no"));
}

#[test]
fn commands_are_one_line() {
    let line = command("human-monitor-command", &json!({"command-line": "a\nb"}), 3);
    assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
    let back: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(back["arguments"]["command-line"], "a\nb");
    assert!(
        !String::from_utf8(command("quit", &Value::Null, 1))
            .unwrap()
            .contains("arguments")
    );
}

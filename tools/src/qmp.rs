//! QEMU's control protocol, as far as the runner needs it: one JSON value a line.
//!
//! The `qapi` crate reads the socket only while a command waits for its answer.
//! Here events (a reset, a shutdown) must be seen the moment they come, next to
//! the serial line, so a thread reads and this module only gives lines a meaning.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::Value;

/// Something that happened to the machine, as `RESET` or `SHUTDOWN`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Event {
    /// QEMU's name of it.
    #[serde(rename = "event")]
    pub name: String,
    /// What belongs to it.
    #[serde(default)]
    pub data: Value,
}

impl Event {
    /// Why, for the events that say so, as `guest-reset`.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.data["reason"].as_str().unwrap_or_default()
    }
}

/// One line from QEMU.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Message {
    Greeting {
        #[serde(rename = "QMP")]
        _qmp: Value,
    },
    Event(Event),
    Return {
        #[serde(rename = "return")]
        value: Value,
        id: u64,
    },
    Error {
        error: Refusal,
        #[serde(default)]
        id: Option<u64>,
    },
}

/// QEMU's answer to a command it would not do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Refusal {
    pub desc: String,
}

/// A command as a line to send.
pub(crate) fn command(name: &str, arguments: &Value, id: u64) -> Vec<u8> {
    let mut command = serde_json::json!({ "execute": name, "id": id });
    if !arguments.is_null() {
        command["arguments"] = arguments.clone();
    }
    let mut line = command.to_string().into_bytes();
    line.push(b'\n');
    line
}

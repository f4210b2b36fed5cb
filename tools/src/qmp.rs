//! QEMU's control protocol, as far as the runner needs it: one JSON value per line.
//!
//! The `qapi` crate reads the socket only while a command waits for its response. Here, events (a
//! reset, a shutdown) must be detected as soon as they arrive, together with the serial output, so
//! a thread reads and this module only parses lines.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::Value;

/// An event of the machine, such as `RESET` or `SHUTDOWN`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Event {
    /// QEMU's name of it.
    #[serde(rename = "event")]
    pub name: String,
    /// Its data.
    #[serde(default)]
    pub data: Value,
}

impl Event {
    /// The reason, for events that have one, such as `guest-reset`.
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
        error: QmpError,
        #[serde(default)]
        id: Option<u64>,
    },
}

/// QEMU's error response to a command.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct QmpError {
    pub desc: String,
}

/// Formats a command as a line.
pub(crate) fn command(name: &str, arguments: &Value, id: u64) -> Vec<u8> {
    let mut command = serde_json::json!({ "execute": name, "id": id });
    if !arguments.is_null() {
        command["arguments"] = arguments.clone();
    }
    let mut line = command.to_string().into_bytes();
    line.push(b'\n');
    line
}

//! QEMU's side of a session: queries and observations from outside the guest.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Session, SessionError, Stop};
use crate::qmp::{self, Event};
use crate::transcript::text;

impl Session {
    /// Waits for the `count`th QMP event of this name since the start.
    ///
    /// # Errors
    ///
    /// It does not arrive within `limit`, or the machine ends first.
    pub fn expect_event(
        &self,
        name: &str,
        count: usize,
        limit: Duration,
    ) -> Result<Event, SessionError> {
        self.wait_for(&format!("{name} event"), limit, |state| {
            let mut named = state.events.iter().filter(|event| event.name == name);
            named.nth(count.saturating_sub(1)).cloned()
        })
    }

    /// Runs a QMP command; `Value::Null` for no arguments.
    ///
    /// # Errors
    ///
    /// QEMU rejects it, does not respond, or has exited.
    pub fn qmp(&self, name: &str, arguments: &Value) -> Result<Value, SessionError> {
        let what = format!("reply from QEMU to {name}");
        match self.exchange(name, arguments, self.timeout) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(SessionError::Refused {
                command: format!("{name} {arguments}"),
                reason: error.desc,
            }),
            Err(Stop::TimedOut) => Err(self.silent(&what)),
            Err(Stop::Ended | Stop::TripleFault) => Err(self.ended(&what)),
        }
    }

    /// Sends a QMP command and waits for its response.
    pub(super) fn exchange(
        &self,
        name: &str,
        arguments: &Value,
        limit: Duration,
    ) -> Result<Result<Value, qmp::QmpError>, Stop> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let sent = self.link.write_qmp(&qmp::command(name, arguments, id));
        sent.map_err(|_| Stop::Ended)?;
        self.wait(Some(limit), |state| state.replies.remove(&id))
    }

    /// Runs a command of QEMU's monitor, such as `info registers`, and returns its output.
    ///
    /// # Errors
    ///
    /// As for [`Session::qmp`]; errors of the monitor itself are in its output.
    pub fn hmp(&self, line: &str) -> Result<String, SessionError> {
        let reply = self.qmp("human-monitor-command", &json!({ "command-line": line }))?;
        Ok(text(reply.as_str().unwrap_or_default().as_bytes()))
    }

    /// Reads `size` bytes of the guest's physical memory from `address`.
    ///
    /// # Errors
    ///
    /// As for [`Session::qmp`], or QEMU's file cannot be read.
    pub fn physical_memory(&self, address: u64, size: u64) -> Result<Vec<u8>, SessionError> {
        let id = self.next_id.load(Ordering::Relaxed);
        let file = self.files.path().join(format!("memory-{id}"));
        let name = file.to_string_lossy();
        self.qmp(
            "pmemsave",
            &json!({ "val": address, "size": size, "filename": name }),
        )?;
        let what = "cannot read the memory that QEMU saved";
        let bytes = std::fs::read(&file).map_err(|source| SessionError::Files { what, source })?;
        // It has no other reader; a file that cannot be removed is deleted with the directory.
        let _ = std::fs::remove_file(&file);
        Ok(bytes)
    }
}

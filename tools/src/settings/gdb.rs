//! `GDB`: the address at which a debugged machine waits for gdb.

use std::ffi::OsString;
use std::path::Path;

use super::BadSetting;
use crate::machine::escaped;

/// The address at which QEMU listens and to which gdb connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GdbEndpoint {
    /// This TCP port.
    Port(u16),
    /// The socket with this path.
    Socket(String),
}

impl GdbEndpoint {
    /// Checks the value of `GDB`.
    ///
    /// # Errors
    ///
    /// It is neither a port nor a path.
    pub fn parse(value: &str) -> Result<Self, BadSetting> {
        match value.parse() {
            Ok(port) if port > 0 => Ok(Self::Port(port)),
            _ if value.contains('/') => Ok(Self::Socket(value.to_owned())),
            _ => Err(BadSetting::new(
                "GDB",
                value,
                "that is no TCP port",
                "give one from 1 to 65535, or a socket's path with a slash in it",
            )),
        }
    }

    /// QEMU's `-gdb`.
    pub(crate) fn for_qemu(&self) -> OsString {
        match self {
            Self::Port(port) => format!("tcp::{port}").into(),
            Self::Socket(path) => {
                let path = escaped(Path::new(path));
                ["unix:".as_ref(), &*path, ",server=on,wait=off".as_ref()]
                    .into_iter()
                    .collect()
            }
        }
    }

    /// The argument of gdb's `target remote`.
    #[must_use]
    pub fn for_gdb(&self) -> String {
        match self {
            Self::Port(port) => format!(":{port}"),
            Self::Socket(path) => path.clone(),
        }
    }
}

//! Values that several records contain.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Serialize, Serializer};
use tocsin::panic::symbols::Code;

/// An address in the kernel's code. Its members are the address and, if known, the name of the
/// function and the offset in it.
#[derive(Clone, Copy)]
pub(super) struct CodeAddress(pub(super) Code);

impl Serialize for CodeAddress {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Members {
            address: u64,
            function: Option<String>,
            offset: Option<u64>,
        }
        let address = self.0.0;
        let symbol = self.0.symbol();
        let members = Members {
            address,
            function: symbol.map(|symbol| symbol.to_string()),
            offset: symbol.map(|symbol| address.wrapping_sub(symbol.address)),
        };
        members.serialize(to)
    }
}

impl fmt::Display for CodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counters, whose names are the members.
pub(super) struct Counters(pub(super) Vec<(&'static str, u64)>);

impl Serialize for Counters {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let members = self
            .0
            .iter()
            .map(|&(name, count)| (identifier(name), count));
        to.collect_map(members)
    }
}

/// A name in `snake_case`.
fn identifier(name: &str) -> String {
    name.to_ascii_lowercase().replace(['-', ' '], "_")
}

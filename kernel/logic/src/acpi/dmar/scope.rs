//! Device scopes: the devices of a remapping structure (VT-d specification, 8.3.1).

use crate::acpi::{Error, ErrorKind, Located, Signature};
use core::fmt;
use core::iter::FusedIterator;

/// The size of the part before the path, in bytes.
const FIXED_SIZE: usize = 6;
/// The minimum length: with a path of one element, which has two bytes.
const MIN_SIZE: usize = FIXED_SIZE + 2;

/// The kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScopeKind {
    /// 1: one function.
    Endpoint,
    /// 2: a bridge, and all functions behind it.
    Hierarchy,
    /// 3: an I/O APIC. The enumeration ID is its ID in the MADT.
    IoApic,
    /// 4: an HPET that sends messages. The enumeration ID is its number.
    Hpet,
    /// 5: a device of the ACPI namespace. The enumeration ID is the number in the ANDD structure.
    Namespace,
    /// Any other type.
    Unknown(u8),
}

impl ScopeKind {
    const fn new(kind: u8) -> Self {
        match kind {
            1 => Self::Endpoint,
            2 => Self::Hierarchy,
            3 => Self::IoApic,
            4 => Self::Hpet,
            5 => Self::Namespace,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for ScopeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Endpoint => "function",
            Self::Hierarchy => "bridge",
            Self::IoApic => "I/O APIC",
            Self::Hpet => "HPET",
            Self::Namespace => "ACPI device",
            Self::Unknown(kind) => return write!(f, "type {kind}"),
        })
    }
}

/// A device, by the path to it.
///
/// `Display`: `I/O APIC 0 at f0:1f.7`, with the elements of the path separated by slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The kind.
    pub kind: ScopeKind,
    /// The flags, defined only in SATC and SIDP structures.
    pub flags: u8,
    /// The number of an I/O APIC, HPET or ACPI device.
    pub enumeration_id: u8,
    /// The bus on which the path begins.
    pub bus: u8,
    /// The path.
    pub path: Path<'a>,
}

/// The path of a scope: one device and function on the bus of the scope, then for each bridge one
/// on the bridge's secondary bus. It has at least one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path<'a>(&'a [u8]);

impl Path<'_> {
    /// The device and function numbers. They may be out of range.
    #[must_use]
    pub fn elements(&self) -> impl ExactSizeIterator<Item = (u8, u8)> {
        self.0
            .chunks_exact(2)
            .map(|element| (element[0], element[1]))
    }
}

impl<'a> Scope<'a> {
    /// Follows the path, and returns bus, device and function of the device. `secondary` returns
    /// the secondary bus of the bridge with these numbers; `None` if the function is no bridge.
    ///
    /// Returns `None` if there is no such bridge, or if a number of the path is out of range.
    pub fn resolve(
        &self,
        mut secondary: impl FnMut(u8, u8, u8) -> Option<u8>,
    ) -> Option<(u8, u8, u8)> {
        let mut found: Option<(u8, u8, u8)> = None;
        for (device, function) in self.path.elements() {
            if device > 31 || function > 7 {
                return None;
            }
            let bus = match found {
                None => self.bus,
                Some((bus, device, function)) => secondary(bus, device, function)?,
            };
            found = Some((bus, device, function));
        }
        found
    }

    /// Reads a scope; returns `None` if the length does not fit a path.
    fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (&[kind, _, flags, _, enumeration_id, bus], path) = bytes.split_first_chunk()?;
        let is_valid = !path.is_empty() && path.len().is_multiple_of(2);
        is_valid.then_some(Self {
            kind: ScopeKind::new(kind),
            flags,
            enumeration_id,
            bus,
            path: Path(path),
        })
    }
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        if matches!(
            self.kind,
            ScopeKind::IoApic | ScopeKind::Hpet | ScopeKind::Namespace
        ) {
            write!(f, " {}", self.enumeration_id)?;
        }
        write!(f, " at {:02x}", self.bus)?;
        for (place, (device, function)) in self.path.elements().enumerate() {
            let separator = if place == 0 { ':' } else { '/' };
            write!(f, "{separator}{device:02x}.{function:x}")?;
        }
        Ok(())
    }
}

/// An iterator over the scopes of a structure, in table order. An invalid scope yields an error in
/// its place: [`ErrorKind::ScopeLength`]; the walk ends if the length is below 2 or beyond the
/// structure.
#[derive(Clone, Debug)]
pub struct Scopes<'a> {
    /// The rest of the structure.
    rest: &'a [u8],
    /// The offset of the rest in the table.
    offset: usize,
}

impl<'a> Scopes<'a> {
    pub(super) const fn new(rest: &'a [u8], offset: usize) -> Self {
        Self { rest, offset }
    }
}

impl<'a> Iterator for Scopes<'a> {
    type Item = Result<Located<Scope<'a>>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let (rest, offset) = (self.rest, self.offset);
        let &kind = rest.first()?;
        let length = rest.get(1).copied().unwrap_or(0);
        let left = rest.len();
        let error = ErrorKind::ScopeLength {
            kind,
            length,
            min: MIN_SIZE,
            left,
        };
        let error = Some(Err(Error::new(Signature::DMAR, offset, error)));
        let size = usize::from(length);
        if size < 2 || size > left {
            self.rest = &[];
            return error;
        }
        let (bytes, rest) = rest.split_at(size);
        self.rest = rest;
        self.offset = offset + size;
        match Scope::decode(bytes) {
            Some(value) => Some(Ok(Located { offset, value })),
            None => error,
        }
    }
}

impl FusedIterator for Scopes<'_> {}

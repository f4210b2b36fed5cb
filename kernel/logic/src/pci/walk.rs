//! Enumeration of all functions of a segment.
//!
//! The walk follows the buses as bridges connect them: bus by bus, device by device, and it enters
//! the bus behind a bridge as soon as it finds the bridge. It uses the bus numbers that firmware
//! has assigned. No bridge leads to the buses behind further host bridges, and only AML describes
//! them; so the walk then visits the remaining buses in ascending order.
//!
//! Each bus is visited once, for any contents of the bridges, which bounds the walk: at most 256
//! buses, 65,536 functions and as many nested bridges as there are buses.

use super::address::{DEVICES, FUNCTIONS};
use super::{Address, Header, Layout};
use arrayvec::ArrayVec;
use core::fmt;
use core::iter::FusedIterator;

/// A function found by the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its address.
    pub address: Address,
    /// Its header.
    pub header: Header,
    /// The bridge that leads to its bus; `None` on a root bus.
    pub bridge: Option<Address>,
}

/// A problem of a bridge or a function; the walk reports the function nevertheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkProblem {
    /// Firmware has not assigned a bus to the bridge, so nothing behind it can be reached.
    NoBus(Address),
    /// The bus behind the bridge is not among the buses of its segment.
    BusOutside {
        /// The bridge.
        bridge: Address,
        /// The bus behind it.
        bus: u8,
    },
    /// The bus behind the bridge was found before: another bridge has the same, or it is the
    /// bridge's own.
    BusTwice {
        /// The bridge.
        bridge: Address,
        /// The bus behind it.
        bus: u8,
    },
    /// A header type that no specification defines.
    HeaderType {
        /// The function.
        function: Address,
        /// Its header type, without the multifunction bit.
        kind: u8,
    },
}

impl fmt::Display for WalkProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBus(bridge) => write!(
                f,
                "bridge {bridge}: no bus assigned by firmware (the functions behind it are ignored)"
            ),
            Self::BusOutside { bridge, bus } => write!(
                f,
                "bridge {bridge}: its bus {bus:#04x} is outside of the segment (ignored)"
            ),
            Self::BusTwice { bridge, bus } => write!(
                f,
                "bridge {bridge}: its bus {bus:#04x} was found before (not followed again)"
            ),
            Self::HeaderType { function, kind } => {
                write!(
                    f,
                    "function {function}: header type {kind:#04x} is not known"
                )
            }
        }
    }
}

impl core::error::Error for WalkProblem {}

/// The position on a bus that is being visited.
#[derive(Clone, Copy, Debug)]
struct Position {
    bus: u8,
    bridge: Option<Address>,
    /// The next device and function.
    device: u8,
    function: u8,
    /// Whether the device has more functions than function 0.
    more: bool,
}

/// Walks the buses `buses` of segment `segment`. `read` returns the 32-bit register at an offset of
/// a function, all ones if there is no such function.
///
/// A function precedes its problems.
pub fn walk<R: FnMut(Address, u16) -> u32>(
    segment: u16,
    buses: impl IntoIterator<Item = u8>,
    read: R,
) -> Walk<R> {
    let mut visited = [u64::MAX; 4];
    for bus in buses {
        visited[usize::from(bus) / 64] &= !(1 << (bus % 64));
    }
    Walk {
        read,
        segment,
        outside: visited,
        visited,
        open: ArrayVec::new(),
        problem: None,
    }
}

/// The iterator of [`walk`].
#[derive(Clone, Debug)]
pub struct Walk<R> {
    read: R,
    segment: u16,
    /// One bit for each bus that the segment does not have.
    outside: [u64; 4],
    /// One bit for each bus that is or was visited, or that the segment does not have.
    visited: [u64; 4],
    /// The buses being visited, each behind a bridge on the previous one.
    open: ArrayVec<Position, 256>,
    /// The problem of the last function returned.
    problem: Option<WalkProblem>,
}

impl<R: FnMut(Address, u16) -> u32> Walk<R> {
    fn is_set(bits: &[u64; 4], bus: u8) -> bool {
        bits[usize::from(bus) / 64] >> (bus % 64) & 1 != 0
    }

    /// Begins the visit of a bus.
    fn enter(&mut self, bus: u8, bridge: Option<Address>) {
        self.visited[usize::from(bus) / 64] |= 1 << (bus % 64);
        // Each bus is entered once, so there is room for all.
        self.open.push(Position {
            bus,
            bridge,
            device: 0,
            function: 0,
            more: false,
        });
    }

    /// The next function of the innermost bus; `None` at its end.
    fn step(&mut self) -> Option<Found> {
        let segment = self.segment;
        let position = self.open.last_mut()?;
        while position.device < DEVICES {
            let address = Address::new(segment, position.bus, position.device, position.function)?;
            let header = Header::read(|offset| (self.read)(address, offset));
            if position.function == 0 {
                // Without function 0, the device does not exist.
                position.more = header.is_some_and(|header| header.multifunction);
            }
            position.function += 1;
            if !position.more || position.function == FUNCTIONS {
                position.device += 1;
                position.function = 0;
            }
            if let Some(header) = header {
                let bridge = position.bridge;
                return Some(Found {
                    address,
                    header,
                    bridge,
                });
            }
        }
        None
    }

    /// Follows a bridge, and records the problem of a function.
    fn look_behind(&mut self, found: &Found) {
        let address = found.address;
        self.problem = match found.header.layout {
            Layout::Bridge { secondary: 0, .. } => Some(WalkProblem::NoBus(address)),
            Layout::Bridge { secondary: bus, .. } if Self::is_set(&self.outside, bus) => {
                let bridge = address;
                Some(WalkProblem::BusOutside { bridge, bus })
            }
            Layout::Bridge { secondary: bus, .. } if Self::is_set(&self.visited, bus) => {
                let bridge = address;
                Some(WalkProblem::BusTwice { bridge, bus })
            }
            Layout::Bridge { secondary: bus, .. } => {
                self.enter(bus, Some(address));
                None
            }
            Layout::Reserved(kind) => {
                let function = address;
                Some(WalkProblem::HeaderType { function, kind })
            }
            Layout::Device { .. } | Layout::CardBus => None,
        };
    }
}

impl<R: FnMut(Address, u16) -> u32> Iterator for Walk<R> {
    type Item = Result<Found, WalkProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(problem) = self.problem.take() {
            return Some(Err(problem));
        }
        loop {
            if self.open.is_empty() {
                let root = (0..=255).find(|&bus| !Self::is_set(&self.visited, bus))?;
                self.enter(root, None);
            }
            if let Some(found) = self.step() {
                self.look_behind(&found);
                return Some(Ok(found));
            }
            self.open.pop();
        }
    }
}

impl<R: FnMut(Address, u16) -> u32> FusedIterator for Walk<R> {}

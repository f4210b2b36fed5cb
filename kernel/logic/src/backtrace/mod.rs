//! A backtrace by frame pointers.
//!
//! The kernel is built with frame pointers: RBP points to the caller's saved RBP, with the return
//! address above it. The walk runs while a fault is reported, so it does not trust memory: each
//! frame must be on the stack, be aligned and be above the previous one, and the number of frames
//! is limited. The walk also reports why it ended, because a broken chain is useful information in
//! a fault report.

use core::fmt;

#[cfg(test)]
mod tests;

/// The maximum number of addresses of a walk, including the first.
pub const LIMIT: usize = 32;

/// The reason why a walk ended. The values are addresses on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// RBP was 0: this was the outermost frame, and the backtrace is complete.
    End,
    /// The return address in the frame at this RBP was 0: the outermost frame of code that was
    /// entered without a call.
    NullReturn(u64),
    /// RBP is not a multiple of 8.
    Misaligned(u64),
    /// RBP is not above the previous RBP, so the chain could be a loop.
    NotAbove(u64),
    /// The frame at RBP is not entirely on the stack.
    OffStack(u64),
    /// The frame at RBP could not be read.
    Unreadable(u64),
    /// The walk has yielded [`LIMIT`] addresses.
    Limit,
}

impl Stop {
    /// Whether the walk reached the outermost frame.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        matches!(self, Self::End | Self::NullReturn(_))
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("end of the chain"),
            Self::NullReturn(_) => f.write_str("end of the chain (return address 0)"),
            Self::Misaligned(rbp) => write!(f, "frame pointer {rbp:#x} is misaligned"),
            Self::NotAbove(rbp) => {
                write!(f, "frame pointer {rbp:#x} is not above the previous one")
            }
            Self::OffStack(rbp) => write!(f, "frame pointer {rbp:#x} is not on this stack"),
            Self::Unreadable(rbp) => write!(f, "frame at {rbp:#x} cannot be read"),
            Self::Limit => write!(f, "more than {LIMIT} frames"),
        }
    }
}

/// Walks the stack frames, starting at `rbp`.
///
/// Yields `rip` first and then the return addresses, innermost first. A return address is that of
/// the instruction after the call: for every address except the first, look up `address - 1` to
/// stay inside the caller.
///
/// `valid` returns whether the 8 bytes at an address are on the stack; the walk calls it before
/// `read`, which reads them.
pub fn walk<V, R>(rip: u64, rbp: u64, valid: V, read: R) -> Walk<V, R>
where
    V: Fn(u64) -> bool,
    R: Fn(u64) -> Option<u64>,
{
    Walk {
        next: Some(rip),
        rbp,
        above: 0,
        yielded: 0,
        stop: None,
        valid,
        read,
    }
}

/// The iterator of [`walk`].
#[derive(Clone, Debug)]
pub struct Walk<V, R> {
    /// The address to yield next; `None` if the walk must read the frame at `rbp` first.
    next: Option<u64>,
    rbp: u64,
    /// The previous RBP; the next frame must be above it.
    above: u64,
    yielded: usize,
    stop: Option<Stop>,
    valid: V,
    read: R,
}

impl<V, R> Walk<V, R> {
    /// The reason why the walk ended; `None` before its end.
    #[must_use]
    pub const fn stop(&self) -> Option<Stop> {
        self.stop
    }
}

impl<V, R> Walk<V, R>
where
    V: Fn(u64) -> bool,
    R: Fn(u64) -> Option<u64>,
{
    /// Returns the return address of the frame at `rbp` and advances to the caller's frame.
    fn frame(&mut self) -> Result<u64, Stop> {
        let rbp = self.rbp;
        if rbp == 0 {
            return Err(Stop::End);
        }
        if !rbp.is_multiple_of(8) {
            return Err(Stop::Misaligned(rbp));
        }
        if rbp <= self.above {
            return Err(Stop::NotAbove(rbp));
        }
        let return_slot = rbp.checked_add(8).ok_or(Stop::OffStack(rbp))?;
        if !(self.valid)(rbp) || !(self.valid)(return_slot) {
            return Err(Stop::OffStack(rbp));
        }
        let caller = (self.read)(rbp).ok_or(Stop::Unreadable(rbp))?;
        let address = (self.read)(return_slot).ok_or(Stop::Unreadable(rbp))?;
        if address == 0 {
            return Err(Stop::NullReturn(rbp));
        }
        self.above = rbp;
        self.rbp = caller;
        Ok(address)
    }
}

impl<V, R> Iterator for Walk<V, R>
where
    V: Fn(u64) -> bool,
    R: Fn(u64) -> Option<u64>,
{
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if self.stop.is_some() {
            return None;
        }
        let found = match self.next.take() {
            Some(rip) => Ok(rip),
            None => self.frame(),
        };
        match found {
            Ok(_) if self.yielded == LIMIT => {
                self.stop = Some(Stop::Limit);
                None
            }
            Ok(address) => {
                self.yielded += 1;
                Some(address)
            }
            Err(stop) => {
                self.stop = Some(stop);
                None
            }
        }
    }
}

impl<V, R> core::iter::FusedIterator for Walk<V, R>
where
    V: Fn(u64) -> bool,
    R: Fn(u64) -> Option<u64>,
{
}

//! How large a CPU's interrupt stack must be.
//!
//! Handlers run with interrupts on, so one may come on top of another, but only of a higher class:
//! there are never more at once than classes ([`max_depth`]). That bounds the stack as long as
//! **interrupts are off (IF = 0) from before the EOI until the frame is gone (`iretq`)**; otherwise
//! an interrupt of the same class is delivered on top of a frame that no class accounts for any
//! more, and again on top of that one.
//!
//! | bytes | what, from the top of the stack down |
//! |---|---|
//! | for each class: | |
//! | [`ENTRY`] | what delivery and the entry code push |
//! | [`HANDLER`] | what a handler may use |
//! | then, once: | |
//! | [`EXCEPTION`] + [`HANDLER`] | a vector without EOI: software's, a spurious one, a ghost of the 8259s |
//! | [`EXCEPTION`] + [`REPORT`] | an exception, and the report of it |
//!
//! The vectors without EOI have no class and can come on top of all, but are answered with
//! interrupts off, so there is one at most. NMI, #DF, #MC and #DB have stacks of their own.

use super::priority::{ClassSet, max_depth};

/// What an interrupt of the local APIC pushes on top of another one's handler: up to 8 bytes to
/// align the stack, 40 for SS, RSP, RFLAGS, CS and RIP (SDM vol. 3A, 7.14.2), 16 for the vector in a
/// debug build, 72 for the nine registers that a function may change, and 8 for the stack pointer to
/// go back to.
pub const ENTRY: u64 = 8 + 40 + 16 + 9 * 8 + 8;

/// What the other vectors push: the same, with all fifteen registers, an error code or its place,
/// and no second stack pointer.
pub const EXCEPTION: u64 = 8 + 40 + 8 + 8 + 15 * 8;

/// What a handler may use, from the return address of its call on. A line of the log takes 0.7 KiB
/// in a release; a build without optimisation needs up to seven times as much for the same code.
pub const HANDLER: u64 = if cfg!(debug_assertions) { 6144 } else { 2048 };

/// What the report of an exception uses: 4.6 KiB in a build without optimisation, and more if it
/// faults itself and says so.
pub const REPORT: u64 = 8192;

/// The most bytes that handlers use, `depth` of them inside each other and one without EOI on top.
#[must_use]
pub const fn of_handlers(depth: u32) -> u64 {
    depth as u64 * (ENTRY + HANDLER) + EXCEPTION + HANDLER
}

/// The bytes of interrupt stack that suffice on a CPU whose interrupts have these classes, even if
/// the innermost handler faults.
#[must_use]
pub const fn bound(classes: ClassSet) -> u64 {
    of_handlers(max_depth(classes)) + EXCEPTION + REPORT
}

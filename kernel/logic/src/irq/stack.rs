//! The size of a CPU's interrupt stack.
//!
//! Handlers run with interrupts enabled, so an interrupt may preempt a handler, but only one of a
//! higher class: the nesting depth is at most the number of classes ([`max_depth`]). That bounds
//! the stack if **interrupts are disabled (IF = 0) from before the EOI until the frame is removed
//! (`iretq`)**; otherwise an interrupt of the same class can be delivered on top of a frame that no
//! class accounts for any more, and again on top of that one.
//!
//! | bytes | use, from the top of the stack down |
//! |---|---|
//! | for each class: | |
//! | [`ENTRY`] | pushes of interrupt delivery and the entry code |
//! | [`HANDLER`] | the limit of a handler |
//! | then, once: | |
//! | [`EXCEPTION`] + [`HANDLER`] | a vector without EOI: of software, spurious, or spurious of the 8259s |
//! | [`EXCEPTION`] + [`REPORT`] | an exception and its report |
//!
//! The vectors without EOI have no class and can preempt any handler, but are handled with
//! interrupts disabled, so there is at most one. The entry code that is complete without a handler
//! runs with interrupts disabled too, and pushes less. NMI, #DF, #MC and #DB have stacks of their
//! own.

use super::priority::{ClassSet, max_depth};

/// The bytes that an interrupt of the local APIC pushes on top of another handler: up to 8 to align
/// the stack, 40 for SS, RSP, RFLAGS, CS and RIP (SDM vol. 3A, 7.14.2), 16 for the vector in a
/// debug build, and 72 for the nine caller-saved registers.
pub const ENTRY: u64 = 8 + 40 + 16 + 9 * 8;

/// The bytes that the other vectors push: the same, except with all fifteen registers and with an
/// error code or a placeholder for it.
pub const EXCEPTION: u64 = 8 + 40 + 8 + 8 + 15 * 8;

/// The limit of a handler, counted from the return address of its call. Logging a line takes 0.7
/// KiB in a release build; without optimisation, the same code needs up to seven times as much.
pub const HANDLER: u64 = if cfg!(debug_assertions) { 6144 } else { 2048 };

/// The stack use of an exception report: 4.6 KiB in a build without optimisation, and more if the
/// report itself faults and reports that.
pub const REPORT: u64 = 8192;

/// The maximum number of bytes that handlers use, with `depth` of them nested and one without EOI
/// on top.
#[must_use]
pub const fn of_handlers(depth: u32) -> u64 {
    depth as u64 * (ENTRY + HANDLER) + EXCEPTION + HANDLER
}

/// The size of an interrupt stack in bytes that suffices on a CPU whose interrupts have these
/// classes, even if the innermost handler faults.
#[must_use]
pub const fn bound(classes: ClassSet) -> u64 {
    of_handlers(max_depth(classes)) + EXCEPTION + REPORT
}

//! What the tests share: the machines to boot, and readers for everything that a
//! test compares: the kernel's reports, its symbols, its page tables, QEMU's log.

pub mod guest;
pub mod matrix;
pub mod page_tables;
pub mod qemu_log;
pub mod report;
pub mod symbols;

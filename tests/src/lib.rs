//! What the tests share: the machines to boot and the kernels to build, and readers for everything that a
//! test compares: the kernel's reports, its symbols, its page tables, QEMU's log.

pub mod answers;
pub mod build;
pub mod controllers;
pub mod firmware;
pub mod guest;
pub mod interrupts;
pub mod matrix;
pub mod page_tables;
pub mod processor;
pub mod qemu_log;
pub mod report;
pub mod shape;
pub mod sources;
pub mod symbols;
pub mod tables;
pub mod topology;

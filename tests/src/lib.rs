//! Common code of the tests: the machines to boot, the kernels to build, and parsers for the data
//! that tests compare: the kernel's reports, symbols and page tables, and QEMU's log.

pub mod build;
pub mod controllers;
pub mod firmware;
pub mod guest;
pub mod interrupt_records;
pub mod interrupts;
pub mod matrix;
pub mod output;
pub mod page_tables;
pub mod processor;
pub mod qemu_log;
pub mod records;
pub mod report;
pub mod shape;
pub mod sources;
pub mod symbols;
pub mod tables;
pub mod topology;

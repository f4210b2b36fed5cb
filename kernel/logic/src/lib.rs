//! The hardware-independent logic of the Tocsin kernel: decisions and encodings.
//!
//! This crate contains all logic that needs no hardware accesses, so that it can be tested on the
//! host: descriptor formats, error codes, the command line, the memory map, the layout of the
//! address space. The kernel adds the register and memory accesses and their order.
//!
//! The crate does not allocate, and contains neither `unsafe` code nor addresses of device
//! registers. Lists are bounded, and items that do not fit are reported.
//!
//! "SDM" is Intel's *64 and IA-32 Architectures Software Developer's Manual*;
//! its chapters are numbered as in the editions since 2023 (interrupts are
//! chapter 7, the APIC is chapter 12). "APM" is AMD's *AMD64 Architecture
//! Programmer's Manual*.
//!
//! # Modules
//!
//! Modules import only from those before them:
//! `units`, `bounded_list`, `rate_limit`, `script`, `registers`, `exit`, `vector`, `exception`,
//! `error_code`, `gate`, `backtrace`, `symbols`, `memory_map`, `paging`, `smp`, `bench`,
//! `machine_check`, `apic`, `acpi`, `pci`, `topology`, `devices`, `irq`, `command_line`, `layout`,
//! `cpu_set`, `vtd`.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod acpi;
pub mod apic;
pub mod backtrace;
pub mod bench;
pub mod bounded_list;
pub mod command_line;
pub mod cpu_set;
pub mod devices;
pub mod error_code;
pub mod exception;
pub mod exit;
pub mod gate;
pub mod irq;
pub mod layout;
pub mod machine_check;
pub mod memory_map;
pub mod paging;
pub mod pci;
pub mod rate_limit;
pub mod registers;
pub mod script;
pub mod smp;
pub mod symbols;
pub mod topology;
pub mod units;
pub mod vector;
pub mod vtd;

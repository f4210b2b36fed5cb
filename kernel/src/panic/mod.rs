//! The panic stop: reports a fatal error and stops all CPUs. Also symbols and backtraces, which
//! other modules use too.

pub(crate) mod backtrace;
pub(crate) mod handler;
pub(crate) mod report;
pub mod stop_cpus;
pub mod symbols;

pub use handler::report_panic;

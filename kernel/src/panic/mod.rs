//! The panic stop: reports a fatal error and stops all CPUs; and what reports need, which other
//! modules use too: symbols and backtraces.

pub(crate) mod backtrace;
pub(crate) mod handler;
pub(crate) mod report;
pub mod stop_cpus;
pub mod symbols;

pub use handler::report_panic;

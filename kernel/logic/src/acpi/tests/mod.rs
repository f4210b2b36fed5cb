//! Tests of the parsers with hand-built tables.

mod dmar;
mod fixed;
mod hostile;
mod madt;
mod roots;
mod words;

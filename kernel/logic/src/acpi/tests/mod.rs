//! Tests of the parsers with hand-built tables.

mod fixed;
mod hostile;
mod madt;
mod roots;
mod text;

//! The parsers, on tables built by hand.

mod fixed;
mod hostile;
mod madt;
mod roots;
mod words;

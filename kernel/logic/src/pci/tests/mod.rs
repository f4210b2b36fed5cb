//! Tests of PCI configuration space, on a fake.

mod bars;
mod capabilities;
mod fake;
mod headers;
mod messages;
mod walks;

//! Tests of PCI configuration space, over one that is made up.

mod bars;
mod capabilities;
mod fake;
mod headers;
mod messages;
mod walks;

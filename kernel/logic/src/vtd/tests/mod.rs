//! The layouts against the specification, and the operations against a model of a unit with caches.

mod caches;
mod commands;
mod faults;
mod iova;
mod layouts;
mod model;

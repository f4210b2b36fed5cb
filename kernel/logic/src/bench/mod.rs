//! What is made of measured samples: percentiles, a histogram, and the samples without the cost of
//! measuring.
//!
//! A sample is a number of TSC cycles or of instructions; nothing here knows which. Percentiles are
//! exact, because all samples of a figure are kept until they are summed up; the histogram is what
//! is passed on, a few hundred bytes instead of ten thousand numbers.

mod cause;
mod histogram;
mod summary;
#[cfg(test)]
mod tests;

pub use cause::{Held, Split, Stretch, split};
pub use histogram::{Bucket, Histogram};
pub use summary::{Summary, correct, median, resolution};

//! Statistics of measured samples: percentiles, a histogram, and the subtraction of the measurement
//! overhead.
//!
//! A sample is a number of TSC cycles or of instructions; this module does not distinguish them.
//! Percentiles are exact, because all samples of a metric are kept until they are summarized. The
//! histogram is what is reported: a few hundred bytes instead of ten thousand numbers.

mod cause;
mod histogram;
mod summary;
#[cfg(test)]
mod tests;

pub use cause::{LatencyCause, MaskedPeriod, Split, split};
pub use histogram::{Bucket, Histogram};
pub use summary::{Summary, correct, median, resolution};

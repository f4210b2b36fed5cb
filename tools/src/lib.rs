//! What runs on the host: the one place that knows how to start QEMU, talk to
//! the kernel in it and judge how it ended. `make run`, the tests and the
//! benchmarks all use this library, so that they boot the same machine.

pub mod strip;

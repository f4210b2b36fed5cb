//! Decisions and encodings of the Tocsin kernel.
#![no_std]
#![forbid(unsafe_code)]

//! The Tocsin kernel library.
#![no_std]

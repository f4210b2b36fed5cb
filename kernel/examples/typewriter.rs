//! A kernel on Tocsin's library: a typewriter whose keys cause interrupts.
//!
//! Each key interrupts the last CPU. Its handler, of class 6, reads the bytes from the serial port
//! and puts them into a buffer that it shares with the printing code. Printing is deferred work, of
//! class 2, so it never delays a key. Neither disables interrupts: a ceiling lock protects the
//! buffer.
//!
//! ```sh
//! make run EXAMPLE=typewriter      # Ctrl-D ends it
//! ```

#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicBool, Ordering};

use tocsin::prelude::*;
use tocsin::{console, hw, smp};
use x86_64::instructions::interrupts;

tocsin::main!(kernel);

/// Class of the keys, and ceiling of [`TYPED`]: code that takes the lock is at most of this class.
const KEYS: PriorityClass = PriorityClass::new(6).expect("a class is 0 to 15");

/// Text that has been typed and not yet printed.
static TYPED: CeilingMutex<VecDeque<u8>> = CeilingMutex::new(KEYS, VecDeque::new());

/// Set when Ctrl-D was typed.
static IS_OVER: AtomicBool = AtomicBool::new(false);

fn kernel(_: &'static Machine) -> ! {
    // Allocated in advance, so that the handler never allocates.
    TYPED.lock().reserve(4096);
    let line = Line::new(
        Request {
            name: "keys",
            source: Source::Isa(console::ISA_IRQ),
            class: KEYS,
            cpu: smp::all().last().map_or(0, |online| online.cpu.id()),
        },
        take_keys,
    );
    let line = match line {
        Ok(line) => line,
        Err(error) => {
            println!("typewriter: {error}");
            hw::power::power_off(1)
        }
    };
    console::enable_receive_interrupt();
    println!("Type, on CPU {}; Ctrl-D ends it.", line.cpu());
    loop {
        // Interrupts are disabled, so that Ctrl-D cannot arrive between the check and the `hlt`.
        interrupts::disable();
        if IS_OVER.load(Ordering::Acquire) {
            break;
        }
        hw::processor::enable_and_halt();
    }
    interrupts::enable();
    println!("\n{} interrupts", line.counts().claimed);
    hw::power::power_off(0)
}

/// Handles a key, possibly on a different CPU than the one that prints.
fn take_keys() {
    while let Some(byte) = console::read_byte() {
        let mut typed = TYPED.lock();
        if typed.len() < typed.capacity() {
            typed.push_back(byte);
        }
    }
    // If the deferred-work queue is full, the pending work prints this key too.
    let _ = deferred::defer_on(0, print_typed, 0);
}

/// Prints the typed text. Runs as deferred work.
extern "C" fn print_typed(_: usize) {
    loop {
        // The text is moved out, so that the lock is free while the port is slow.
        let Some(byte) = TYPED.lock().pop_front() else {
            return;
        };
        match byte {
            4 => IS_OVER.store(true, Ordering::Release),
            b'\r' => print!("\n"),
            byte => print!("{}", char::from(byte)),
        }
    }
}

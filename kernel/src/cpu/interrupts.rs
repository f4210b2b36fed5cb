//! Which function answers each interrupt vector.
//!
//! The entry code hands every vector from 32 up to here; what is registered decides the rest.
//! The function ends the interrupt itself (EOI), because only it knows whether there is one.

use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use tocsin_logic::vector::Vector;

use super::entry::TrapFrame;

/// Answers an interrupt, with interrupts off, on the stack of the code it interrupted.
pub type Handler = fn(&mut TrapFrame);

/// First vector that is not an exception's.
pub const FIRST: u8 = 32;

static HANDLERS: [AtomicPtr<()>; 256] = [const { AtomicPtr::new(core::ptr::null_mut()) }; 256];

/// Interrupts on vectors that nobody answers, by vector.
static UNHANDLED: [AtomicU64; 256] = [const { AtomicU64::new(0) }; 256];

/// Makes `handler` answer `vector` on all CPUs.
///
/// # Panics
///
/// If `vector` is an exception's.
pub fn register(vector: Vector, handler: Handler) {
    assert!(vector.get() >= FIRST, "vectors below 32 are exceptions");
    HANDLERS[usize::from(vector.get())].store(handler as *mut (), Ordering::Release);
}

/// How often an interrupt came on `vector` without a handler.
#[must_use]
pub fn unhandled_count(vector: u8) -> u64 {
    UNHANDLED[usize::from(vector)].load(Ordering::Relaxed)
}

/// Called for every vector from [`FIRST`] up.
pub(super) fn dispatch(frame: &mut TrapFrame) {
    // The stubs push nothing above 255.
    let vector = frame.vector as u8;
    let pointer = HANDLERS[usize::from(vector)].load(Ordering::Acquire);
    if pointer.is_null() {
        // Once a vector is enough for the log; the counter has the rest.
        if UNHANDLED[usize::from(vector)].fetch_add(1, Ordering::Relaxed) == 0 {
            log::warn!("interrupt on vector {vector}, which has no handler");
        }
        return;
    }
    // SAFETY: 1. Only `register` stores here, and it stores a `Handler`.
    let handler = unsafe { core::mem::transmute::<*mut (), Handler>(pointer) };
    handler(frame);
}

//! The release of a dropped timer's memory, by the CPU on which its function does not run.

use alloc::boxed::Box;
use core::ptr::NonNull;

use tocsin_logic::irq::callback::Release;

use super::{Node, TypedNode};
use crate::deferred;
use crate::ipi::wait::{self, Awaited};
use crate::time::LongWait;

/// # Safety
///
/// The node is a `TypedNode<F>`, and is not used any more.
pub(super) unsafe fn free<F>(pointer: NonNull<Node>) {
    // SAFETY: It came from `Box::leak`, and the caller has the only pointer that is still used.
    drop(unsafe { Box::from_raw(pointer.cast::<TypedNode<F>>().as_ptr()) });
}

/// Frees a closed node as soon as its function does not run: now, or when the function returns, if
/// the running code may have interrupted it.
///
/// # Safety
///
/// On the owner. The timer is closed, and the node is not used elsewhere any more.
pub(in crate::timer) unsafe fn release_on_owner(pointer: NonNull<Node>) {
    // SAFETY: The caller guarantees it.
    let node = unsafe { pointer.as_ref() };
    match node.callback.release(true) {
        // SAFETY: The timer is closed, so it does not fire again. Its function does not run.
        Release::Free => unsafe { (node.free)(pointer) },
        Release::OwnerFrees | Release::Retry => {}
    }
}

/// As [`release_on_owner`], for a timer that another CPU has dropped: frees it in the lowest class,
/// so that the values that its function owns are not dropped in a handler of the timers' class.
///
/// # Safety
///
/// As [`release_on_owner`].
pub(in crate::timer) unsafe fn release_for_dropper(pointer: NonNull<Node>) {
    // SAFETY: The caller guarantees it.
    let node = unsafe { pointer.as_ref() };
    match node.callback.release(true) {
        // SAFETY: The timer is closed, so it does not fire again. Its function does not run.
        Release::Free => unsafe { free_later(pointer) },
        Release::OwnerFrees | Release::Retry => {}
    }
}

/// Frees a node that has never been started.
///
/// # Safety
///
/// There is no other pointer to the node.
pub(in crate::timer) unsafe fn discard(pointer: NonNull<Node>) {
    // SAFETY: The caller guarantees it.
    let free = unsafe { pointer.as_ref() }.free;
    // SAFETY: The caller guarantees it.
    unsafe { free(pointer) };
}

/// Waits until the function of a closed node does not run, and frees the node. If the function is
/// only deferred, the owner frees it.
///
/// # Safety
///
/// On another CPU than the owner. The timer is closed, and the caller does not use the node any
/// more.
pub(in crate::timer) unsafe fn release_from_other_cpu(pointer: NonNull<Node>) {
    // SAFETY: The node is freed only after `release` below has permitted it.
    let node = unsafe { pointer.as_ref() };
    let mut long_wait = LongWait::new();
    loop {
        match node.callback.release(false) {
            // SAFETY: The timer is closed, so it does not fire again. Its function does not run.
            Release::Free => return unsafe { (node.free)(pointer) },
            Release::OwnerFrees => return,
            Release::Retry => wait::poll(Awaited::Timer(node.cpu, node.name), &mut long_wait),
        }
    }
}

/// Frees a node in the lowest class, so that the values that its function owns are not dropped in a
/// handler of the timers' class; at once, if the queue of deferred work is full.
///
/// # Safety
///
/// The node is not used any more.
pub(super) unsafe fn free_later(pointer: NonNull<Node>) {
    let argument = pointer.as_ptr() as usize;
    if deferred::defer(free_deferred, argument).is_err() {
        free_deferred(argument);
    }
}

/// The deferred function of [`free_later`].
extern "C" fn free_deferred(pointer: usize) {
    let Some(pointer) = NonNull::new(pointer as *mut Node) else {
        return;
    };
    // SAFETY: The node is not freed yet.
    let free = unsafe { pointer.as_ref() }.free;
    // SAFETY: The node is not used elsewhere: see `free_later`.
    unsafe { free(pointer) };
}

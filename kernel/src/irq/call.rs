//! Calling a function on other CPUs, in an interrupt of class 13.
//!
//! Each CPU has a mailbox of its own, and a word that counts the calls it has answered, which only it
//! writes; `tocsin_logic::irq::mailbox` has the protocol. A call to all others is one write to the
//! ICR. Two CPUs that call each other and wait serve each other.

use core::fmt;

use tocsin_logic::apic::Icr;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::irq::mailbox::Ticket;
use tocsin_logic::vector::Vector;
use x86_64::instructions::interrupts::without_interrupts;

use crate::apic::local;
use crate::cpu::percpu::CALLS;
use crate::cpu::{self, interrupts};
use crate::smp::{self, Online};

/// Vector of the IPI: high, so that a call answers fast, but below what is most urgent.
pub const VECTOR: Vector = Vector(0xd0);

/// A function that other CPUs can be made to call. It runs with interrupts enabled, in class 13,
/// and must not wait for calls of its own.
pub type Function = extern "C" fn(argument: usize);

/// Why a call was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// No CPU of this number is online.
    Offline(u32),
    /// Too many calls wait for the CPU.
    Full(u32),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(cpu) => write!(f, "CPU {cpu} is not online; `cpus` lists those that are"),
            Self::Full(cpu) => write!(f, "{CALLS} calls wait for CPU {cpu} already"),
        }
    }
}

/// Lets CPUs be called. Once, before any is.
pub(crate) fn set_up() {
    interrupts::register(VECTOR, answer);
}

/// Makes CPU number `cpu`, the own one too, call `function`, and does not wait. Thread or handler.
///
/// # Errors
///
/// [`CallError`], if it cannot be called.
pub fn start(cpu: u32, function: Function, argument: usize) -> Result<(), CallError> {
    post(find(cpu)?, function, argument).map(drop)
}

/// As [`start`], and waits until the function has returned. In a thread or a handler below class 13,
/// interrupts enabled.
///
/// # Errors
///
/// [`CallError`], if it cannot be called.
pub fn and_wait(cpu: u32, function: Function, argument: usize) -> Result<(), CallError> {
    let target = find(cpu)?;
    let ticket = post(target, function, argument)?;
    wait_for(target, ticket);
    Ok(())
}

/// Makes all other CPUs call `function`, and waits until it has returned everywhere. In a thread
/// or a handler below class 13, interrupts enabled.
///
/// # Errors
///
/// [`CallError`], if one cannot be called; the others may have called it.
pub fn all_others_and_wait(function: Function, argument: usize) -> Result<(), CallError> {
    without_interrupts(|| {
        for target in others() {
            let full = CallError::Full(target.cpu.id());
            target
                .cpu
                .calls
                .post(function as usize, argument)
                .map_err(|_| full)?;
        }
        send(Destination::Others);
        Ok(())
    })?;
    for target in others() {
        wait_for(target, target.cpu.calls.posted());
    }
    Ok(())
}

fn others() -> impl Iterator<Item = &'static Online> {
    let own = cpu::current().id();
    let online = smp::online().into_iter().flat_map(|cpus| &cpus.online);
    online.filter(move |online| online.cpu.id() != own)
}

fn find(cpu: u32) -> Result<&'static Online, CallError> {
    let mut online = smp::online().into_iter().flat_map(|cpus| &cpus.online);
    online
        .find(|online| online.cpu.id() == cpu)
        .ok_or(CallError::Offline(cpu))
}

fn post(target: &Online, function: Function, argument: usize) -> Result<Ticket, CallError> {
    // Off for the two halves of the post: see the protocol.
    without_interrupts(|| {
        let posted = target.cpu.calls.post(function as usize, argument);
        let ticket = posted.map_err(|_| CallError::Full(target.cpu.id()))?;
        send(Destination::Physical(target.apic_id));
        Ok(ticket)
    })
}

fn send(destination: Destination) {
    let command = Icr::fixed(VECTOR.get(), destination);
    local()
        .send(command)
        .expect("the ID of a CPU that is online fits the mode");
}

fn wait_for(target: &Online, ticket: Ticket) {
    while !target.cpu.calls.is_done(ticket) {
        core::hint::spin_loop();
    }
}

extern "C" fn answer(_: usize, _: u8) {
    cpu::current().calls.serve(|call| {
        // SAFETY: 1. Only `Function`s are posted.
        let function = unsafe { core::mem::transmute::<usize, Function>(call.function) };
        function(call.argument);
    });
}

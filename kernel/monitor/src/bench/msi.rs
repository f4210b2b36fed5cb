//! The latency of an MSI that a device sends on request, from the write to its register to the
//! handler. The device is QEMU's `edu`.
//!
//! Its only message is set to each variant's vector in turn. The vector of `tocsin` belongs to a
//! line, as with every driver.

use alloc::string::{String, ToString};
use core::arch::asm;
use core::cell::{Cell, RefCell};
use core::sync::atomic::Ordering;
use tocsin::hooks;

use tocsin_logic::vector::{PriorityClass, Vector};

use super::baselines::{BEGAN, FLOOR, Installed, TYPICAL};
use super::clock::stamp;
use super::runner::Bench;
use crate::drivers::edu::Edu;
use tocsin::apic::local;
use tocsin::cpu;
use tocsin::line::{Line, Messages, Request, Source};
use tocsin::pci::{Msi, PciError};

const NAME: &str = "msi.edu";

/// The value that raises the interrupt; bit 0 is that of the computation.
const VALUE: u32 = 2;

pub(super) fn run(bench: &mut Bench) {
    if let Err(error) = measure(bench) {
        bench.skip(NAME, &alloc::format!("{error}"));
    }
}

fn measure(bench: &mut Bench) -> Result<(), PciError> {
    let installed = Installed::new();
    let edu = Edu::claim()?;
    let request = Request {
        name: "bench",
        source: Source::Message,
        class: PriorityClass::new(13).expect("a class is 0 to 15"),
        cpu: cpu::current().id(),
    };
    let handler = || BEGAN.store(stamp(), Ordering::Relaxed);
    let line = Line::new(request, handler).map_err(PciError::Line)?;
    let mut messages = edu.device().msi()?;
    if let Err(why) = set_vector(&mut messages, line.vector()) {
        bench.skip(NAME, &why);
        return Ok(());
    }
    edu.let_send();
    let own = line.vector();
    let current = Cell::new(own);
    let messages = RefCell::new(messages);
    let take = |vector: Vector| {
        if current.replace(vector) != vector {
            // Cannot fail: the message already targets this CPU, and only its data changes.
            let _ = set_vector(&mut messages.borrow_mut(), vector);
        }
        let took = raise(&edu);
        edu.acknowledge(VALUE);
        took
    };
    let overhead = bench.overhead;
    let mut variants = installed.variants(overhead, || take(own), || take(FLOOR), || take(TYPICAL));
    bench.compare(NAME, &[], &mut variants);
    Ok(())
}

/// Sets the target of the device's message to `vector` of this CPU.
fn set_vector(messages: &mut Msi, vector: Vector) -> Result<(), String> {
    // SAFETY: The vector is this line's, or a baseline's.
    let target = unsafe { hooks::message_target(vector, 1, local().id()) };
    messages.set(&target.map_err(|error| error.to_string())?)
}

/// Returns the time from the write to the register to the handler, which may clobber RAX, RCX and
/// RDX.
fn raise(edu: &Edu) -> u64 {
    BEGAN.store(0, Ordering::Relaxed);
    let start: u64;
    // SAFETY: The register only raises the interrupt. All registers that a handler changes are
    // declared, and the handler has run before the last line.
    unsafe {
        asm!(
            "rdtsc", "shl rdx, 32", "or rax, rdx", "mov {start}, rax",
            "mov dword ptr [{register}], {value}",
            "2: cmp qword ptr [rip + {began}], 0", "je 2b",
            start = out(reg) start,
            register = in(reg) edu.raise_register(),
            value = const VALUE,
            began = sym BEGAN,
            out("rax") _, out("rcx") _, out("rdx") _,
        );
    }
    BEGAN.load(Ordering::Relaxed) - start
}

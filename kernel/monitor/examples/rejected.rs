//! Operations that a kernel that denies `unsafe_code` may attempt and that the library rejects;
//! `APPEND=NAME` selects a case. The cases that do not compile are in `tests/soundness`.
//!
//! ```sh
//! make run EXAMPLE=rejected BOOT=direct APPEND=vectors
//! ```

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use tocsin::cpu::handlers::INTERRUPTS;
use tocsin::ipi;
use tocsin::ipi::vectors::{self, ReservedVector};
use tocsin::line::{Line, LineError, Request, Source};
use tocsin::pci::{self, Function};
use tocsin::{deferred, hw, println, smp, time};
use tocsin_logic::layout::{DIRECT_MAP, StackKind, guard_range};
use tocsin_logic::pci::{Address, bar, command};
use tocsin_logic::vector::{PriorityClass, Vector};
use tocsin_monitor::bench;

tocsin::main!(kernel);

/// The class of the vectors and lines here.
const CLASS: PriorityClass = PriorityClass::new(6).expect("a class is 0 to 15");

/// Longest wait for an interrupt, in nanoseconds.
const TIMEOUT: u64 = 10_000_000_000;

/// A case: its name and its function.
type Case = (&'static str, fn());

const CASES: [Case; 9] = [
    ("vectors", reserve_taken),
    ("exhausted", reserve_with_lines),
    ("ipi", send_to_reserved),
    ("guard", map_guard),
    ("claim", claim_bus_masters),
    ("dma", begin_transfer),
    ("table", map_table),
    ("registers", map_registers),
    ("bench", measure_in_handler),
];

fn kernel(machine: &'static tocsin::Machine) -> ! {
    let name = machine.boot.command_line.as_str().trim();
    let Some((_, case)) = CASES.iter().find(|(known, _)| *known == name) else {
        println!("rejected: no case {name:?}");
        hw::power::power_off(1)
    };
    case();
    hw::power::power_off(0)
}

/// Prints the message with which an operation was rejected.
fn rejected<T>(what: impl fmt::Display, result: Result<T, impl fmt::Display>) {
    match result {
        Ok(_) => {
            println!("rejected: {what}: it was not");
            hw::power::power_off(1)
        }
        Err(error) => println!("rejected: {what}: {error}"),
    }
}

/// Stops the kernel with a failure unless `is_right`.
fn check(is_right: bool, what: impl fmt::Display) {
    if !is_right {
        println!("rejected: wrong: {what}");
        hw::power::power_off(1)
    }
}

fn request(cpu: u32) -> Request {
    Request {
        name: "rejected",
        source: Source::Message,
        class: CLASS,
        cpu,
    }
}

/// The vectors of exceptions, of the kernel, of lines and of other reservations cannot be reserved.
fn reserve_taken() {
    for number in [0, 2, 17, 0x20, 0xd0, 0xe0, 0xf1, 0xff] {
        rejected(
            format_args!("{number:#04x}"),
            vectors::reserve(Vector(number)),
        );
    }
    let line = Line::new(request(1), || ()).expect("CPU 1 has vectors");
    rejected("a line's", vectors::reserve(line.vector()));
    let own = vectors::reserve_in(CLASS).expect("the class has vectors");
    rejected("a reserved one", vectors::reserve(own.get()));
    // The failure on CPU 1 has not affected CPU 0.
    let freed = line.vector();
    drop(line);
    check(
        vectors::reserve(freed).is_ok(),
        "a vector that is free again",
    );
}

/// Lines and reservations share the vectors of a class: neither gets a vector of the other, and
/// neither panics when no vector is left.
fn reserve_with_lines() {
    let reserved: Vec<ReservedVector> = (0..4)
        .map(|_| vectors::reserve_in(CLASS).expect("the class has vectors"))
        .collect();
    let mut lines = Vec::new();
    let error = loop {
        match Line::new(request(0), || ()) {
            Ok(line) => lines.push(line),
            Err(error) => break error,
        }
    };
    let is_reserved = |line: &Line| reserved.iter().any(|own| own.get() == line.vector());
    check(
        !lines.iter().any(is_reserved),
        "a line has a reserved vector",
    );
    check(lines.len() == 12, format_args!("{} lines", lines.len()));
    check(
        matches!(error, LineError::Vectors { .. }),
        format_args!("{error}"),
    );
    println!("rejected: a line: {error}");
    rejected("a vector", vectors::reserve_in(CLASS));
}

static RECEIVED: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_interrupt(_: usize, _: u8) {
    RECEIVED.fetch_add(1, Ordering::Relaxed);
}

/// A reserved vector interrupts all CPUs, with and without a handler.
fn send_to_reserved() {
    let vector = vectors::reserve(Vector(0x60)).expect("0x60 is free");
    let all = smp::all();
    let counts = || {
        all.iter()
            .map(|online| INTERRUPTS.of(online.cpu).count(0x60))
    };
    ipi::send(vector, ipi::Targets::All).expect("all are online");
    let once = time::wait_until(TIMEOUT, || counts().all(|count| count == 1));
    check(once, "the vector without a handler");
    vector.set_handler(on_interrupt);
    ipi::send(vector, ipi::Targets::Others).expect("all are online");
    ipi::send_to_self(vector);
    let expected = all.len() as u64;
    let come = time::wait_until(TIMEOUT, || RECEIVED.load(Ordering::Relaxed) == expected);
    check(come, "the vector with a handler");
    rejected("CPU 99", ipi::send(vector, 99));
}

/// No mapping replaces a guard page or another part of the layout.
#[expect(unsafe_code, reason = "mappings are the caller's to vouch for")]
fn map_guard() {
    use tocsin::memory::{frames, mapping, paging::Use};
    let frame = frames::allocate(frames::FRAME).expect("there is memory");
    let guard = guard_range(1, StackKind::Thread);
    let image = tocsin::boot::image::virtual_range();
    let direct_map = frames::pointer::<u8>(1 << 40) as u64;
    for (name, start) in [
        ("guard", guard.end - frames::FRAME),
        ("stack", guard.end),
        ("image", image.start),
        ("direct map", direct_map),
        ("first page", 0),
        ("unused", 0xffff_f800_0000_0000),
    ] {
        let page = start..start + frames::FRAME;
        // SAFETY: the frame is new, and nothing else uses it.
        rejected(name, unsafe {
            mapping::map(page.clone(), frame, Use::Data)
        });
        // SAFETY: The call is rejected: the caller does not own the addresses.
        rejected(name, unsafe { mapping::unmap(page) });
    }
}

fn is_master(function: &Function) -> bool {
    function.read(command::OFFSET) & u32::from(command::BUS_MASTER) != 0
}

/// A function that firmware left with bus mastering enabled has it disabled after it has been
/// claimed. On a bridge it stays enabled.
fn claim_bus_masters() {
    let all = pci::bus().functions.iter();
    let (bridges, others): (Vec<_>, Vec<_>) = all.partition(|function| function.is_bridge());
    let masters = others.into_iter().filter(|function| is_master(function));
    let masters: Vec<_> = masters.collect();
    check(!masters.is_empty(), "firmware has left no bus master");
    for function in masters {
        let device = function.claim().expect("nothing else has claimed it");
        check(!is_master(&device), function.address);
        println!(
            "rejected: {}: bus master when it was claimed",
            function.address
        );
    }
    for bridge in bridges {
        let was_master = is_master(bridge);
        let device = bridge.claim().expect("nothing else has claimed it");
        check(is_master(&device) == was_master, bridge.address);
    }
}

/// A device that safe code commands to write to memory does not write.
fn begin_transfer() {
    const BUFFER: u64 = 0x4_0000;
    const PATTERN: u64 = 0x5a5a_5a5a_5a5a_5a5a;
    let (vendor, id) = tocsin_monitor::drivers::edu::IDS;
    let device = pci::find(vendor, id).and_then(Function::claim);
    let device = device.expect("the machine has an edu device");
    let registers = device.map(0).expect("it has registers");
    let victim = Box::new([const { AtomicU64::new(PATTERN) }; 512]);
    let physical = core::ptr::from_ref(&*victim) as u64 - DIRECT_MAP;
    // A transfer from its buffer to memory: source, destination, length, and the command.
    registers.write(0x80, BUFFER);
    registers.write(0x88, physical);
    registers.write(0x90, 4096_u64);
    registers.write(0x98, 3_u64);
    let is_done = || registers.read::<u64>(0x98) & 1 == 0;
    check(
        time::wait_until(TIMEOUT, is_done),
        "the transfer does not end",
    );
    let is_same = |word: &AtomicU64| word.load(Ordering::Relaxed) == PATTERN;
    check(
        victim.iter().all(is_same),
        "the device has written to memory",
    );
    println!("rejected: {}: transfer to {physical:#x}", device.address);
}

/// No window contains the MSI-X table or its pending bits, and adjacent windows end before them.
fn map_table() {
    let device = pci::find(0x1af4, 0x1005).and_then(Function::claim);
    let device = device.expect("the machine has a virtio-rng device");
    let capability = device.msix.expect("it has MSI-X");
    check(
        (capability.table.bar, capability.table.offset) == (1, 0),
        "where the table is",
    );
    rejected("all", device.map(1));
    rejected("table", device.map_part(1, 0x10..0x18));
    rejected("pending bits", device.map_part(1, 0x800..0x808));
    rejected("beyond", device.map_part(1, 0x808..0x1008));
    rejected("odd", device.map_part(1, 0x44..0x50));
    let beside = device.map_part(1, 0x20..0x800);
    let beside = beside.expect("the table ends there");
    check(beside.size() == 0x7e0, "the size of the part");
    check(device.msix().is_ok(), "the device's messages");
}

/// No window covers the HPET's registers or configuration space, even if firmware assigned their
/// address to a function.
#[expect(
    unsafe_code,
    reason = "stands for firmware, before functions are found"
)]
fn map_registers() {
    use x86_64::instructions::port::Port;
    /// Their addresses on QEMU's q35.
    const HPET: u32 = 0xfed0_0000;
    const CONFIG: u32 = 0xb000_0000;
    let place = |device, function| Address::new(0, 0, device, function).expect("a valid address");
    // Name, function, number of the base address register, and the address assigned to it.
    let cases = [
        ("HPET", place(1, 0), 0, HPET),
        ("config", place(31, 2), 5, CONFIG + 0x1000),
    ];
    let offset = |bar: u8| bar::FIRST + 4 * u16::from(bar);
    for (_, function, bar, address) in cases {
        let register = function.port_value(offset(bar)).expect("in segment 0");
        // SAFETY: Nothing uses these ports yet.
        unsafe { Port::new(0xcf8).write(register) };
        // SAFETY: Nothing uses the function yet.
        unsafe { Port::new(0xcfc).write(address) };
    }
    for (name, function, bar, address) in cases {
        let device = pci::function(function).expect("QEMU has it").claim();
        let device = device.expect("nothing has claimed it");
        let taken = device.read(offset(bar));
        check(taken == address, format_args!("{name}: {taken:#x}"));
        rejected(name, device.map(bar));
    }
}

/// Measurements replace handlers and entry code, so they are permitted only in threads.
fn measure_in_handler() {
    extern "C" fn measure(_: usize) {
        let _ = bench::run(&bench::Options {
            clock: bench::Clock::Cycles,
            samples: None,
            output: tocsin_monitor::record::Output::Text,
            groups: Vec::new(),
        });
    }
    deferred::defer(measure, 0).expect("nothing is deferred");
    time::spin_for(TIMEOUT);
}

//! An exhaustive test of lines: it allocates every vector of a CPU, uses it once and frees it, and
//! checks that invalid requests fail with the correct error.

use crate::raw;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tocsin_logic::acpi::Gsi;
use tocsin_logic::irq::route::RouteError;
use tocsin_logic::irq::vectors::VectorSet;
use tocsin_logic::vector::{PriorityClass, Vector};

use tocsin::apic::io::InputError;
use tocsin::ipi::Offline;
use tocsin::line::{Claim, Line, LineError, Request, Source};
use tocsin::smp::{self, Online};
use tocsin::{cancel, cpu, time};

/// The timeout for the interrupts to arrive, in nanoseconds.
const TIMEOUT: u64 = 5_000_000_000;

/// The sizes of the vector blocks.
const BLOCKS: [u8; 4] = [2, 4, 8, 16];

/// The result of the test.
#[derive(Debug, Default)]
pub struct LineTest {
    /// The number of vectors that had a line, each of which was triggered once.
    pub vectors: u64,
    /// The number of interrupts received, all on the correct CPU.
    pub received: u64,
    /// The number of vector blocks allocated.
    pub blocks: u64,
    /// The number of requests that failed as expected.
    pub rejected: u64,
    /// The number of level-triggered inputs that had a vector of their own.
    pub levels: u64,
    /// The errors found.
    pub errors: Vec<String>,
}

/// The record of one line's handler.
#[derive(Debug, Default)]
struct Deliveries {
    times: AtomicU64,
    cpu: AtomicU32,
}

/// Tests the lines of CPU number `cpu`, with interrupts sent from the calling CPU. The caller runs
/// in a thread. Lines that are created on that CPU during the test disturb it. A cancelled test is
/// incomplete.
///
/// Context: thread.
///
/// # Errors
///
/// [`LineError::Offline`].
pub fn try_all(cpu: u32) -> Result<LineTest, LineError> {
    let target = smp::find(cpu).ok_or(LineError::Offline(Offline(cpu)))?;
    let mut test = LineTest::default();
    let before = raw::available(target.cpu);
    let lines = take_all(target, &mut test);
    use_once(&lines, cpu, &mut test);
    drop(lines);
    for count in BLOCKS {
        if cancel::is_requested() {
            return Ok(test);
        }
        take_block(target, count, &mut test);
    }
    check_rejections(target, &mut test);
    check_exclusive_inputs(cpu, &mut test);
    if raw::available(target.cpu) != before {
        test.errors.push("vectors were not given back".into());
    }
    Ok(test)
}

fn request(cpu: u32, class: PriorityClass) -> Request {
    Request {
        name: "lines test",
        source: Source::Message,
        class,
        cpu,
    }
}

/// Allocates every vector of every class.
fn take_all(target: &Online, test: &mut LineTest) -> Vec<(Line, Arc<Deliveries>)> {
    let cpu = target.cpu.id();
    let mut lines = Vec::new();
    for class in (0..16).filter_map(PriorityClass::new) {
        let there = raw::available_in(target.cpu, class);
        let mut had = 0;
        let end = loop {
            let deliveries = Arc::new(Deliveries::default());
            let handler = {
                let deliveries = Arc::clone(&deliveries);
                move || {
                    deliveries.cpu.store(cpu::current().id(), Ordering::Relaxed);
                    deliveries.times.fetch_add(1, Ordering::Release);
                }
            };
            match Line::new(request(cpu, class), handler) {
                Ok(_) if cancel::is_requested() => return lines,
                Ok(line) => lines.push((line, deliveries)),
                Err(error) => break error,
            }
            had += 1;
        };
        let is_right = matches!(
            end,
            LineError::Vectors { cpu: named, exhausted }
                if named == cpu && exhausted.class == class && exhausted.free_in_class == 0
        );
        if had != there || !is_right {
            test.errors.push(format!(
                "class {}: {had} of {there} vectors, then: {end}",
                class.get()
            ));
        }
        test.rejected += 1;
    }
    test.vectors = lines.len() as u64;
    lines
}

/// Triggers each line once.
fn use_once(lines: &[(Line, Arc<Deliveries>)], cpu: u32, test: &mut LineTest) {
    for (line, _) in lines {
        line.trigger().expect("it has no input");
    }
    let has_come =
        |(_, deliveries): &(Line, Arc<Deliveries>)| deliveries.times.load(Ordering::Acquire) > 0;
    let is_over = || cancel::is_requested() || lines.iter().all(has_come);
    time::wait_until(TIMEOUT, is_over);
    if cancel::was_requested() {
        return;
    }
    for (line, deliveries) in lines {
        let times = deliveries.times.load(Ordering::Acquire);
        let ran_on = deliveries.cpu.load(Ordering::Relaxed);
        test.received += times;
        if times != 1 || ran_on != cpu {
            test.errors.push(format!(
                "{} of CPU {cpu} was handled {times} times, the last on CPU {ran_on}",
                line.vector()
            ));
        }
    }
}

/// Allocates all blocks of this size. Their first vectors must be multiples of the size, and they
/// must not overlap.
fn take_block(target: &Online, count: u8, test: &mut LineTest) {
    let cpu = target.cpu.id();
    let mut firsts: Vec<u8> = Vec::new();
    let mut lines = Vec::new();
    for class in (0..16).filter_map(PriorityClass::new) {
        while let Ok(line) = Line::block(request(cpu, class), count, |_| {}) {
            firsts.push(line.vector().get());
            lines.push(line);
        }
    }
    test.blocks += firsts.len() as u64;
    firsts.sort_unstable();
    let overlap = firsts.windows(2).any(|pair| pair[1] - pair[0] < count);
    let crooked = firsts.iter().any(|first| first % count != 0);
    let left = raw::available(target.cpu);
    let mut classes = (0..16).filter_map(PriorityClass::new);
    let any_left = classes.any(|class| left.find_block(class, count).is_some());
    if overlap || crooked || any_left {
        test.errors
            .push(format!("blocks of {count} begin at {firsts:x?}"));
    }
}

/// Makes requests that must fail.
fn check_rejections(target: &Online, test: &mut LineTest) {
    let cpu = target.cpu.id();
    // The vectors of this class are free again, because all lines have been dropped.
    let Some(class) = PriorityClass::new(3) else {
        return;
    };
    let good = request(cpu, class);
    let nowhere = Gsi(0xffff_fff0);
    let cases = [
        (
            Request { cpu: 9999, ..good },
            LineError::Offline(Offline(9999)).to_string(),
        ),
        (
            Request {
                source: Source::Isa(16),
                ..good
            },
            LineError::Route(RouteError::NoSuchIsaIrq(16)).to_string(),
        ),
        (
            Request {
                source: Source::Gsi {
                    gsi: nowhere,
                    mode: None,
                },
                ..good
            },
            LineError::Route(RouteError::NoSuchGsi(nowhere)).to_string(),
        ),
    ];
    for (asked, expected) in cases {
        expect_rejection(asked, &expected, test);
    }
    // A pin that is in use, in this case by this test.
    let source = Source::Isa(3);
    if let Ok(first) = Line::new(Request { source, ..good }, || {}) {
        let Some(gsi) = first.gsi() else { return };
        let expected = LineError::Input(InputError::Claimed(gsi)).to_string();
        expect_rejection(Request { source, ..good }, &expected, test);
        drop(first);
        match Line::new(Request { source, ..good }, || {}) {
            Ok(_) => {}
            Err(error) => test
                .errors
                .push(format!("a freed pin is not available: {error}")),
        }
    }
    check_ipi_rejection(good, test);
}

/// Sends an IPI to the line of a level-triggered input, which must fail, if there is a free ISA
/// interrupt of this type.
fn check_ipi_rejection(good: Request, test: &mut LineTest) {
    let lines = (0..16).filter_map(|irq| {
        let source = Source::Isa(irq);
        Line::new(Request { source, ..good }, || Claim::Unclaimed).ok()
    });
    let Some(line) = lines.into_iter().find(Line::is_level) else {
        return;
    };
    match line.trigger() {
        Err(LineError::Level) => test.rejected += 1,
        other => test.errors.push(format!(
            "an IPI to a level-triggered input: {other:?}, expected a refusal"
        )),
    }
}

/// Allocates all free level-triggered ISA interrupts, alternately on the boot CPU and on CPU number
/// `cpu`, and moves them all to the latter. No two may share a vector.
fn check_exclusive_inputs(cpu: u32, test: &mut LineTest) {
    let Some(class) = PriorityClass::new(3) else {
        return;
    };
    let mut lines: Vec<Line> = Vec::new();
    for irq in 0..16 {
        let asked = Request {
            source: Source::Isa(irq),
            ..request([0, cpu][lines.len() % 2], class)
        };
        if let Ok(line) = Line::new(asked, || Claim::Unclaimed)
            && line.is_level()
        {
            lines.push(line);
        }
    }
    test.levels += lines.len() as u64;
    for round in ["on two CPUs", "after a move"] {
        let vectors: Vec<Vector> = lines.iter().map(Line::vector).collect();
        let distinct: VectorSet = vectors.iter().copied().collect();
        if distinct.len() as usize != vectors.len() {
            test.errors.push(format!(
                "level-triggered inputs share vectors {round}: {vectors:x?}"
            ));
        }
        for line in &lines {
            if let Err(error) = line.move_to(cpu) {
                test.errors
                    .push(format!("a level-triggered input stays: {error}"));
            }
        }
    }
}

fn expect_rejection(asked: Request, expected: &str, test: &mut LineTest) {
    match Line::new(asked, || {}) {
        Err(error) if error.to_string() == expected => test.rejected += 1,
        Err(error) => test
            .errors
            .push(format!("found {error:?}, expected {expected:?}")),
        Ok(line) => {
            let Vector(vector) = line.vector();
            test.errors
                .push(format!("vector {vector:#04x} was allocated for {asked:?}"));
        }
    }
}

//! The latency of an urgent interrupt inside other handlers, from the send to the start of its
//! handler, and the cost of the entry code at each nesting depth, from the gate to the handler as
//! in `self_ipi.entry`. The cost must not depend on the depth.

use crate::raw;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tocsin::hooks;

use tocsin_logic::vector::{PriorityClass, Vector, fixed};

use super::baselines::{self, BEGAN, FLOOR, GATE, Installed, NEXT, TYPICAL};
use super::record::Value;
use super::runner::Bench;
use super::self_ipi::{self, GateCost};
use tocsin::cpu;

/// The priority classes that nest, lowest first. The urgent class is above all of them.
const CLASSES: [u8; 8] = [3, 4, 5, 6, 7, 8, 10, 11];

/// A vector of class 14, like the urgent vector of the baselines. No other part of the kernel uses
/// it.
const URGENT: Vector = fixed::BENCH_URGENT;

/// The nesting depth of the current sample.
static DEPTH: AtomicUsize = AtomicUsize::new(0);

/// The vectors of [`CLASSES`].
static VECTORS: [AtomicU64; CLASSES.len()] = [const { AtomicU64::new(0) }; CLASSES.len()];

/// The result of the innermost handler; 0 until it has measured.
static TOOK: AtomicU64 = AtomicU64::new(0);

/// The vector that the innermost handler sends, and whether the handler of that vector may clobber
/// registers.
static SENT: AtomicU64 = AtomicU64::new(0);
static IS_BARE: AtomicBool = AtomicBool::new(false);

pub(super) fn run(bench: &mut Bench) {
    let installed = Installed::new();
    let has_urgent = baselines::install(URGENT);
    assert!(has_urgent, "the urgent vector has another handler");
    let this = cpu::current();
    let mut vectors = [None; CLASSES.len()];
    for (slot, class) in vectors.iter_mut().zip(CLASSES) {
        let class = PriorityClass::new(class);
        *slot = class.and_then(|class| raw::allocate(this, class));
    }
    for (level, vector) in vectors.iter().enumerate() {
        if let Some(vector) = *vector {
            let installed = raw::install(this, vector, step, level);
            assert!(installed, "a free vector has a handler");
            VECTORS[level].store(vector.get().into(), Ordering::Relaxed);
        }
    }
    if vectors.iter().all(Option::is_some) {
        measure(bench, &installed);
    } else {
        bench.skip("nest", "a class has no free vector");
    }
    for vector in vectors.into_iter().flatten() {
        baselines::remove(vector);
        raw::free(this, vector);
    }
    baselines::remove(URGENT);
}

fn measure(bench: &mut Bench, installed: &Installed) {
    arrival(bench, installed);
    let cost = GateCost::measured(bench.overhead);
    let table_has_it = baselines::install(FLOOR);
    for depth in 0..=CLASSES.len() {
        let variant = |next, vector, is_bare| {
            move || {
                NEXT.store(next, Ordering::Relaxed);
                at_depth(vector, is_bare, depth);
                BEGAN.load(Ordering::Relaxed) - GATE.load(Ordering::Relaxed)
            }
        };
        let mut variants = installed.variants(
            cost.after,
            variant(hooks::default_entry(0), FLOOR, false),
            variant(baselines::floor_address(), FLOOR, true),
            variant(baselines::typical_address(), TYPICAL, false),
        );
        let param = [("depth", Value::Number(depth as u64))];
        bench.compare("nest.entry", &param, &mut variants);
    }
    if table_has_it {
        baselines::remove(FLOOR);
    }
}

/// Measures an interrupt of class 14 while a handler of class 3 runs. The baselines interrupt the
/// same handler, because their own handlers do not nest: they run with interrupts disabled.
fn arrival(bench: &mut Bench, installed: &Installed) {
    Installed::set_typical_at(baselines::URGENT.get(), baselines::note);
    let variant = |code, is_bare| {
        move || {
            Installed::set_urgent_entry(code);
            at_depth(baselines::URGENT, is_bare, 1)
        }
    };
    let mut variants = installed.variants(
        bench.overhead,
        || at_depth(URGENT, false, 1),
        variant(baselines::floor_address(), true),
        variant(baselines::typical_urgent_address(), false),
    );
    let param = [("class", Value::Number(14)), ("inside", Value::Number(3))];
    bench.compare("nest.arrival", &param, &mut variants);
    Installed::set_urgent_entry(hooks::default_entry(2));
}

/// Sends an interrupt from inside `depth` handlers, and returns its latency.
fn at_depth(vector: Vector, is_bare: bool, depth: usize) -> u64 {
    SENT.store(vector.get().into(), Ordering::Relaxed);
    IS_BARE.store(is_bare, Ordering::Relaxed);
    DEPTH.store(depth, Ordering::Relaxed);
    TOOK.store(0, Ordering::Relaxed);
    enter_level(0);
    TOOK.load(Ordering::Relaxed)
}

extern "C" fn step(level: usize, _: u8) {
    enter_level(level + 1);
}

/// Enters the next handler, or measures at the requested depth.
fn enter_level(level: usize) {
    if level < DEPTH.load(Ordering::Relaxed) {
        // The cast is lossless: vectors have 8 bits.
        raw::send_to_self(Vector(VECTORS[level].load(Ordering::Relaxed) as u8));
        while TOOK.load(Ordering::Relaxed) == 0 {}
        return;
    }
    let vector = Vector(SENT.load(Ordering::Relaxed) as u8);
    let times = if IS_BARE.load(Ordering::Relaxed) {
        self_ipi::bare_to_self(vector)
    } else {
        self_ipi::to_self(vector)
    };
    TOOK.store(times.to_handler(), Ordering::Relaxed);
}

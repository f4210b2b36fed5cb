//! An urgent interrupt inside other handlers: what it costs must not depend on how deep it is.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tocsin_logic::vector::{PriorityClass, Vector};

use super::record::{Parameter, Value};
use super::rivals::{self, FLOOR, Installed, OWN, TYPICAL};
use super::runner::Bench;
use super::self_ipi;
use crate::apic::local;
use crate::cpu;

/// The classes that nest, lowest first; the urgent one is above all of them.
const CLASSES: [u8; 8] = [3, 4, 5, 6, 7, 8, 10, 11];

/// An urgent vector of class 14, which no other of the kernel's own uses.
const URGENT: Vector = Vector(0xe8);

/// How many handlers are to be inside each other.
static DEPTH: AtomicUsize = AtomicUsize::new(0);

/// The vectors of [`CLASSES`].
static VECTORS: [AtomicU64; CLASSES.len()] = [const { AtomicU64::new(0) }; CLASSES.len()];

/// What the innermost one has measured; 0 until then.
static TOOK: AtomicU64 = AtomicU64::new(0);

/// The vector that is urgent.
static MEASURED: AtomicU64 = AtomicU64::new(0);

pub(super) fn run(bench: &mut Bench) {
    let installed = Installed::new();
    let has_urgent = rivals::install(URGENT);
    assert!(has_urgent, "the urgent vector has another handler");
    let this = cpu::current();
    let mut vectors = [None; CLASSES.len()];
    for (place, class) in vectors.iter_mut().zip(CLASSES) {
        let class = PriorityClass::new(class);
        *place = class.and_then(|class| this.vectors.lock().allocate_block(class, 1).ok());
    }
    for (level, vector) in vectors.iter().enumerate() {
        if let Some(vector) = *vector {
            let installed = this.interrupts.install(vector, step, level);
            assert!(installed, "a vector that was free has a handler");
            VECTORS[level].store(vector.get().into(), Ordering::Relaxed);
        }
    }
    if vectors.iter().all(Option::is_some) {
        measure(bench, &installed);
    } else {
        bench.skip("nest", "a class has no vector left");
    }
    for vector in vectors.into_iter().flatten() {
        rivals::remove(vector);
        let freed = this.vectors.lock().free_block(vector, 1);
        debug_assert!(freed.is_ok(), "the vectors were taken above");
    }
    rivals::remove(URGENT);
}

fn measure(bench: &mut Bench, installed: &Installed) {
    let class = [("class", Value::Number(14)), ("inside", Value::Number(3))];
    figure(bench, "nest.arrival", &class, URGENT, 1, installed);
    for depth in 0..=CLASSES.len() {
        let param = [("depth", Value::Number(depth as u64))];
        figure(bench, "nest.entry", &param, OWN, depth, installed);
    }
}

/// One depth. The rivals answer the innermost interrupt, in class 13; what they interrupt are the same
/// handlers. By themselves they would not nest: they run with interrupts off.
fn figure(
    bench: &mut Bench,
    name: &'static str,
    param: &[Parameter],
    own: Vector,
    depth: usize,
    installed: &Installed,
) {
    let overhead = bench.overhead;
    let at = |vector: Vector| move || at_depth(vector, depth);
    let mut ways = installed.ways(overhead, at(own), at(FLOOR), at(TYPICAL));
    bench.compare(name, param, &mut ways);
}

/// Sends the urgent interrupt from inside `depth` handlers, and tells when its handler began.
fn at_depth(vector: Vector, depth: usize) -> u64 {
    MEASURED.store(vector.get().into(), Ordering::Relaxed);
    DEPTH.store(depth, Ordering::Relaxed);
    TOOK.store(0, Ordering::Relaxed);
    go_on(0);
    TOOK.load(Ordering::Relaxed)
}

extern "C" fn step(level: usize, _: u8) {
    go_on(level + 1);
}

/// Goes one handler deeper, or measures.
fn go_on(level: usize) {
    if level < DEPTH.load(Ordering::Relaxed) {
        // Vectors have 8 bits.
        local().send_to_self(Vector(VECTORS[level].load(Ordering::Relaxed) as u8));
        while TOOK.load(Ordering::Relaxed) == 0 {}
        return;
    }
    let urgent = Vector(MEASURED.load(Ordering::Relaxed) as u8);
    let times = if urgent == FLOOR {
        self_ipi::bare_to_self(urgent)
    } else {
        self_ipi::to_self(urgent)
    };
    let took = times.to_handler();
    TOOK.store(took, Ordering::Relaxed);
}

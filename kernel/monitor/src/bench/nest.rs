//! An interrupt inside other handlers: an urgent one, from its sending to its handler, and what the entry costs at
//! each depth, from the gate to the handler as in `self_ipi.entry`. It must not depend on how deep it is.

use crate::raw;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tocsin::hooks;

use tocsin_logic::vector::{PriorityClass, Vector};

use super::record::Value;
use super::rivals::{self, BEGAN, FLOOR, GATE, Installed, NEXT, TYPICAL};
use super::runner::Bench;
use super::self_ipi::{self, GateCost};
use tocsin::cpu;

/// The classes that nest, lowest first; the urgent one is above all of them.
const CLASSES: [u8; 8] = [3, 4, 5, 6, 7, 8, 10, 11];

/// A vector of class 14, as the rivals' urgent one, which no other of the kernel's own uses.
const URGENT: Vector = Vector(0xe8);

/// How many handlers are to be inside each other.
static DEPTH: AtomicUsize = AtomicUsize::new(0);

/// The vectors of [`CLASSES`].
static VECTORS: [AtomicU64; CLASSES.len()] = [const { AtomicU64::new(0) }; CLASSES.len()];

/// What the innermost one has measured; 0 until then.
static TOOK: AtomicU64 = AtomicU64::new(0);

/// The vector that the innermost one sends, and whether its handler may change registers.
static SENT: AtomicU64 = AtomicU64::new(0);
static IS_BARE: AtomicBool = AtomicBool::new(false);

pub(super) fn run(bench: &mut Bench) {
    let installed = Installed::new();
    let has_urgent = rivals::install(URGENT);
    assert!(has_urgent, "the urgent vector has another handler");
    let this = cpu::current();
    let mut vectors = [None; CLASSES.len()];
    for (place, class) in vectors.iter_mut().zip(CLASSES) {
        let class = PriorityClass::new(class);
        *place = class.and_then(|class| raw::allocate(this, class));
    }
    for (level, vector) in vectors.iter().enumerate() {
        if let Some(vector) = *vector {
            let installed = raw::install(this, vector, step, level);
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
        raw::free(this, vector);
    }
    rivals::remove(URGENT);
}

fn measure(bench: &mut Bench, installed: &Installed) {
    arrival(bench, installed);
    let cost = GateCost::measured(bench.overhead);
    let table_has_it = rivals::install(FLOOR);
    for depth in 0..=CLASSES.len() {
        let way = |next, vector, is_bare| {
            move || {
                NEXT.store(next, Ordering::Relaxed);
                at_depth(vector, is_bare, depth);
                BEGAN.load(Ordering::Relaxed) - GATE.load(Ordering::Relaxed)
            }
        };
        let mut ways = installed.ways(
            cost.after,
            way(hooks::ordinary(0), FLOOR, false),
            way(rivals::floor_here(), FLOOR, true),
            way(rivals::typical_here(), TYPICAL, false),
        );
        let param = [("depth", Value::Number(depth as u64))];
        bench.compare("nest.entry", &param, &mut ways);
    }
    if table_has_it {
        rivals::remove(FLOOR);
    }
}

/// Class 14 while class 3 runs. What the rivals interrupt is the same handler; by themselves they would not nest:
/// they run with interrupts off.
fn arrival(bench: &mut Bench, installed: &Installed) {
    Installed::set_typical_at(rivals::URGENT.get(), rivals::note);
    let way = |code, is_bare| {
        move || {
            Installed::lead_urgent(code);
            at_depth(rivals::URGENT, is_bare, 1)
        }
    };
    let mut ways = installed.ways(
        bench.overhead,
        || at_depth(URGENT, false, 1),
        way(rivals::floor_here(), true),
        way(rivals::typical_urgent_here(), false),
    );
    let param = [("class", Value::Number(14)), ("inside", Value::Number(3))];
    bench.compare("nest.arrival", &param, &mut ways);
    Installed::lead_urgent(hooks::ordinary(2));
}

/// Sends an interrupt from inside `depth` handlers, and tells when its handler began.
fn at_depth(vector: Vector, is_bare: bool, depth: usize) -> u64 {
    SENT.store(vector.get().into(), Ordering::Relaxed);
    IS_BARE.store(is_bare, Ordering::Relaxed);
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

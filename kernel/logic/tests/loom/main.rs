//! Tries every order in which CPUs can run through the lock-free parts.
//!
//! The files under test are the crate's own, compiled here once more: they take
//! their atomics from `super::sync`, which in this program is loom's. Loom runs a model
//! again and again, each time in another order and with other values that the memory model
//! allows a load to see. It also reports a cell that two threads use without one use
//! happening before the other: that is how a freed context or a lost result shows.
//!
//! A CPU is a thread. An interrupt of the same CPU, such as the look of a removal, is a
//! point in that thread's program at which it may come: see `cpu`. In `interrupted`, it comes
//! between any two accesses.
//!
//! Some models leave out a step of a protocol and must fail: they show that the step is
//! needed, and that the model would notice.
#![allow(
    clippy::arc_with_non_send_sync,
    reason = "loom's cells say that they cannot be shared, and loom checks that they are not"
)]

#[path = "../../src/irq/arming.rs"]
#[allow(dead_code, reason = "the models need only a part")]
mod arming;
#[path = "../../src/irq/broadcast.rs"]
#[allow(dead_code, reason = "the models need only a part")]
mod broadcast;
#[path = "../../src/irq/mailbox.rs"]
#[allow(dead_code, reason = "the models need only a part")]
mod mailbox;
#[path = "../../src/irq/queue.rs"]
#[allow(dead_code, reason = "the models need only a part")]
mod queue;
#[path = "../../src/irq/shootdown.rs"]
#[allow(dead_code, reason = "the models need only a part")]
mod shootdown;
#[path = "../../src/irq/table.rs"]
#[allow(dead_code, reason = "the models need only a part")]
mod table;
#[path = "../../src/irq/turns.rs"]
#[allow(dead_code, reason = "the models need only a part")]
mod turns;

mod armings;
mod broadcasts;
mod calls;
mod cpu;
mod device;
mod endings;
mod interrupted;
mod moves;
mod removal;
mod shootdowns;
mod sync;
mod timers;
mod work;

use loom::thread::{JoinHandle, spawn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tocsin_logic::vector;

/// Another CPU, or a device: a thread with a part in the model.
fn beside<M, R>(machine: &Arc<M>, part: impl FnOnce(&M) -> R + 'static) -> JoinHandle<R>
where
    M: 'static,
    R: 'static,
{
    let machine = machine.clone();
    spawn(move || part(&machine))
}

/// Runs `model` in every order, with at most `preemptions` switches between threads that could
/// have gone on (`None`: any number). The model returns whether it came to what it is about; it
/// must, in some orders.
///
/// Models look once and go another way if it is too early, rather than wait in a loop: the
/// orders in which they wait long enough are among those that are tried, and loom passes over
/// some orders where a thread yields.
fn explore(preemptions: Option<usize>, model: impl Fn() -> bool + Send + Sync + 'static) {
    let orders = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 10_000;
    builder.check({
        let orders = orders.clone();
        move || {
            orders[usize::from(model())].fetch_add(1, Ordering::Relaxed);
        }
    });
    let [other, counted] = orders.each_ref().map(|it| it.load(Ordering::Relaxed));
    println!("{} orders, {counted} to the point", counted + other);
    assert!(counted > 0, "no order comes to what the model is about");
}

//! Models of the lock-free parts, tested in every order in which CPUs can execute them.
//!
//! The files under test are the crate's own, compiled a second time: they take their atomics from
//! `super::sync`, which in this program is loom's. Loom runs a model repeatedly, each time in
//! another order and with other values that the memory model allows a load to return. It also
//! reports a cell that two threads use without one use happening before the other, such as a
//! context that is used after it was freed.
//!
//! A CPU is a thread. An interrupt of the same CPU, such as the check of a removal, is delivered at
//! certain points of that thread's program: see `cpu`. In `interrupted`, it is delivered between
//! any two accesses.
//!
//! Some models omit a step of a protocol and must fail: they show that the step is needed, and that
//! the model detects its absence.
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
#[path = "../../src/irq/callback.rs"]
#[allow(dead_code, reason = "the models need only a part")]
mod callback;
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

mod armings;
mod broadcasts;
mod calls;
mod cpu;
mod device;
mod interrupted;
mod line_drop;
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

/// Runs another CPU or a device of the model, in a thread.
fn beside<M, R>(machine: &Arc<M>, part: impl FnOnce(&M) -> R + 'static) -> JoinHandle<R>
where
    M: 'static,
    R: 'static,
{
    let machine = machine.clone();
    spawn(move || part(&machine))
}

/// Runs `model` in every order, with at most `preemptions` preemptions of runnable threads (`None`:
/// any number). The model returns whether it reached the case that it tests; it must, in some
/// orders.
///
/// Models check a condition once and take another path if it does not hold, instead of waiting in a
/// loop: the orders in which it holds are among those that are tried, and loom skips some orders
/// where a thread yields.
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

//! `ipi`: all kinds of interrupts between CPUs, from each to each, with a comparison of the numbers
//! sent and received.

mod flood;
mod kinds;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::command::{Arguments, CommandError};
use kinds::Kind;
use tocsin::ipi::{call, jobs};
use tocsin::{Machine, cancel, cpu, deferred, println, smp, time};

/// The timeout for an interrupt to be received, in nanoseconds.
const PATIENCE: u64 = 5_000_000_000;

/// The numbers of interrupts of one kind that were sent and received.
#[derive(Debug)]
struct Account {
    sent: AtomicU64,
    received: AtomicU64,
    /// The number that the receiver refused because its queue was full. They do not count as sent.
    refused: AtomicU64,
    /// Whether an interrupt was not received in time.
    given_up: AtomicBool,
}

static ACCOUNTS: [Account; Kind::ALL.len()] = [const {
    Account {
        sent: AtomicU64::new(0),
        received: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        given_up: AtomicBool::new(false),
    }
}; Kind::ALL.len()];

impl Account {
    fn reset(&self) {
        for counter in [&self.sent, &self.received, &self.refused] {
            counter.store(0, Ordering::Relaxed);
        }
        self.given_up.store(false, Ordering::Relaxed);
    }

    fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Waits until everything that was sent has been received, or until a timeout. The table shows
    /// what is missing.
    fn wait(&self) {
        let have_come =
            || self.received.load(Ordering::Acquire) >= self.sent.load(Ordering::Relaxed);
        if !time::wait_until(PATIENCE, have_come) {
            self.given_up.store(true, Ordering::Relaxed);
        }
    }
}

fn account(kind: Kind) -> &'static Account {
    &ACCOUNTS[kind as usize]
}

pub(super) fn ipi(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    arguments.end()?;
    let online = smp::all();
    ACCOUNTS.iter().for_each(Account::reset);
    kinds::set_up();
    for kind in Kind::ALL {
        if cancel::is_requested() {
            return Err(CommandError::Cancelled);
        }
        if kind == Kind::Together {
            jobs::run_on_all(kinds::send_together).map_err(CommandError::Cpu)?;
        } else if kind == Kind::Reschedule {
            kinds::reschedule_each();
        } else {
            for sender in online {
                let job = jobs::Job {
                    function: kinds::send,
                    argument: kind as u64,
                };
                jobs::run_on(sender.cpu.id(), job).map_err(CommandError::Cpu)?;
            }
        }
        account(kind).wait();
    }
    let merged = kinds::merged();
    let flood = flood::run()?;

    println!("  interrupts to all CPUs are sent {}", smp::broadcast());
    // The table is printed at the end, so that duplicates show too.
    println!(
        "  {:<40}  {:>7}  {:>8}  {:>7}",
        "what", "sent", "received", "refused"
    );
    for kind in Kind::ALL {
        let Account {
            sent,
            received,
            refused,
            ..
        } = account(kind);
        println!(
            "  {:<40}  {:>7}  {:>8}  {:>7}",
            kind.name(),
            sent.load(Ordering::Relaxed),
            received.load(Ordering::Relaxed),
            refused.load(Ordering::Relaxed)
        );
    }
    println!("{merged}");
    println!("{flood}");
    show_work();
    Ok(())
}

/// Prints the counts of deferred work of each CPU since the kernel started.
fn show_work() {
    println!("  work put off   accepted       done    refused");
    for online in smp::all() {
        let deferred::Counts {
            accepted,
            done,
            refused,
        } = deferred::counts(online.cpu);
        let name = alloc::format!("CPU {}", online.cpu.id());
        println!("  {name:<12}  {accepted:>9}  {done:>9}  {refused:>9}");
    }
}

/// Returns the numbers of the online CPUs.
fn numbers() -> impl Iterator<Item = u32> + Clone {
    smp::all().iter().map(|online| online.cpu.id())
}

/// Makes this CPU call a function, in class 13.
fn call_here(function: call::Function, argument: usize) -> bool {
    call::start(cpu::current().id(), function, argument).is_ok()
}

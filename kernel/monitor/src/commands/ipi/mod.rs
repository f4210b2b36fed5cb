//! `ipi`: all kinds of interrupts between CPUs, from each to each, with a comparison of the numbers
//! sent and received.

mod barrier;
mod flood;
mod kinds;

use alloc::format;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Serialize, Serializer};
use tocsin_logic::smp::{Broadcast, Unowned};

use crate::command::{Arguments, CommandError};
use crate::commands::checks::Checks;
use kinds::Kind;
use tocsin::cpu::PerCpu;
use tocsin::ipi::{Callback, call, jobs};
use tocsin::{Machine, cancel, cpu, deferred, smp, time};

/// The timeout for an interrupt to be received, in nanoseconds.
const TIMEOUT: u64 = 5_000_000_000;

/// The numbers of interrupts of one kind that were sent and received.
#[derive(Debug)]
struct Account {
    sent: AtomicU64,
    received: AtomicU64,
    /// The number that the receiver refused because its queue was full. They do not count as sent.
    refused: AtomicU64,
    /// Whether an interrupt was not received in time.
    timed_out: AtomicBool,
}

static ACCOUNTS: [Account; Kind::ALL.len()] = [const {
    Account {
        sent: AtomicU64::new(0),
        received: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        timed_out: AtomicBool::new(false),
    }
}; Kind::ALL.len()];

impl Account {
    fn reset(&self) {
        for counter in [&self.sent, &self.received, &self.refused] {
            counter.store(0, Ordering::Relaxed);
        }
        self.timed_out.store(false, Ordering::Relaxed);
    }

    fn has_timed_out(&self) -> bool {
        self.timed_out.load(Ordering::Relaxed)
    }

    /// Waits until everything that was sent has been received, or until a timeout. The table shows
    /// what is missing.
    fn wait(&self) {
        let all_received =
            || self.received.load(Ordering::Acquire) >= self.sent.load(Ordering::Relaxed);
        if !time::wait_until(TIMEOUT, all_received) {
            self.timed_out.store(true, Ordering::Relaxed);
        }
    }
}

fn account(kind: Kind) -> &'static Account {
    &ACCOUNTS[kind as usize]
}

pub(super) fn ipi(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let output = arguments.output();
    arguments.end()?;
    let online = smp::all();
    ACCOUNTS.iter().for_each(Account::reset);
    kinds::set_up();
    for kind in Kind::ALL {
        if cancel::is_requested() {
            return Err(CommandError::Cancelled);
        }
        if kind == Kind::ConcurrentCallOthers {
            jobs::run_on_all(kinds::send_concurrently).map_err(CommandError::Cpu)?;
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
    let barriers = barrier::run()?;
    let flood = flood::run()?;

    output.print("ipi_broadcast", &BroadcastMethod(smp::broadcast()));
    output.heading(&format!(
        "  {:<40}  {:>7}  {:>8}  {:>7}",
        "interrupt", "sent", "received", "refused"
    ));
    // The table is printed at the end, so that duplicates show too.
    let checks = Checks::default();
    checks.note(barriers.is_right());
    checks.note(flood.is_right());
    for kind in Kind::ALL {
        let counts = Counts::of(kind);
        checks.note(counts.received == counts.sent);
        output.print("ipi", &counts);
    }
    output.print("merged_reschedule_ipis", &merged);
    output.print("barriers", &barriers);
    output.print("deferred_work_flood", &flood);
    output.heading("  deferred work  accepted       done    refused");
    for online in smp::all() {
        output.print("deferred_work", &Work::of(online.cpu));
    }
    checks.finish(output)
}

/// The method of sending IPIs to all CPUs.
struct BroadcastMethod(Broadcast);

impl Serialize for BroadcastMethod {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Members {
            method: &'static str,
            /// The reason why no shorthand is used, and the number of CPUs that are the reason.
            reason: Option<&'static str>,
            cpus: Option<usize>,
        }
        let (method, reason, cpus) = match self.0 {
            Broadcast::Shorthand => ("shorthand", None, None),
            Broadcast::EachCpu(unowned) => {
                let (reason, cpus) = match unowned {
                    Unowned::Incomplete => ("incomplete", None),
                    Unowned::Failed(cpus) => ("failed", Some(cpus)),
                    Unowned::LeftOut(cpus) => ("left_out", Some(cpus)),
                    Unowned::Addable(cpus) => ("addable", Some(cpus)),
                };
                ("each_cpu", Some(reason), cpus)
            }
        };
        let members = Members {
            method,
            reason,
            cpus,
        };
        members.serialize(to)
    }
}

impl fmt::Display for BroadcastMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  interrupts to all CPUs are sent {}", self.0)
    }
}

/// The interrupts of one kind.
#[derive(Serialize)]
struct Counts {
    interrupt: Kind,
    sent: u64,
    received: u64,
    /// Interrupts that the receiver refused because its queue was full. They are not in `sent`.
    refused: u64,
}

impl Counts {
    fn of(kind: Kind) -> Self {
        let account = account(kind);
        Self {
            interrupt: kind,
            sent: account.sent.load(Ordering::Relaxed),
            received: account.received.load(Ordering::Relaxed),
            refused: account.refused.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            interrupt,
            sent,
            received,
            refused,
        } = self;
        let name = interrupt.name();
        write!(f, "  {name:<40}  {sent:>7}  {received:>8}  {refused:>7}")
    }
}

/// The deferred work of a CPU since the kernel started.
#[derive(Serialize)]
struct Work {
    cpu: u32,
    #[serde(flatten)]
    counts: WorkCounts,
}

/// The counts of deferred work.
#[derive(Clone, Copy, Serialize)]
struct WorkCounts {
    accepted: u64,
    done: u64,
    refused: u64,
}

impl Work {
    fn of(cpu: PerCpu) -> Self {
        let deferred::Counts {
            accepted,
            done,
            refused,
        } = deferred::counts(cpu);
        Self {
            cpu: cpu.id(),
            counts: WorkCounts {
                accepted,
                done,
                refused,
            },
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WorkCounts {
            accepted,
            done,
            refused,
        } = self.counts;
        let name = format!("CPU {}", self.cpu);
        write!(f, "  {name:<12}  {accepted:>9}  {done:>9}  {refused:>9}")
    }
}

/// Returns the numbers of the online CPUs.
fn numbers() -> impl Iterator<Item = u32> + Clone {
    smp::all().iter().map(|online| online.cpu.id())
}

/// Makes this CPU call a function, in class 13.
fn call_here(function: Callback, argument: usize) -> bool {
    call::post(cpu::current().id(), function, argument).is_ok()
}

//! Jobs that are given by a CPU for which one waits.

use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use tocsin::cpu::context;
use tocsin::irq::deferred;
use tocsin::smp::jobs::{Job, JobError, run_on, run_on_all};
use tocsin::time;

use crate::{NOTHING, SECOND, reached};

/// How many jobs have run, and how many were refused, of those that `count` gives.
static RUN: AtomicU32 = AtomicU32::new(0);
static REFUSED: AtomicU32 = AtomicU32::new(0);

/// Gives CPU `cpu` a job that must run in its thread. If two CPUs do so while it runs no job, one is refused, and
/// that of the other one is reserved or waits.
fn count(cpu: u32) {
    fn job(_: u64) {
        let context = context::current();
        assert!(context.in_service.is_none(), "a job in a handler");
        RUN.fetch_add(1, SeqCst);
    }
    let job = Job {
        function: job,
        argument: 0,
    };
    if let Err(error) = run_on(cpu, job) {
        assert_eq!(error, JobError::Busy(cpu));
        REFUSED.fetch_add(1, SeqCst);
    }
}

/// Whether CPU `cpu` runs a job within some time.
fn accepts(cpu: u32) -> bool {
    time::wait_until(20 * SECOND, || run_on(cpu, NOTHING).is_ok())
}

/// A thread that waits for jobs gives another one while a job waits for itself. It accepts jobs as before then.
pub fn give_while_one_waits() {
    fn part(cpu: u64) {
        match cpu {
            0 => {
                assert!(reached(&REFUSED, 1));
                // While this CPU waits for that one, it runs the job that waits for it.
                let until_run = Job {
                    function: |_| assert!(reached(&RUN, 1)),
                    argument: 0,
                };
                let given = || run_on(3, until_run).is_ok();
                assert!(time::wait_until(20 * SECOND, given), "CPU 3 refuses jobs");
            }
            1 | 2 => count(0),
            _ => {}
        }
    }
    for _ in 0..2 {
        RUN.store(0, SeqCst);
        REFUSED.store(0, SeqCst);
        run_on_all(part).unwrap();
        assert_eq!(RUN.load(SeqCst), 1);
    }
}

/// Deferred work gives a job while one waits for the thread that it has interrupted: that one is left to the thread,
/// which accepts jobs as before then.
pub fn give_in_handler() {
    static STEP: AtomicU32 = AtomicU32::new(0);
    extern "C" fn give(_: usize) {
        STEP.store(1, SeqCst);
        assert!(reached(&REFUSED, 1));
        assert!(accepts(2), "CPU 2 refuses jobs");
        assert_eq!(RUN.load(SeqCst), 0, "a job in a handler");
        STEP.store(2, SeqCst);
    }
    extern "C" fn count_on_1(_: usize) {
        count(1);
    }
    for _ in 0..2 {
        STEP.store(0, SeqCst);
        RUN.store(0, SeqCst);
        REFUSED.store(0, SeqCst);
        deferred::defer_on(1, give, 0).unwrap();
        assert!(reached(&STEP, 1));
        for cpu in [3, 4] {
            deferred::defer_on(cpu, count_on_1, 0).unwrap();
        }
        assert!(reached(&STEP, 2));
        assert!(reached(&RUN, 1), "the job was lost");
        assert!(accepts(1), "CPU 1 refuses jobs");
    }
}

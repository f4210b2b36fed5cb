//! Jobs from a CPU for which another job waits.

use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use tocsin::cpu::context;
use tocsin::ipi::jobs::{Job, JobError, run_on, run_on_all};
use tocsin::priority::raise;
use tocsin::sync::IrqMutex;
use tocsin::{deferred, time};
use tocsin_logic::vector::PriorityClass;

use crate::{NOTHING, SECOND, reached};

/// Number of jobs from `count` that have run, and number of those rejected.
static RUN: AtomicU32 = AtomicU32::new(0);
static REFUSED: AtomicU32 = AtomicU32::new(0);

/// Queues a job on CPU `cpu` that must run in its thread. If two CPUs do so while they run no job,
/// one job is rejected, and the other is reserved or waits.
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

/// A thread that waits for jobs queues another one while a job waits for it. Afterwards it accepts
/// jobs as before.
pub fn give_while_one_waits() {
    fn part(cpu: u64) {
        match cpu {
            0 => {
                assert!(reached(&REFUSED, 1));
                // While this CPU waits for that job, it runs its own pending job.
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

/// Deferred work queues a job. Two CPUs whose deferred work queued jobs on each other would wait
/// forever, because each would prevent its own thread from running.
pub fn give_in_handler() {
    extern "C" fn give(_: usize) {
        let _ = run_on(2, NOTHING);
    }
    deferred::defer_on(1, give, 0).unwrap();
    time::spin_for(5 * SECOND);
}

/// A job forgets the guard of a lock. The CPU would never take an interrupt again.
pub fn keep_lock() {
    static LOCK: IrqMutex<()> = IrqMutex::new(());
    let job = Job {
        function: |_| core::mem::forget(LOCK.lock()),
        argument: 0,
    };
    let _ = run_on(1, job);
}

/// Like [`keep_lock`], on the CPU that queues the job.
pub fn keep_own_lock() {
    static LOCK: IrqMutex<()> = IrqMutex::new(());
    let _ = run_on_all(|cpu| {
        if cpu == 0 {
            core::mem::forget(LOCK.lock());
        }
    });
}

/// A job forgets the guard of a raised priority. The CPU would never take an interrupt of its class
/// again.
pub fn keep_priority() {
    let job = Job {
        function: |_| core::mem::forget(raise(PriorityClass::new(9).expect("a class is 0 to 15"))),
        argument: 0,
    };
    let _ = run_on(1, job);
}

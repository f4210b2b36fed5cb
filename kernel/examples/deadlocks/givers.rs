//! Functions that run in threads of CPUs 1 and 2 while CPU 0 continues: CPUs 3 and 4 queue them as
//! jobs and wait.

use core::mem::transmute;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tocsin::cpu::current;
use tocsin::ipi::jobs::{Job, run_on, run_on_each};

/// The programs that use [`begin`].
pub const PROGRAMS: [&str; 6] = [
    "mutual",
    "timer-drop-notified",
    "timer-full",
    "served-ceiling",
    "call-in-served",
    "long-wait",
];

/// The functions that CPUs 3 and 4 queue on CPUs 2 and 1 for CPU 0, which does not wait for them.
static GIVEN: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Runs a program while CPUs 3 and 4 wait for the jobs from [`begin`].
pub fn run(program: fn()) {
    static PROGRAM: AtomicUsize = AtomicUsize::new(0);
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    fn part(_: u64) {
        let giver = current().id();
        if giver == 0 {
            // SAFETY: The value stored below is a function of this type.
            let program = unsafe { transmute::<usize, fn()>(PROGRAM.load(SeqCst)) };
            program();
            IS_OVER.store(true, SeqCst);
            return;
        }
        while !IS_OVER.load(SeqCst) {
            let function = GIVEN[giver as usize - 3].swap(0, SeqCst);
            if function != 0 {
                // SAFETY: `begin` stored this function.
                let function = unsafe { transmute::<usize, fn(u64)>(function) };
                let job = Job {
                    function,
                    argument: 0,
                };
                run_on(if giver == 3 { 2 } else { 1 }, job).expect("idle");
            }
            core::hint::spin_loop();
        }
    }
    PROGRAM.store(program as usize, SeqCst);
    let job = Job {
        function: part,
        argument: 0,
    };
    run_on_each(&[0, 3, 4], job).expect("all are idle");
}

/// Runs a function in a thread of CPU 1 or 2, without waiting for it.
pub fn begin(cpu: u32, function: fn(u64)) {
    let giver = usize::from(cpu == 1);
    GIVEN[giver].store(function as usize, SeqCst);
}

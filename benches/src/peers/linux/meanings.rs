//! The tests of a Linux peer, and the metrics with which they are compared.

use super::super::Meaning;

/// A test that reports the median of its samples, compared with a metric of this kernel.
const fn test(test: &'static str, beside: &'static str, what: &'static str) -> Meaning {
    Meaning {
        test,
        beside,
        param: None,
        statistic: "median",
        unit: None,
        steady: true,
        what,
    }
}

/// All tests, the closest to a metric first.
pub const MEANINGS: &[Meaning] = &[
    test(
        "irq_work",
        "self_ipi.round_trip",
        "irq_work_queue on the own CPU until its function has run (module)",
    ),
    test(
        "irq_work_entry",
        "self_ipi.to_handler",
        "irq_work_queue on the own CPU to its function's first line (module)",
    ),
    Meaning {
        param: Some(("target", "polling")),
        ..test(
            "smp_call_function_single_async",
            "ipi.one_way",
            "a call on another CPU, whose thread spins in user mode, to the function's first line (module)",
        )
    },
    test(
        "smp_call_function_single",
        "call.wait",
        "a call on another CPU with wait (module)",
    ),
    test(
        "membarrier_1",
        "call.wait",
        "the membarrier system call that interrupts one other CPU and waits, less the same call with \
         no CPU to interrupt",
    ),
    Meaning {
        param: Some(("load", "idle")),
        ..test(
            "hrtimer",
            "timer.queue",
            "a timer's deadline to its function's first line, in interrupt context (module)",
        )
    },
    Meaning {
        param: Some(("load", "idle")),
        ..test(
            "wake_idle",
            "wake.thread",
            "a timer's expiry to the thread that clock_nanosleep wakes, SCHED_FIFO, idle machine (as \
             cyclictest): a switch and a change of privilege more than ours",
        )
    },
    Meaning {
        param: Some(("load", "interrupts")),
        steady: false,
        ..test(
            "wake_load",
            "wake.thread",
            "the same while a thread of normal priority on the CPU makes system calls and another CPU \
             sends interrupts (membarrier)",
        )
    },
    test(
        "int80",
        "exception.int_n",
        "INT 0x80 from user mode with no such system call, and back: a change of privilege more than \
         ours",
    ),
    test(
        "smp_call_function_many",
        "broadcast.all",
        "a call on all other CPUs with wait (module)",
    ),
    test(
        "membarrier_all",
        "broadcast.all",
        "the membarrier system call that interrupts all other CPUs and waits, less the same call with \
         no CPU to interrupt",
    ),
    test(
        "mprotect",
        "tlb.shootdown",
        "mprotect of one page while all other CPUs use the address space: the system call and the \
         shootdown",
    ),
    Meaning {
        statistic: "one boot",
        unit: Some("nanoseconds"),
        ..test(
            "bring_up",
            "bringup.cpus",
            "from `smp: Bringing up secondary CPUs` to `smp: Brought up` in the kernel's log",
        )
    },
];

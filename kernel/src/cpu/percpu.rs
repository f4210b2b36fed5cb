//! The per-CPU block, found through the CPU's GS base.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{
    AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

use tocsin_logic::backtrace;
use tocsin_logic::irq::board::Reader;
use tocsin_logic::irq::mailbox::Mailbox;
use tocsin_logic::irq::queue::Queue;
use tocsin_logic::irq::raised::Stack;
use tocsin_logic::irq::vectors::{Allocator, FIXED};

use super::ending::End;
use super::interrupts::Interrupts;
use super::machine_check::Polled;
use super::nmi::Nmi;
use super::stray::Strays;
use super::stretch::Stretches;
use crate::fn_cell::FnCell;
use crate::sync::{self, IrqMutex, Local};
use x86_64::structures::gdt::GlobalDescriptorTable;
use x86_64::structures::tss::TaskStateSegment;

/// Null, kernel code and data, user data and code, and the two halves of the TSS descriptor.
pub(super) const GDT_ENTRIES: usize = 8;

/// Maximum number of pending asynchronous calls of one CPU.
pub const CALLS: usize = 64;

/// Maximum number of pending deferred work items of one CPU.
pub const WORK: usize = 128;

/// The value of `serves_at` outside a called function.
pub(crate) const NOT_SERVING: u32 = u32::MAX;

/// The states of a CPU's mailbox for jobs.
pub(crate) mod mailbox_state {
    /// The thread is busy; no job is accepted.
    pub(crate) const CLOSED: u32 = 0;
    /// A job is accepted.
    pub(crate) const OPEN: u32 = 1;
    /// Another CPU has reserved the mailbox, or a job is pending.
    pub(crate) const TAKEN: u32 = 2;
    /// A job is running.
    pub(crate) const RUNNING: u32 = 3;
}

/// One job for a CPU: a function and its argument; see `ipi::jobs`.
#[derive(Debug)]
pub(crate) struct Assignment {
    /// One of [`mailbox_state`].
    pub(crate) state: AtomicU32,
    /// The function, stored last.
    pub(crate) function: FnCell<fn(u64)>,
    pub(crate) argument: AtomicU64,
    /// The flag that is set when the job is done; it belongs to the CPU that gave the job.
    pub(crate) done: AtomicPtr<AtomicBool>,
}

impl Assignment {
    /// Changes the state if it is `from`. Returns whether it has changed.
    pub(crate) fn change(&self, from: u32, to: u32) -> bool {
        let order = (Ordering::AcqRel, Ordering::Relaxed);
        let changed = self.state.compare_exchange(from, to, order.0, order.1);
        changed.is_ok()
    }
}

/// The call chain that an NMI handler has recorded for another CPU.
#[derive(Debug)]
pub(crate) struct Trace {
    /// Set while another CPU has a request in progress.
    pub(crate) taken: AtomicBool,
    /// The number of recorded calls; stored last. 0 until then.
    pub(crate) length: AtomicUsize,
    pub(crate) calls: [AtomicU64; backtrace::LIMIT],
}

/// Deferred work; see `deferred`.
#[derive(Debug)]
pub(crate) struct Deferred {
    pub(crate) queue: Queue<WORK>,
    /// 0, or the address of the work that first found the queue full.
    pub(crate) refused: AtomicUsize,
    /// Whether the CPU has logged it.
    pub(crate) is_reported: AtomicBool,
}

/// The heartbeat of a CPU; see `timer::watchdog`.
#[derive(Debug)]
pub(crate) struct Heart {
    /// The time of the last heartbeat, in nanoseconds; 0 if there are no heartbeats.
    pub(crate) last: AtomicU64,
    /// Whether the CPU has been reported as stuck.
    pub(crate) stuck: AtomicBool,
    /// Heartbeats since deferred work ran, and since one of them interrupted the thread. Only the
    /// CPU itself writes them.
    pub(crate) handlers: AtomicU32,
    pub(crate) thread: AtomicU32,
    /// Whether the CPU has been reported for a soft lockup: stuck in handlers, or not running its
    /// thread.
    pub(crate) soft: AtomicBool,
    /// Whether the deferred work that shows that deferred work runs is pending.
    pub(crate) is_asked: AtomicBool,
}

/// The messages of the TSC measurement between the boot CPU and an AP; see `smp::tsc_sync`.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Exchange {
    /// The number of the request, stored by the boot CPU; [`NONE`](Self::NONE) outside an exchange.
    pub(crate) request: AtomicU32,
    /// The number of the request that the AP has handled last, stored after `counter`.
    pub(crate) reply: AtomicU32,
    /// The number that the AP must add to its counter; 0 for no change.
    pub(crate) adjustment: AtomicI64,
    /// The AP's counter, read after the request had arrived.
    pub(crate) counter: AtomicU64,
}

impl Exchange {
    /// The request number that ends an exchange.
    pub(crate) const NONE: u32 = 0;

    const fn new() -> Self {
        Self {
            request: AtomicU32::new(Self::NONE),
            reply: AtomicU32::new(Self::NONE),
            adjustment: AtomicI64::new(0),
            counter: AtomicU64::new(0),
        }
    }
}

/// The per-CPU block, to which the GS base of its CPU points.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct PerCpu {
    /// Address of this block, for `mov reg, gs:[0]`. First, so that its offset is 0.
    this: UnsafeCell<*const PerCpu>,
    /// The state of its `IrqMutex`es and sections with interrupts disabled.
    pub(crate) locks: Local,
    id: u32,
    /// The nesting depth at which the CPU runs a called function outside the call interrupt, or
    /// [`NOT_SERVING`]; see `ipi::wait`.
    pub(crate) serves_at: AtomicU32,
    /// The innermost wait for a ceiling lock; null if there is none, and in release builds.
    pub(crate) lock_wait: AtomicPtr<()>,
    /// The guards that raise its priority; see `priority`.
    pub(crate) raised: Stack,
    /// Depth of fault reports being printed; above 1, a report has faulted itself.
    reports: AtomicU32,
    /// Its panic-stop state.
    pub(super) end: End,
    /// Its mailbox for jobs; see `ipi::jobs`.
    pub(crate) job: Assignment,
    /// Its last backtrace for another CPU; see `ipi::nmi`.
    pub(crate) trace: Trace,
    /// Its NMI requests and counts; see `cpu::nmi`.
    pub nmi: Nmi,
    /// Its mailbox for calls from other CPUs; see `ipi::call`.
    pub(crate) calls: Mailbox<CALLS>,
    /// Its cursor in the broadcast ring of calls to all CPUs.
    pub(crate) reader: Reader,
    /// Its deferred work; see `deferred`.
    pub(crate) deferred: Deferred,
    /// The allocator of its vectors. The interrupt path does not use it.
    pub(crate) vectors: IrqMutex<Allocator>,
    /// Its heartbeat, which other CPUs check.
    pub(crate) heart: Heart,
    /// Its longest IRQs-off and raised-priority sections.
    pub stretches: Stretches,
    /// Its spurious and unhandled interrupt counts.
    pub strays: Strays,
    /// Its interrupt table and counts.
    pub interrupts: Interrupts,
    /// Messages of the synchronisation of its time-stamp counter.
    pub(crate) tsc: Exchange,
    /// The machine-check errors that polling has found on it.
    pub polled: Polled,
    pub(super) gdt: UnsafeCell<GlobalDescriptorTable<GDT_ENTRIES>>,
    pub(super) tss: UnsafeCell<TaskStateSegment>,
}

const _: () = assert!(core::mem::offset_of!(PerCpu, locks) == sync::LOCAL_OFFSET);

// SAFETY: GDT, TSS and `this` are written only by `segments`, on the CPU to which they belong,
// while its code does not use them; other CPUs never access them. The note of `end` is read only
// after its last write. The rest is atomic or constant.
unsafe impl Sync for PerCpu {}

impl PerCpu {
    /// The block of CPU number `id`, with empty tables.
    #[must_use]
    pub(crate) const fn new(id: u32) -> Self {
        Self {
            this: UnsafeCell::new(core::ptr::null()),
            id,
            serves_at: AtomicU32::new(NOT_SERVING),
            lock_wait: AtomicPtr::new(core::ptr::null_mut()),
            locks: Local::new(id),
            raised: Stack::new(),
            reports: AtomicU32::new(0),
            end: End::new(),
            job: Assignment {
                // The boot CPU runs `main`; the others are or will be idle.
                state: AtomicU32::new(if id == 0 {
                    mailbox_state::CLOSED
                } else {
                    mailbox_state::OPEN
                }),
                function: FnCell::empty(),
                argument: AtomicU64::new(0),
                done: AtomicPtr::new(core::ptr::null_mut()),
            },
            trace: Trace {
                taken: AtomicBool::new(false),
                length: AtomicUsize::new(0),
                calls: [const { AtomicU64::new(0) }; backtrace::LIMIT],
            },
            nmi: Nmi::new(),
            calls: Mailbox::new(),
            reader: Reader::new(),
            deferred: Deferred {
                queue: Queue::new(),
                refused: AtomicUsize::new(0),
                is_reported: AtomicBool::new(false),
            },
            vectors: IrqMutex::new(Allocator::new(FIXED)),
            heart: Heart {
                last: AtomicU64::new(0),
                stuck: AtomicBool::new(false),
                handlers: AtomicU32::new(0),
                thread: AtomicU32::new(0),
                soft: AtomicBool::new(false),
                is_asked: AtomicBool::new(false),
            },
            stretches: Stretches::new(),
            strays: Strays::new(),
            interrupts: Interrupts::new(),
            tsc: Exchange::new(),
            polled: Polled::new(),
            gdt: UnsafeCell::new(GlobalDescriptorTable::empty()),
            tss: UnsafeCell::new(TaskStateSegment::new()),
        }
    }

    /// Whether an NMI handler is active. On this CPU.
    ///
    /// Context: any.
    #[inline]
    #[must_use]
    pub fn in_nmi(&self) -> bool {
        self.locks.in_nmi()
    }

    /// Whether an NMI has arrived while the handler of another one was active, which will then run
    /// again.
    ///
    /// Context: any.
    #[must_use]
    pub fn is_nmi_latched(&self) -> bool {
        self.locks.nmi_state.load(Ordering::Relaxed) == 2
    }

    /// The number of the CPU; 0 is the boot CPU.
    ///
    /// Context: any.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Records the start of a fault report. Returns the number of active reports, 1 for the first.
    pub(super) fn enter_report(&self) -> u32 {
        self.reports.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The number of fault reports being printed.
    pub(super) fn reports(&self) -> u32 {
        self.reports.load(Ordering::Relaxed)
    }

    /// Records the end of a report after which the CPU continues.
    pub(super) fn leave_report(&self) {
        self.reports.fetch_sub(1, Ordering::Relaxed);
    }

    /// Makes this the block of the CPU that runs this code.
    ///
    /// # Safety
    ///
    /// On the CPU to which the block belongs, before it calls [`current`], and again after loading
    /// a selector has cleared the GS base.
    pub(super) unsafe fn install(&'static self) {
        // SAFETY: The field is not read before the GS base points to this block.
        unsafe { *self.this.get() = self };
        x86_64::registers::model_specific::GsBase::write(x86_64::VirtAddr::from_ptr(self));
    }
}

static BOOT_CPU: PerCpu = PerCpu::new(0);

/// The block of the boot CPU.
pub(super) fn boot_cpu() -> &'static PerCpu {
    &BOOT_CPU
}

/// The block of the CPU that runs this code. Any context, once the CPU is set up.
///
/// A thread that may move to another CPU must not keep the reference across the move.
///
/// Context: any.
#[inline]
#[must_use]
pub fn current() -> &'static PerCpu {
    let this: *const PerCpu;
    // SAFETY: GS points to this CPU's block from `install` on, and its first field to itself.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) this, options(nostack, pure, readonly, preserves_flags));
    }
    // SAFETY: Blocks live forever. All fields of a block are constant or may be shared.
    unsafe { &*this }
}

/// A small stack for exceptions early in the boot, before stacks can be mapped.
#[repr(C, align(4096))]
pub(super) struct EarlyStack(UnsafeCell<[u8; EARLY_STACK_SIZE]>);

// A report needs about half of this.
const EARLY_STACK_SIZE: usize = 16 * 1024;

// SAFETY: Only the processor uses it, through the TSS.
unsafe impl Sync for EarlyStack {}

impl EarlyStack {
    /// The address above its last byte.
    pub(super) fn top(&self) -> u64 {
        self.0.get() as u64 + EARLY_STACK_SIZE as u64
    }
}

/// The boot CPU's early exception stack. All four IST entries share it, because each of these
/// exceptions is fatal at that time.
pub(super) static EARLY_EXCEPTION_STACK: EarlyStack =
    EarlyStack(UnsafeCell::new([0; EARLY_STACK_SIZE]));

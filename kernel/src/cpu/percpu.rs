//! What each CPU has to itself, found through its GS base.

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
use crate::sync::{self, IrqMutex, Local};
use x86_64::structures::gdt::GlobalDescriptorTable;
use x86_64::structures::tss::TaskStateSegment;

/// Null, kernel code and data, user data and code, and the two halves of the TSS descriptor.
pub(super) const GDT_ENTRIES: usize = 8;

/// Calls that nobody waits for which one CPU may have.
pub const CALLS: usize = 64;

/// Pieces of deferred work that may wait on one CPU.
pub const WORK: usize = 128;

/// The value for no nesting depth.
pub(crate) const NOT_SERVING: u32 = u32::MAX;

/// The states of a CPU's mailbox for jobs.
pub(crate) mod mailbox_state {
    /// The thread is occupied; no job is accepted.
    pub(crate) const CLOSED: u32 = 0;
    /// A job is accepted.
    pub(crate) const OPEN: u32 = 1;
    /// Another CPU has reserved it, or a job is waiting.
    pub(crate) const TAKEN: u32 = 2;
    /// A job is running.
    pub(crate) const RUNNING: u32 = 3;
}

/// One job for a CPU: a function and its argument; see `ipi::jobs`.
#[derive(Debug)]
pub(crate) struct Assignment {
    /// One of [`mailbox_state`].
    pub(crate) state: AtomicU32,
    /// The function, stored last; or null.
    pub(crate) function: AtomicPtr<()>,
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

/// A chain of calls that an NMI has noted for another CPU.
#[derive(Debug)]
pub(crate) struct Trace {
    /// Set while another CPU is asking.
    pub(crate) taken: AtomicBool,
    /// How many of the calls are noted; stored last. 0 until then.
    pub(crate) length: AtomicUsize,
    pub(crate) calls: [AtomicU64; backtrace::LIMIT],
}

/// Work that has been put off; see `deferred`.
#[derive(Debug)]
pub(crate) struct Deferred {
    pub(crate) queue: Queue<WORK>,
    /// 0, or the address of the work that first found the queue full.
    pub(crate) refused: AtomicUsize,
    /// Whether the CPU has said so.
    pub(crate) is_reported: AtomicBool,
}

/// A sign of life; see `timer::watchdog`.
#[derive(Debug)]
pub(crate) struct Heart {
    /// When it last beat, in nanoseconds; 0 if it does not beat.
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
    /// Whether deferred work that shows that it runs is pending.
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

/// The block that the GS base of its CPU points at.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct PerCpu {
    /// Address of this block, for `mov reg, gs:[0]`. First, so that its offset is 0.
    this: UnsafeCell<*const PerCpu>,
    /// The state of its `IrqMutex`es and sections with interrupts disabled.
    pub(crate) locks: Local,
    id: u32,
    /// The nesting depth at which the CPU runs a called function without an interrupt, or
    /// [`NOT_SERVING`]; see `ipi::wait`.
    pub(crate) serves_at: AtomicU32,
    /// The innermost wait for a ceiling lock; null if there is none, and in release builds.
    pub(crate) lock_wait: AtomicPtr<()>,
    /// The guards that raise its priority; see `priority`.
    pub(crate) raised: Stack,
    /// Depth of fault reports being printed; above 1, a report has faulted itself.
    reports: AtomicU32,
    /// How it ends.
    pub(super) end: End,
    /// What the CPU is asked to do; see `ipi::jobs`.
    pub(crate) job: Assignment,
    /// What it was doing when another CPU last asked; see `ipi::nmi`.
    pub(crate) trace: Trace,
    /// What it is asked by NMI; see `cpu::nmi`.
    pub nmi: Nmi,
    /// Calls that other CPUs want of it; see `ipi::call`.
    pub(crate) calls: Mailbox<CALLS>,
    /// How far it has read the board of what all are called for.
    pub(crate) reader: Reader,
    /// Work that it has put off; see `deferred`.
    pub(crate) deferred: Deferred,
    /// Its vectors: which belong to somebody. Nothing on an interrupt's way looks at it.
    pub(crate) vectors: IrqMutex<Allocator>,
    /// Its heart, which other CPUs watch.
    pub(crate) heart: Heart,
    /// How long it has held interrupts back.
    pub stretches: Stretches,
    /// What has come to it uncalled.
    pub strays: Strays,
    /// Its interrupts.
    pub interrupts: Interrupts,
    /// Messages of the synchronisation of its time-stamp counter.
    pub(crate) tsc: Exchange,
    /// The machine-check errors that polling has found on it.
    pub polled: Polled,
    pub(super) gdt: UnsafeCell<GlobalDescriptorTable<GDT_ENTRIES>>,
    pub(super) tss: UnsafeCell<TaskStateSegment>,
}

const _: () = assert!(core::mem::offset_of!(PerCpu, locks) == sync::LOCAL_OFFSET);

// SAFETY: 1. GDT, TSS and `this` are written only by `segments`, on the CPU they belong to, when its
// code is not using them; others never touch them. 2. The note of `end` is read only when it is not
// written any more. 3. The rest is atomic or constant.
unsafe impl Sync for PerCpu {}

impl PerCpu {
    /// The block of CPU number `id`, its tables still empty.
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
                function: AtomicPtr::new(core::ptr::null_mut()),
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

    /// Whether an NMI has come while the handler of another one was active, which will then run
    /// again.
    ///
    /// Context: any.
    #[must_use]
    pub fn is_nmi_latched(&self) -> bool {
        self.locks.nmi_state.load(Ordering::Relaxed) == 2
    }

    /// Number of the CPU; 0 is the one that booted.
    ///
    /// Context: any.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Marks the start of a fault report; returns how many there are now, 1 at the first.
    pub(super) fn enter_report(&self) -> u32 {
        self.reports.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many fault reports are being printed.
    pub(super) fn reports(&self) -> u32 {
        self.reports.load(Ordering::Relaxed)
    }

    /// Marks the end of a report after which the CPU goes on.
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
        // SAFETY: 1. Nobody reads it before the GS base leads here.
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
    // SAFETY: 1. GS points to this CPU's block from `install` on, and its first field to itself.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) this, options(nostack, pure, readonly, preserves_flags));
    }
    // SAFETY: 1. Blocks live for ever. 2. All of a block is either constant or safely shared.
    unsafe { &*this }
}

/// A small stack for exceptions in the first steps of booting, before stacks can be mapped.
#[repr(C, align(4096))]
pub(super) struct EarlyStack(UnsafeCell<[u8; EARLY_STACK_SIZE]>);

// A report needs about half of this.
const EARLY_STACK_SIZE: usize = 16 * 1024;

// SAFETY: 1. Only the processor uses it, through the TSS.
unsafe impl Sync for EarlyStack {}

impl EarlyStack {
    /// The address above its last byte.
    pub(super) fn top(&self) -> u64 {
        self.0.get() as u64 + EARLY_STACK_SIZE as u64
    }
}

/// The boot CPU's early exception stack. Shared by all four: none of them is survived then.
pub(super) static EARLY_EXCEPTION_STACK: EarlyStack =
    EarlyStack(UnsafeCell::new([0; EARLY_STACK_SIZE]));

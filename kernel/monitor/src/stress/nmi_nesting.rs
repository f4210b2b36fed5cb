//! A test of a second NMI that is delivered while the first is handled, at each critical point.
//!
//! The processor blocks the second NMI until the next IRET. Either the handler executes INT3, and
//! the IRET of that exception unblocks NMIs in the middle of the handler; or a breakpoint on one of
//! the last instructions of the NMI exit code does this at exactly that instruction. The
//! interrupted code loads a known value into every register, and checks the values afterwards.

use core::arch::naked_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use tocsin::hooks;
use tocsin::trap::nmi::{self, NMI};

use serde::Serialize;
use tocsin_logic::apic::Icr;
use tocsin_logic::apic::icr::Destination;
use x86_64::registers::debug::{DebugAddressRegister, Dr0, Dr7, Dr7Flags, Dr7Value};

use tocsin::apic::local;
use tocsin::apic::nmi::LastWrite;
use tocsin::ipi::Offline;
use tocsin::ipi::jobs;
use tocsin::ipi::nmi::call;
use tocsin::{cpu, smp, sync, time};

/// The point at which the second NMI is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// In the handler, after an exception in it has returned.
    Inside,
    /// Before the instruction at this address, which must be one of
    /// [`return_path`](tocsin::trap::nmi::return_path).
    Before(u64),
}

/// The result of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The CPU that sent the second NMI.
    pub sender: u32,
    /// The number of times the handler ran; 2 is correct.
    pub runs: u32,
    /// The maximum number of concurrent runs of the handler; 1 is correct.
    pub concurrent: u32,
    /// NMIs delivered on the CPU before the first one's return was complete.
    pub nested: u64,
    /// Whether the interrupted code found its registers, stack and flags unchanged.
    pub intact: bool,
}

impl Outcome {
    /// Returns whether the result is correct.
    ///
    /// Context: any.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.runs == 2 && self.concurrent == 1 && self.nested > 0 && self.intact
    }
}

static ALL: AtomicU64 = AtomicU64::new(0);
static RIGHT: AtomicU64 = AtomicU64::new(0);

/// Returns the number of tests so far, and the number of those with a correct result.
///
/// Context: thread.
#[must_use]
pub fn totals() -> (u64, u64) {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    (get(&ALL), get(&RIGHT))
}

/// The timeout of both CPUs, in nanoseconds.
const TIMEOUT: u64 = 20_000_000_000;

/// The maximum number of iterations of the interrupted loop, which take several seconds.
const ITERATIONS: u64 = 1 << 28;

/// The shared state of both CPUs.
struct TestState {
    target: AtomicU32,
    sender: AtomicU32,
    /// 0 for [`Moment::Inside`], otherwise the address.
    moment: AtomicU64,
    runs: AtomicU32,
    now: AtomicU32,
    concurrent: AtomicU32,
    nested: AtomicU64,
    /// Whether the handler waits for the second NMI.
    open: AtomicBool,
    intact: AtomicBool,
}

static STATE: TestState = TestState {
    target: AtomicU32::new(0),
    sender: AtomicU32::new(0),
    moment: AtomicU64::new(0),
    runs: AtomicU32::new(0),
    now: AtomicU32::new(0),
    concurrent: AtomicU32::new(0),
    nested: AtomicU64::new(0),
    open: AtomicBool::new(false),
    intact: AtomicBool::new(false),
};

/// Sends two nested NMIs to CPU number `target`. The caller runs in a thread; only one test may run
/// at a time.
///
/// # Errors
///
/// [`jobs::JobError`], if a CPU cannot take part.
pub(crate) fn run(target: u32, moment: Moment) -> Result<Outcome, jobs::JobError> {
    if smp::find(target).is_none() {
        return Err(jobs::JobError::Offline(Offline(target)));
    }
    let next = smp::all().iter().map(|online| online.cpu.id()).cycle();
    let next = next.skip_while(|&cpu| cpu != target).nth(1);
    // The breakpoint occurs while NMIs are blocked, so only the CPU itself can have sent one.
    let (sender, address) = match moment {
        Moment::Inside => (next.unwrap_or(target), 0),
        Moment::Before(address) => (target, address),
    };
    STATE.target.store(target, Ordering::Relaxed);
    STATE.sender.store(sender, Ordering::Relaxed);
    STATE.moment.store(address, Ordering::Relaxed);
    for counter in [&STATE.runs, &STATE.now, &STATE.concurrent] {
        counter.store(0, Ordering::Relaxed);
    }
    STATE.intact.store(false, Ordering::Relaxed);
    STATE.open.store(false, Ordering::Release);
    jobs::run_on_all(run_here)?;
    let outcome = Outcome {
        sender,
        runs: STATE.runs.load(Ordering::Acquire),
        concurrent: STATE.concurrent.load(Ordering::Relaxed),
        nested: STATE.nested.load(Ordering::Relaxed),
        intact: STATE.intact.load(Ordering::Relaxed),
    };
    ALL.fetch_add(1, Ordering::Relaxed);
    RIGHT.fetch_add(u64::from(outcome.is_right()), Ordering::Relaxed);
    Ok(outcome)
}

/// The job of each CPU; `cpu` is its number.
fn run_here(cpu: u64) {
    // The cast is lossless: CPU numbers have 32 bits.
    let cpu = cpu as u32;
    let sender = STATE.sender.load(Ordering::Relaxed);
    if cpu == STATE.target.load(Ordering::Relaxed) {
        interrupt_target(cpu);
    } else if cpu == sender {
        time::wait_until(TIMEOUT, || STATE.open.load(Ordering::Acquire));
        // If the first NMI has not arrived, this one is harmless.
        // SAFETY: The handler uses only atomics, except for the deliberate effects on its own CPU.
        let _ = unsafe { call(STATE.target.load(Ordering::Relaxed), handler, 0) };
    }
}

/// The job of the target: it sends the first NMI to itself, with known values in all registers.
fn interrupt_target(_own: u32) {
    let block = cpu::current();
    let nested = NMI.of(block).counts().nested;
    // No other command may be sent between the preparation of this one and its write.
    sync::without_interrupts(|| {
        let prepared = local()
            .prepare(Icr::nmi(Destination::Physical(local().id())))
            .ok();
        // SAFETY: The handler is written for an NMI, which `spin_interrupted` sends.
        let request = || unsafe { hooks::request_nmi_call(block, handler, 0) };
        if let Some(write) = prepared.filter(|_| request()) {
            let mut interrupted = Interrupted::new(write);
            // SAFETY: The write is the one that sends the prepared NMI. `interrupted` outlives the
            // call. Interrupts are disabled.
            let intact = unsafe { spin_interrupted(&raw mut interrupted) } == 0;
            STATE.intact.store(intact, Ordering::Relaxed);
        }
    });
    STATE
        .nested
        .store(NMI.of(block).counts().nested - nested, Ordering::Relaxed);
}

/// The handler of both NMIs.
extern "C" fn handler(_: usize) {
    let now = STATE.now.fetch_add(1, Ordering::Relaxed) + 1;
    STATE.concurrent.fetch_max(now, Ordering::Relaxed);
    let runs = STATE.runs.load(Ordering::Relaxed);
    if runs == 0 {
        match STATE.moment.load(Ordering::Relaxed) {
            0 => wait_inside(),
            address => {
                send_second();
                Dr0::write(address);
                Dr7::write(Dr7Value::from(Dr7Flags::LOCAL_BREAKPOINT_0_ENABLE));
            }
        }
    } else {
        Dr7::write(Dr7Value::from(Dr7Flags::empty()));
    }
    STATE.now.fetch_sub(1, Ordering::Relaxed);
    // This is the last step: the interrupted code continues when the value is 2.
    STATE.runs.store(runs + 1, Ordering::Release);
}

/// Unblocks NMIs, and waits for the second one.
fn wait_inside() {
    x86_64::instructions::interrupts::int3();
    if STATE.sender.load(Ordering::Relaxed) == STATE.target.load(Ordering::Relaxed) {
        send_second();
    }
    STATE.open.store(true, Ordering::Release);
    time::wait_until(TIMEOUT, || nmi::is_latched(cpu::current()));
}

/// Sends the second NMI to this CPU. If the send fails, the number of runs shows it.
fn send_second() {
    // SAFETY: As in `run_here`.
    let _ = unsafe { call(cpu::current().id(), handler, 0) };
}

/// The register values of the interrupted code, and the variables of its loop.
#[repr(C)]
struct Interrupted {
    rax: u64,
    rcx: u64,
    rdx: u64,
    rbx: u64,
    rbp: u64,
    rsi: u64,
    r: [u64; 8],
    /// Whether `wrmsr` sends the NMI; otherwise a store of `r9` to the address in `r8` does.
    by_msr: u64,
    runs: *const AtomicU32,
    iterations: u64,
    rsp: u64,
    rflags: u64,
}

impl Interrupted {
    fn new(write: LastWrite) -> Self {
        let pattern =
            |number: u64| 0x0123_4567_89ab_cdef_u64.rotate_left(number as u32 * 4) ^ number;
        let mut interrupted = Self {
            rax: pattern(0),
            rcx: pattern(1),
            rdx: pattern(2),
            rbx: pattern(3),
            rbp: pattern(5),
            rsi: pattern(6),
            r: core::array::from_fn(|index| pattern(8 + index as u64)),
            by_msr: 0,
            runs: &raw const STATE.runs,
            iterations: ITERATIONS,
            rsp: 0,
            rflags: 0,
        };
        match write {
            LastWrite::Msr { register, value } => {
                interrupted.by_msr = 1;
                interrupted.rcx = register.into();
                interrupted.rax = value & 0xffff_ffff;
                interrupted.rdx = value >> 32;
            }
            LastWrite::Memory { address, value } => {
                interrupted.r[0] = address;
                interrupted.r[1] = value.into();
            }
        }
        interrupted
    }
}

/// Loads the registers, sends the NMI, waits until its handler has run twice, and returns 0 if all
/// values are unchanged, otherwise 1.
///
/// # Safety
///
/// The write that `interrupted` describes must be sound. Interrupts must be disabled.
#[unsafe(naked)]
unsafe extern "C" fn spin_interrupted(interrupted: *mut Interrupted) -> u64 {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push {canary}",
        "mov [rdi + {rsp}], rsp",
        "mov rcx, [rdi + {rcx}]",
        "mov rdx, [rdi + {rdx}]",
        "mov rbx, [rdi + {rbx}]",
        "mov rbp, [rdi + {rbp}]",
        "mov rsi, [rdi + {rsi}]",
        "mov r8, [rdi + {r}]",
        "mov r9, [rdi + {r} + 8]",
        "mov r10, [rdi + {r} + 16]",
        "mov r11, [rdi + {r} + 24]",
        "mov r12, [rdi + {r} + 32]",
        "mov r13, [rdi + {r} + 40]",
        "mov r14, [rdi + {r} + 48]",
        "mov r15, [rdi + {r} + 56]",
        "pushfq",
        "pop qword ptr [rdi + {rflags}]",
        "mov rax, [rdi + {rax}]",
        "cmp qword ptr [rdi + {by_msr}], 0",
        "jne 2f",
        "mov [r8], r9d",
        "jmp 3f",
        "2: wrmsr",
        // RAX is needed to read the count; both of its values are checked.
        "3: cmp rax, [rdi + {rax}]",
        "jne 9f",
        "mov rax, [rdi + {runs}]",
        "cmp dword ptr [rax], 2",
        "mov rax, [rdi + {rax}]",
        "jae 4f",
        "pause",
        "dec qword ptr [rdi + {iterations}]",
        "jnz 3b",
        "4: cmp rcx, [rdi + {rcx}]",
        "jne 9f",
        "cmp rdx, [rdi + {rdx}]",
        "jne 9f",
        "cmp rbx, [rdi + {rbx}]",
        "jne 9f",
        "cmp rbp, [rdi + {rbp}]",
        "jne 9f",
        "cmp rsi, [rdi + {rsi}]",
        "jne 9f",
        "cmp r8, [rdi + {r}]",
        "jne 9f",
        "cmp r9, [rdi + {r} + 8]",
        "jne 9f",
        "cmp r10, [rdi + {r} + 16]",
        "jne 9f",
        "cmp r11, [rdi + {r} + 24]",
        "jne 9f",
        "cmp r12, [rdi + {r} + 32]",
        "jne 9f",
        "cmp r13, [rdi + {r} + 40]",
        "jne 9f",
        "cmp r14, [rdi + {r} + 48]",
        "jne 9f",
        "cmp r15, [rdi + {r} + 56]",
        "jne 9f",
        "cmp rsp, [rdi + {rsp}]",
        "jne 9f",
        "cmp qword ptr [rsp], {canary}",
        "jne 9f",
        // All flags except the six status flags, which the comparisons change.
        "pushfq",
        "pop rax",
        "xor rax, [rdi + {rflags}]",
        "and rax, ~0x8d5",
        "jnz 9f",
        "5: mov rsp, [rdi + {rsp}]",
        "pop rcx",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        "9: mov eax, 1",
        "jmp 5b",
        canary = const 0x5ca1_ab1e,
        rax = const offset_of!(Interrupted, rax),
        rcx = const offset_of!(Interrupted, rcx),
        rdx = const offset_of!(Interrupted, rdx),
        rbx = const offset_of!(Interrupted, rbx),
        rbp = const offset_of!(Interrupted, rbp),
        rsi = const offset_of!(Interrupted, rsi),
        r = const offset_of!(Interrupted, r),
        by_msr = const offset_of!(Interrupted, by_msr),
        runs = const offset_of!(Interrupted, runs),
        iterations = const offset_of!(Interrupted, iterations),
        rsp = const offset_of!(Interrupted, rsp),
        rflags = const offset_of!(Interrupted, rflags),
    )
}

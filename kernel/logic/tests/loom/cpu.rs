//! A model of a CPU: its interrupts and its table of handlers.

use crate::sync::{AtomicUsize, Ordering};
use crate::table::Table;
use crate::vector::Vector;
use loom::cell::UnsafeCell;
use std::ptr;
use std::sync::Arc;

/// The interrupts of one vector that are sent to one CPU. IRR has one bit for it, so interrupts
/// that arrive before the first is taken merge with it.
pub(crate) struct Interrupt {
    requested: AtomicUsize,
    taken: AtomicUsize,
}

impl Interrupt {
    pub(crate) fn new() -> Self {
        Self {
            requested: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
        }
    }

    /// Sends it. The target sees the sender's earlier writes when it takes the interrupt.
    pub(crate) fn send(&self) {
        self.requested.fetch_add(1, Ordering::Release);
    }

    /// Takes a pending interrupt. Returns whether there was one. Only on the target CPU.
    pub(crate) fn point(&self) -> bool {
        let requested = self.requested.load(Ordering::Acquire);
        let is_new = requested != self.taken.load(Ordering::Relaxed);
        if is_new {
            self.taken.store(requested, Ordering::Release);
        }
        is_new
    }

    /// As `point`, and calls `serve` as the handler.
    pub(crate) fn take<T: Default>(&self, serve: impl FnOnce() -> T) -> T {
        if self.point() { serve() } else { T::default() }
    }
}

/// Number of vectors of a CPU.
pub(crate) const VECTORS: usize = 2;

/// Address of the function of handler 0. That of handler n is n above, and its context is n.
const FUNCTION: usize = 0x1000;
const UNHANDLED: usize = 0xdead;

/// The result of a check, one bit each.
pub(crate) const IN_IRR: usize = 1;
pub(crate) const IN_ISR: usize = 2;

fn pointer(address: usize) -> *mut () {
    ptr::without_provenance_mut(address)
}

/// A CPU with its table of handlers and its local APIC, as other CPUs and devices see them.
pub(crate) struct Cpu {
    pub(crate) table: Table<VECTORS>,
    /// For each vector, 0 or 1 plus the handler for which the interrupt was sent.
    irr: [AtomicUsize; VECTORS],
    /// The last check that another CPU has requested: its number, whose parity is the vector; and
    /// the last completed one: 4 times the check plus its result.
    requested_check: AtomicUsize,
    completed_check: AtomicUsize,
}

impl Cpu {
    pub(crate) fn new() -> Self {
        Self {
            table: Table::new(pointer(UNHANDLED)),
            irr: std::array::from_fn(|_| AtomicUsize::new(0)),
            requested_check: AtomicUsize::new(0),
            completed_check: AtomicUsize::new(0),
        }
    }

    /// Installs handler `number`. Returns whether the vector was free.
    pub(crate) fn install(&self, vector: Vector, number: usize) -> bool {
        self.table
            .install(vector, pointer(FUNCTION + number), number)
    }

    /// An interrupt for handler `number` arrives. Returns false if it merges with a pending one.
    pub(crate) fn request(&self, vector: Vector, number: usize) -> bool {
        let before = self.irr[usize::from(vector.0)].swap(number + 1, Ordering::AcqRel);
        before == 0
    }

    /// Requests a check of a vector, for one CPU at a time. Returns the number of the check.
    pub(crate) fn request_check(&self, vector: Vector) -> usize {
        let last = self.requested_check.load(Ordering::Relaxed);
        let check = (last / VECTORS + 1) * VECTORS + usize::from(vector.0);
        self.requested_check.store(check, Ordering::Release);
        check
    }

    /// The result of the check, if it is complete.
    pub(crate) fn check_result(&self, check: usize) -> Option<usize> {
        let completed = self.completed_check.load(Ordering::Acquire);
        (completed / 4 == check).then_some(completed % 4)
    }
}

/// The state that the CPUs of a model share.
pub(crate) trait Machine {
    fn cpu(&self, number: usize) -> &Cpu;

    /// Runs handler number `handler`.
    fn handle(&self, handler: usize);

    /// A CPU ends an interrupt.
    fn end(&self, _: Vector) {}
}

/// The state of CPU number `number` alone, owned by the thread that models the CPU.
pub(crate) struct Owner<M> {
    machine: Arc<M>,
    number: usize,
    isr: [bool; VECTORS],
    completed_check: usize,
    /// The handlers that ran; `None` for `unhandled`.
    pub(crate) ran: Vec<Option<usize>>,
}

impl<M: Machine> Owner<M> {
    pub(crate) fn new(machine: &Arc<M>, number: usize) -> Self {
        Self {
            machine: machine.clone(),
            number,
            isr: [false; VECTORS],
            completed_check: 0,
            ran: Vec::new(),
        }
    }

    /// A point with interrupts enabled, where the call of a check can be delivered.
    pub(crate) fn point(&mut self) {
        let cpu = self.machine.cpu(self.number);
        let check = cpu.requested_check.load(Ordering::Acquire);
        if check != self.completed_check {
            self.completed_check = check;
            let at = check % VECTORS;
            let in_irr = cpu.irr[at].load(Ordering::Relaxed) != 0;
            let found = usize::from(in_irr) * IN_IRR + usize::from(self.isr[at]) * IN_ISR;
            cpu.completed_check
                .store(check * 4 + found, Ordering::Release);
        }
    }

    /// Takes the pending interrupt of `vector`, as the entry code does. Returns whether there was
    /// one.
    pub(crate) fn dispatch(&mut self, vector: Vector) -> bool {
        let at = usize::from(vector.0);
        let machine = self.machine.clone();
        let cpu = machine.cpu(self.number);
        // From IRR to ISR, through the gate: interrupts are disabled.
        let meant = cpu.irr[at].swap(0, Ordering::AcqRel);
        if meant == 0 {
            return false;
        }
        self.isr[at] = true;
        let (function, context) = cpu.table.lookup(vector);
        // Interrupts enabled.
        self.point();
        if function.addr() == UNHANDLED {
            self.ran.push(None);
        } else {
            assert_eq!(
                function.addr() - FUNCTION,
                context,
                "two installations mixed"
            );
            assert_eq!(meant - 1, context, "the interrupt of another handler");
            machine.handle(context);
            self.ran.push(Some(context));
        }
        self.point();
        // Interrupts disabled; EOI.
        self.isr[at] = false;
        machine.end(vector);
        true
    }
}

/// The contexts of handlers. Preparing or freeing one writes it; handlers read it.
pub(crate) struct Contexts([UnsafeCell<()>; 3]);

impl Contexts {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| UnsafeCell::new(())))
    }

    pub(crate) fn write(&self, number: usize) {
        self.0[number].with_mut(|_| ());
    }

    pub(crate) fn read(&self, number: usize) {
        self.0[number].with(|_| ());
    }
}

//! A CPU as far as others can interrupt it.

use crate::sync::{AtomicUsize, Ordering};
use crate::table::Table;
use crate::vector::Vector;
use loom::cell::UnsafeCell;
use std::ptr;
use std::sync::Arc;

/// The interrupts that one CPU is sent, of one vector: IRR has one bit for it, so those that
/// come before the first is taken are one.
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

    /// Sends it: what the sender did before, the target sees when it takes it.
    pub(crate) fn send(&self) {
        self.requested.fetch_add(1, Ordering::Release);
    }

    /// The CPU can be interrupted here. Returns whether it is. Only on that CPU.
    pub(crate) fn point(&self) -> bool {
        let requested = self.requested.load(Ordering::Acquire);
        let is_new = requested != self.taken.load(Ordering::Relaxed);
        if is_new {
            self.taken.store(requested, Ordering::Release);
        }
        is_new
    }

    /// The same, with what the handler finds to do.
    pub(crate) fn take<T: Default>(&self, serve: impl FnOnce() -> T) -> T {
        if self.point() { serve() } else { T::default() }
    }
}

/// Vectors that a CPU of the models has.
pub(crate) const VECTORS: usize = 2;

/// Address of the function of handler 0; handler n's is n above, and its context is n.
const FUNCTION: usize = 0x1000;
const UNHANDLED: usize = 0xdead;

/// What a look finds, one bit each.
pub(crate) const IN_IRR: usize = 1;
pub(crate) const IN_ISR: usize = 2;

fn pointer(address: usize) -> *mut () {
    ptr::without_provenance_mut(address)
}

/// A CPU with its table of handlers and its local APIC, as other CPUs and devices see them.
pub(crate) struct Cpu {
    pub(crate) table: Table<VECTORS>,
    /// For each vector, 0 or 1 plus the handler that is meant by who sent it.
    irr: [AtomicUsize; VECTORS],
    /// Questions of others, the last one's number and vector (its parity), and the last answer:
    /// 4 times the question and what was found.
    asked: AtomicUsize,
    answered: AtomicUsize,
}

impl Cpu {
    pub(crate) fn new() -> Self {
        Self {
            table: Table::new(pointer(UNHANDLED)),
            irr: std::array::from_fn(|_| AtomicUsize::new(0)),
            asked: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
        }
    }

    /// Installs handler `number`. Returns whether the vector was free.
    pub(crate) fn install(&self, vector: Vector, number: usize) -> bool {
        self.table
            .install(vector, pointer(FUNCTION + number), number)
    }

    /// An interrupt arrives, meant for handler `number`. Returns whether it is one of its own:
    /// otherwise it merges with one that waits.
    pub(crate) fn request(&self, vector: Vector, number: usize) -> bool {
        let before = self.irr[usize::from(vector.0)].swap(number + 1, Ordering::AcqRel);
        before == 0
    }

    /// Asks the CPU to look at a vector. One asker at a time. Returns the question's number.
    pub(crate) fn ask(&self, vector: Vector) -> usize {
        let last = self.asked.load(Ordering::Relaxed);
        let question = (last / VECTORS + 1) * VECTORS + usize::from(vector.0);
        self.asked.store(question, Ordering::Release);
        question
    }

    /// What the look found, if there was one yet.
    pub(crate) fn answer(&self, question: usize) -> Option<usize> {
        let answer = self.answered.load(Ordering::Acquire);
        (answer / 4 == question).then_some(answer % 4)
    }
}

/// What the CPUs of a model share.
pub(crate) trait Machine {
    fn cpu(&self, number: usize) -> &Cpu;

    /// What handler number `handler` does.
    fn handle(&self, handler: usize);

    /// A CPU ends an interrupt.
    fn end(&self, _: Vector) {}
}

/// What only CPU number `number` itself has: it belongs to the thread that is the CPU.
pub(crate) struct Owner<M> {
    machine: Arc<M>,
    number: usize,
    isr: [bool; VECTORS],
    answered: usize,
    /// The handlers that ran; `None` for `unhandled`.
    pub(crate) ran: Vec<Option<usize>>,
}

impl<M: Machine> Owner<M> {
    pub(crate) fn new(machine: &Arc<M>, number: usize) -> Self {
        Self {
            machine: machine.clone(),
            number,
            isr: [false; VECTORS],
            answered: 0,
            ran: Vec::new(),
        }
    }

    /// Interrupts are on here, and nothing that is in service keeps a call back: the look may come.
    pub(crate) fn point(&mut self) {
        let cpu = self.machine.cpu(self.number);
        let question = cpu.asked.load(Ordering::Acquire);
        if question != self.answered {
            self.answered = question;
            let at = question % VECTORS;
            let in_irr = cpu.irr[at].load(Ordering::Relaxed) != 0;
            let found = usize::from(in_irr) * IN_IRR + usize::from(self.isr[at]) * IN_ISR;
            cpu.answered.store(question * 4 + found, Ordering::Release);
        }
    }

    /// Takes the interrupt of `vector`, if one waits, as the entry code does. Returns whether there was
    /// one.
    pub(crate) fn dispatch(&mut self, vector: Vector) -> bool {
        let at = usize::from(vector.0);
        let machine = self.machine.clone();
        let cpu = machine.cpu(self.number);
        // From IRR to ISR, through the gate: interrupts are off.
        let meant = cpu.irr[at].swap(0, Ordering::AcqRel);
        if meant == 0 {
            return false;
        }
        self.isr[at] = true;
        let (function, context) = cpu.table.lookup(vector);
        // On.
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
        // Off; EOI.
        self.isr[at] = false;
        machine.end(vector);
        true
    }
}

/// What contexts stand for: who frees one or prepares one writes it, handlers read it.
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

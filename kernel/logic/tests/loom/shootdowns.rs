//! TLB shootdowns: requests to invalidate translations on other CPUs.

use crate::cpu::Interrupt;
use crate::shootdown::{Acknowledged, Invalidate, LIMIT, Posted, Range, Requests};
use crate::sync::{AtomicUsize, Ordering, fence};
use crate::{beside, explore};
use std::sync::Arc;

/// Number of page table entries.
const PAGES: usize = 4;

/// The size of a page in bytes.
const SIZE: usize = 4096;

/// CPUs with one page table. Each entry is changed once, from 0 to 1, by a sender.
struct Machine<const CPUS: usize> {
    requests: Requests,
    acknowledged: [Acknowledged; CPUS],
    interrupts: [Interrupt; CPUS],
    entries: [AtomicUsize; PAGES],
    /// The value of each entry in the TLB of each CPU.
    cached: [[AtomicUsize; CPUS]; PAGES],
}

/// The page with this index.
fn page(index: usize) -> Option<Range> {
    let address = (index + 1) * SIZE;
    Range::pages(address, address + 1)
}

impl<const CPUS: usize> Machine<CPUS> {
    fn new() -> Arc<Self> {
        let zeros = || core::array::from_fn(|_| AtomicUsize::new(0));
        Arc::new(Self {
            requests: Requests::new(),
            acknowledged: core::array::from_fn(|_| Acknowledged::new()),
            interrupts: core::array::from_fn(|_| Interrupt::new()),
            entries: core::array::from_fn(|_| AtomicUsize::new(0)),
            cached: core::array::from_fn(|_| zeros()),
        })
    }

    /// CPU `own` changes the entry of a page, and requests `range`.
    fn change(&self, own: usize, index: usize, range: Option<Range>) -> Posted {
        self.entries[index].store(1, Ordering::Relaxed);
        let request = self.requests.post(range);
        for (cpu, interrupt) in self.interrupts.iter().enumerate() {
            if cpu != own {
                interrupt.send();
            }
        }
        request
    }

    /// Takes the interrupt on CPU `cpu`, if there is one.
    fn take(&self, cpu: usize) {
        self.interrupts[cpu].take(|| self.serve(cpu));
    }

    /// Serves the requests on CPU `cpu`.
    fn serve(&self, cpu: usize) {
        let own = &self.acknowledged[cpu];
        self.requests.serve(own, |what| match what {
            Invalidate::Page(address) => self.invalidate(cpu, address / SIZE - 1),
            Invalidate::All => (0..PAGES).for_each(|index| self.invalidate(cpu, index)),
        });
    }

    /// Invalidates a translation, and reads the entry again.
    fn invalidate(&self, cpu: usize, index: usize) {
        let entry = self.entries[index].load(Ordering::Relaxed);
        self.cached[index][cpu].store(entry, Ordering::Relaxed);
    }

    /// Whether the targets have acknowledged the request. If so, checks that they have invalidated
    /// the page.
    fn is_done(&self, own: usize, index: usize, request: &Posted) -> bool {
        let mut others = (0..CPUS).filter(|&cpu| cpu != own);
        let is_done = others.all(|cpu| self.acknowledged[cpu].has(request.number()));
        if is_done {
            for cpu in (0..CPUS).filter(|&cpu| cpu != own) {
                let cached = self.cached[index][cpu].load(Ordering::Relaxed);
                assert_eq!(cached, 1, "page {index} is still used on CPU {cpu}");
            }
        }
        is_done
    }
}

#[test]
fn one_request_for_several_cpus() {
    explore(Some(3), || {
        let machine = Machine::<3>::new();
        let targets = [1, 2].map(|cpu| beside(&machine, move |machine| machine.take(cpu)));
        let request = machine.change(0, 0, page(0));
        let is_early = machine.is_done(0, 0, &request);
        let _ = targets.map(|it| it.join().unwrap());
        machine.take(1);
        machine.take(2);
        assert!(machine.is_done(0, 0, &request), "lost");
        is_early
    });
}

#[test]
fn a_request_for_all_translations() {
    explore(Some(3), || {
        let machine = Machine::<2>::new();
        let target = beside(&machine, |machine| machine.take(1));
        let many = Range::pages(0, LIMIT * SIZE + 1);
        let request = machine.change(0, 0, many);
        let is_early = machine.is_done(0, 0, &request);
        target.join().unwrap();
        machine.take(1);
        assert!(machine.is_done(0, 0, &request), "lost");
        machine.requests.release(request);
        is_early
    });
}

/// Both wait with interrupts disabled, and so serve by themselves.
#[test]
fn two_cpus_request_at_once() {
    explore(Some(3), || {
        let machine = Machine::<2>::new();
        let run = |machine: &Machine<2>, own: usize| {
            let request = machine.change(own, own, page(own));
            machine.serve(own);
            let is_done = machine.is_done(own, own, &request);
            (request, is_done)
        };
        let other = beside(&machine, move |machine| run(machine, 1));
        let own = run(&machine, 0);
        let other = other.join().unwrap();
        let mut all_done = true;
        for (cpu, (request, is_done)) in [own, other].into_iter().enumerate() {
            machine.serve(1 - cpu);
            assert!(machine.is_done(cpu, cpu, &request), "lost");
            all_done &= is_done;
            machine.requests.release(request);
        }
        let newcomer = Acknowledged::new();
        machine
            .requests
            .serve(&newcomer, |what| panic!("{what:?} is still pending"));
        all_done
    });
}

/// A CPU requests another page after it has released its first request.
#[test]
fn one_request_after_another() {
    explore(Some(3), || {
        let machine = Machine::<2>::new();
        let target = beside(&machine, |machine| {
            machine.take(1);
            machine.take(1);
        });
        let first = machine.change(0, 0, page(0));
        let is_early = machine.is_done(0, 0, &first);
        if is_early {
            machine.requests.release(first);
            let second = machine.change(0, 1, page(1));
            machine.is_done(0, 1, &second);
            target.join().unwrap();
            machine.take(1);
            assert!(machine.is_done(0, 1, &second), "lost");
        } else {
            target.join().unwrap();
        }
        is_early
    });
}

/// Two CPUs request pages of a third, which may serve both at once. Each releases its range when
/// the third has acknowledged it.
#[test]
fn two_requests_to_a_third_cpu() {
    explore(Some(3), || {
        let machine = Machine::<3>::new();
        let run = |machine: &Machine<3>, own: usize| {
            machine.entries[own].store(1, Ordering::Relaxed);
            let request = machine.requests.post(page(own));
            machine.interrupts[2].send();
            let is_early = machine.acknowledged[2].has(request.number());
            if is_early {
                let cached = machine.cached[own][2].load(Ordering::Relaxed);
                assert_eq!(cached, 1, "page {own} is still used");
                machine.requests.release(request);
                return None;
            }
            Some(request)
        };
        let other = beside(&machine, move |machine| run(machine, 1));
        let target = beside(&machine, |machine| machine.take(2));
        let own = run(&machine, 0);
        let left = [own, other.join().unwrap()];
        target.join().unwrap();
        machine.take(2);
        let has_early = left.iter().any(Option::is_none);
        for (index, request) in left.into_iter().enumerate() {
            let cached = machine.cached[index][2].load(Ordering::Relaxed);
            assert_eq!(cached, 1, "lost: page {index}");
            if let Some(request) = request {
                assert!(machine.acknowledged[2].has(request.number()), "lost");
                machine.requests.release(request);
            }
        }
        let newcomer = Acknowledged::new();
        machine
            .requests
            .serve(&newcomer, |what| panic!("{what:?} is still pending"));
        has_early
    });
}

/// The accesses of a CPU that serves a request are in order for a CPU that has not sent it: one of
/// the two CPUs, each of which writes one word and then reads the other, reads the new value.
#[test]
fn serving_is_a_full_memory_barrier() {
    explore(Some(3), || {
        let machine = Machine::<1>::new();
        let target = beside(&machine, |machine| {
            machine.entries[0].store(1, Ordering::Relaxed);
            machine.serve(0);
            machine.entries[1].load(Ordering::Relaxed)
        });
        let third = beside(&machine, |machine| {
            machine.entries[1].store(1, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            machine.entries[0].load(Ordering::Relaxed)
        });
        let request = machine.requests.post(None);
        let values = [target, third].map(|it| it.join().unwrap());
        let is_served = machine.acknowledged[0].has(request.number());
        assert!(!is_served || values != [0, 0], "the barrier orders nothing");
        is_served && values.contains(&0)
    });
}

/// A CPU that reads the bits before the number acknowledges a request that it has not seen.
#[test]
#[should_panic(expected = "is still used")]
fn the_number_is_read_first() {
    explore(Some(3), || {
        let machine = Machine::<2>::new();
        let target = beside(&machine, |machine| {
            // As if it had read the bits of that time.
            let is_empty = !machine.requests.has_pending(&machine.acknowledged[1]);
            if is_empty {
                let nothing = Acknowledged::new();
                machine.requests.serve(&nothing, |_| ());
                machine.requests.serve(&machine.acknowledged[1], |_| ());
            }
        });
        let request = machine.change(0, 0, page(0));
        target.join().unwrap();
        machine.is_done(0, 0, &request)
    });
}

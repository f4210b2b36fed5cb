//! Migration of a line to another CPU while its interrupts continue to arrive.
//! `tocsin_logic::irq::affinity` defines the steps and shows that they suffice; this module
//! executes them.

use crate::cpu::handlers::VECTORS;
use arrayvec::ArrayVec;
use tocsin_logic::irq::affinity::{self, Action, Move, Target, choose_vector};
use tocsin_logic::topology::CpuId;
use tocsin_logic::vector::Vector;

use crate::line::binding::Binding;
use crate::line::inner::MaskReason;
use crate::line::{Line, LineError, find, vectors};
use crate::smp::Online;

/// Maximum number of simultaneous bindings of a line: the old, the new, and an intermediate one.
const MAX_BINDINGS: usize = 3;

/// Maximum number of attempts to allocate vectors that were free on both CPUs before.
const MAX_ATTEMPTS: usize = 16;

impl Line {
    /// Moves the line to another CPU. No interrupt is lost or duplicated, whatever arrives
    /// meanwhile.
    ///
    /// Context: thread or handler below the line's class, interrupts enabled; below class 13, on
    /// any CPU.
    ///
    /// # Errors
    ///
    /// [`LineError`]; the line then stays on its CPU.
    ///
    /// # Panics
    ///
    /// In another context, such as the line's own handler; the message names the rule.
    #[track_caller]
    pub fn move_to(&self, cpu: u32) -> Result<(), LineError> {
        self.require_below("Line::move_to");
        let new = find(cpu)?;
        let _moving = self.inner.begin_move()?;
        let (old, old_first, kind) = self
            .inner
            .with(|state| (state.target, state.first, state.source.kind()));
        if old.cpu.id() == cpu {
            return Ok(());
        }
        self.inner
            .with(|state| state.source.check(old_first, new.apic_id))?;
        let new_first = self.allocate_vectors(kind, old, old_first, new)?;
        let target = |online: &Online, vector| Target {
            cpu: CpuId(online.cpu.id()),
            vector,
        };
        let (from, to) = (target(old, old_first), target(new, new_first));
        let Some(steps) = Move::new(kind, from, to) else {
            return Ok(());
        };
        self.execute(steps, from, [old, new])
    }

    /// Allocates vectors for the new target, and for the intermediate one if there is one.
    fn allocate_vectors(
        &self,
        kind: affinity::SourceKind,
        old: &'static Online,
        old_first: Vector,
        new: &'static Online,
    ) -> Result<Vector, LineError> {
        let (class, count) = (self.inner.class, self.inner.count);
        if kind.can_be_masked() {
            let is_level = kind == affinity::SourceKind::LevelPin;
            let allocated = vectors::allocate(new, class, count, is_level);
            let cpu = new.cpu.id();
            return allocated.map_err(|exhausted| LineError::Vectors { cpu, exhausted });
        }
        for _ in 0..MAX_ATTEMPTS {
            let on_old = VECTORS.of(old.cpu).lock().available();
            let on_new = VECTORS.of(new.cpu).lock().available();
            let Some(first) = choose_vector(kind, class, count, old_first, on_old, on_new) else {
                break;
            };
            if VECTORS.of(new.cpu).lock().claim(first, count).is_err() {
                // The vectors have been allocated by another caller in the meantime.
                continue;
            }
            if first == old_first || VECTORS.of(old.cpu).lock().claim(first, count).is_ok() {
                return Ok(first);
            }
            vectors::free(new, first, count, false);
        }
        Err(LineError::NoCommonVectors {
            from: old.cpu.id(),
            to: new.cpu.id(),
            class,
            count,
        })
    }

    /// Executes the steps. If one fails, executes those that undo the previous ones.
    fn execute(
        &self,
        mut steps: Move,
        from: Target,
        cpus: [&'static Online; 2],
    ) -> Result<(), LineError> {
        let mut bindings: ArrayVec<(Target, Binding), MAX_BINDINGS> = ArrayVec::new();
        let first = self.binding.lock().take();
        bindings.extend(first.map(|binding| (from, binding)));
        let mut result = Ok(());
        while let Some(action) = steps.action() {
            match self.perform(action, cpus, &mut bindings) {
                Ok(()) => steps.advance(),
                Err(error) => {
                    let abandoned = steps.abandon();
                    assert!(abandoned, "nothing fails once the route has changed");
                    result = Err(error);
                }
            }
        }
        // One binding is left: the new one, or the old one if the move was abandoned.
        *self.binding.lock() = bindings.pop().map(|(_, binding)| binding);
        result
    }

    fn perform(
        &self,
        action: Action,
        cpus: [&'static Online; 2],
        bindings: &mut ArrayVec<(Target, Binding), MAX_BINDINGS>,
    ) -> Result<(), LineError> {
        let inner = &self.inner;
        let online = |cpu: CpuId| {
            let mut cpus = cpus.into_iter();
            cpus.find(|online| online.cpu.id() == cpu.get())
                .expect("a move is between its two CPUs")
        };
        let index = |bindings: &ArrayVec<(Target, Binding), MAX_BINDINGS>, target| {
            let mut targets = bindings.iter();
            targets
                .position(|(known, _)| *known == target)
                .expect("a target that remains was bound")
        };
        match action {
            Action::Install(target) => {
                let binding = (self.bind)(online(target.cpu), target.vector, inner);
                bindings.push((target, binding));
            }
            Action::Mask => inner.set_masked(MaskReason::Move, true),
            Action::Unmask => inner.set_masked(MaskReason::Move, false),
            Action::AwaitIdle => {
                if !inner.wait_until_idle(true) {
                    return Err(inner.with(|state| state.eoi_timeout()));
                }
            }
            Action::SetRoute(target) => {
                return inner
                    .with(|state| state.set_route(online(target.cpu), target.vector, inner.count));
            }
            Action::SetVector(vector) => {
                return inner.with(|state| state.set_route(state.target, vector, inner.count));
            }
            Action::SetDestination(cpu) => {
                return inner.with(|state| state.set_route(online(cpu), state.first, inner.count));
            }
            Action::Flush => {
                // After a second, a message that the input still has to send is accepted by no CPU.
                let _ = inner.wait_until_idle(false);
            }
            Action::Drain(target) => {
                bindings[index(bindings, target)]
                    .1
                    .wait_until_drained(inner.name);
            }
            Action::Remove(target) => {
                let (_, binding) = bindings.remove(index(bindings, target));
                binding.remove(inner);
            }
            Action::Free(target) => {
                let is_level = inner.with(|state| state.source.is_level());
                vectors::free(online(target.cpu), target.vector, inner.count, is_level);
            }
        }
        Ok(())
    }
}

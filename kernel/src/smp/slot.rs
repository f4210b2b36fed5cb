//! The memory that an AP in bring-up shares with the boot CPU.

use core::sync::atomic::{AtomicU32, Ordering};

use tocsin_logic::apic::ApicId;
use tocsin_logic::smp::Stage;

use crate::cpu::PerCpu;

/// The data of one AP for the start-up code, which uses the offsets of the fields.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Slot {
    /// The APIC ID by which the AP finds its slot.
    listed_id: u32,
    /// The [`Stage`] that it has reached.
    stage: AtomicU32,
    /// The initial value of its stack pointer.
    stack_top: u64,
    /// Its per-CPU block.
    pub(super) cpu: PerCpu,
    /// The stage at which it stops, for tests; [`Stage::NEVER`] otherwise.
    pub(super) fail_at: u8,
    /// The stage that it attempts only after it has been abandoned, for tests; [`Stage::NEVER`]
    /// otherwise.
    pub(super) late_at: u8,
    reserved: u16,
    /// The APIC ID to which its IPIs are sent: `listed_id`, except in tests.
    apic_id: u32,
}

const _: () = assert!(size_of::<Slot>() == SLOT_SIZE);

/// Size of a slot, in bytes.
pub(super) const SLOT_SIZE: usize = 32;

/// The values of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct ApStart {
    pub(super) apic_id: ApicId,
    pub(super) listed_id: ApicId,
    pub(super) stack_top: u64,
    pub(super) cpu: PerCpu,
    pub(super) fail_at: Option<Stage>,
    pub(super) late_at: Option<Stage>,
}

impl Slot {
    /// The slot of an AP that has not started yet.
    pub(super) fn new(ap: &ApStart) -> Self {
        let number = |stage: Option<Stage>| stage.map_or(Stage::NEVER, |stage| stage as u8);
        Self {
            listed_id: ap.listed_id.0,
            stage: AtomicU32::new(Stage::Silent as u32),
            stack_top: ap.stack_top,
            cpu: ap.cpu,
            fail_at: number(ap.fail_at),
            late_at: number(ap.late_at),
            reserved: 0,
            apic_id: ap.apic_id.0,
        }
    }

    /// The stage that the AP has reached.
    pub(super) fn stage(&self) -> Stage {
        stage(self.stage.load(Ordering::Acquire))
    }

    /// The AP's APIC ID.
    pub(super) fn apic_id(&self) -> ApicId {
        ApicId(self.apic_id)
    }

    /// Stores that the AP has reached `stage`. Returns whether it may continue: not if the boot CPU
    /// has abandoned it, or a test requests that it stops here.
    pub(super) fn reach(&self, stage: Stage) -> bool {
        while self.late_at == stage as u8 && self.stage() != Stage::Abandoned {
            core::hint::spin_loop();
        }
        let advance = |now| (now < stage as u32).then_some(stage as u32);
        let advanced = self
            .stage
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, advance);
        advanced.is_ok() && self.fail_at != stage as u8
    }

    /// Abandons the AP, unless it is ready. Returns the last stage that it reached.
    pub(super) fn abandon(&self) -> Stage {
        let give_up = |now| (now < Stage::Ready as u32).then_some(Stage::Abandoned as u32);
        match self
            .stage
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, give_up)
        {
            Ok(number) | Err(number) => stage(number),
        }
    }
}

/// The stage with this number. The trampoline stores no other numbers.
fn stage(number: u32) -> Stage {
    Stage::from_number(number).unwrap_or(Stage::Silent)
}

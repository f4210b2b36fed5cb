//! The local APIC driver, for xAPIC and x2APIC mode.
//!
//! The `x2apic` crate drives the I/O APICs, but not the local APIC: in xAPIC mode it does not shift
//! the ICR's destination (an INIT is then sent to APIC 0), and it unmasks LVT entries before the
//! APIC is enabled, which hardware undoes. The order of the steps below is the one that hardware
//! requires.

use alloc::boxed::Box;
use core::fmt;
use core::sync::atomic::{AtomicPtr, Ordering};

use tocsin_logic::apic::base::IA32_APIC_BASE;
use tocsin_logic::apic::register::Part;
use tocsin_logic::apic::status::{Dfr, Esr, Svr};
use tocsin_logic::apic::{ApicBase, ApicId, Lvt, Mode, Register, State};

use x86_64::registers::model_specific::Msr;

use super::io::{self, IoApic};
use super::{in_service, vectors};
use crate::cpu::handlers;
use crate::hw::{control, processor};
use crate::memory::{MemoryError, paging};
use crate::trap::idt;

/// The access to the local APICs, common to all CPUs of the machine. The registers are those of the
/// CPU that uses it.
#[derive(Debug)]
pub struct LocalApic {
    state: State,
    /// Virtual address of the register page in xAPIC mode, where each CPU accesses its own
    /// registers.
    pub(super) page: u64,
    /// Whether EOIs of level-triggered interrupts are not broadcast to the I/O APICs.
    suppresses_eoi_broadcasts: bool,
}

/// The result of [`local`]; before the set-up, registers at unmapped addresses. A pointer instead
/// of a `Once`, because every send reads it, and this saves the check whether it is set.
static LOCAL: AtomicPtr<LocalApic> = AtomicPtr::new((&raw const NOT_SET_UP).cast_mut());

static NOT_SET_UP: LocalApic = LocalApic {
    state: State::Disabled,
    page: 0,
    suppresses_eoi_broadcasts: false,
};

/// The local APIC of the CPU that runs this code. Before the boot CPU has set it up, any use of it
/// is a page fault.
///
/// Context: any.
#[inline]
#[must_use]
pub fn local() -> &'static LocalApic {
    // SAFETY: The pointer leads to a value that lives forever and is not changed after it has been
    // stored.
    unsafe { &*LOCAL.load(Ordering::Acquire) }
}

/// The state of this CPU's local APIC, and the address of its registers.
///
/// Context: any.
///
/// # Errors
///
/// The register's value, if it is invalid.
pub fn base_register() -> Result<ApicBase, u64> {
    // SAFETY: Every processor with a local APIC has the register, and the kernel needs one.
    let value = unsafe { control::read_msr(IA32_APIC_BASE) };
    ApicBase::decode(value).map_err(|_| value)
}

/// Checks that this CPU has a local APIC, through which all of the kernel's interrupts are
/// delivered. A local APIC that firmware has disabled counts as present: CPUID then does not report
/// it, but `IA32_APIC_BASE` has its address (SDM vol. 3A, 12.4.3). Context: boot CPU, once.
///
/// # Errors
///
/// [`ApicError::Absent`].
pub(crate) fn require() -> Result<(), ApicError> {
    let disabled = || base_register().is_ok_and(|b| b.state == State::Disabled && b.address != 0);
    if processor::has_local_apic() || disabled() {
        Ok(())
    } else {
        Err(ApicError::Absent)
    }
}

/// The APIC ID of the CPU that runs this code, from the ID register of its local APIC, to which
/// IPIs are addressed.
///
/// CPUID reports the ID that the CPU had at reset, which is wrong on some firmware and virtual
/// machines. It is used only if the register cannot be read, because the local APIC is disabled.
/// Context: thread, once memory is set up.
pub(crate) fn own_id() -> ApicId {
    let from_register = || {
        let base = base_register().ok()?;
        if base.state == State::Disabled {
            return None;
        }
        // SAFETY: The address is the one that the processor reports.
        let apic = unsafe { LocalApic::new(base.state, base.address) }.ok()?;
        Some(apic.id())
    };
    from_register().unwrap_or_else(|| ApicId(processor::initial_apic_id()))
}

/// The reason why the local APIC cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApicError {
    /// The CPU has no local APIC.
    Absent,
    /// `IA32_APIC_BASE` has an invalid value.
    Base(u64),
    /// The registers cannot be mapped.
    Memory(MemoryError),
}

impl fmt::Display for ApicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str(
                "apic: the CPU has no local APIC (CPUID.01H:EDX bit 9 is 0), which this kernel needs; \
                 enable it in the firmware's setup or in the virtual machine",
            ),
            Self::Base(value) => write!(
                f,
                "IA32_APIC_BASE holds {value:#x}, which is no valid state"
            ),
            Self::Memory(error) => write!(f, "the registers cannot be mapped: {error}"),
        }
    }
}

impl core::error::Error for ApicError {}

impl LocalApic {
    /// Creates the driver for mode `state`, with the xAPIC's registers at physical `address`.
    ///
    /// # Errors
    ///
    /// [`ApicError`], if the registers cannot be mapped.
    ///
    /// # Safety
    ///
    /// `address` must be that of the registers.
    pub(crate) unsafe fn new(state: State, address: u64) -> Result<Self, ApicError> {
        // SAFETY: The caller guarantees it.
        let page = unsafe { paging::map_physical(address, LENGTH, paging::Use::Device) };
        let page = page.map_err(ApicError::Memory)?;
        Ok(Self {
            state,
            page,
            suppresses_eoi_broadcasts: false,
        })
    }

    /// The same driver in mode `state`, for all CPUs. This CPU's local APIC must have been set up.
    #[must_use]
    pub(crate) fn in_state(&self, state: State) -> Self {
        Self {
            state,
            page: self.page,
            // An EOI then ends the interrupt of one I/O APIC only, not of all with the same vector
            // (SDM vol. 3A, 12.8.5).
            suppresses_eoi_broadcasts: self.version().can_suppress_eoi_broadcast()
                && io::all().iter().all(IoApic::has_eoi),
        }
    }

    /// Whether handlers of level-triggered interrupts signal the end to the I/O APIC themselves.
    ///
    /// Context: any.
    #[must_use]
    pub fn suppresses_eoi_broadcasts(&self) -> bool {
        self.suppresses_eoi_broadcasts
    }

    /// Installs this as the result of [`local`], and registers the handlers of its own vectors.
    /// Called once.
    pub(crate) fn install(self) -> &'static Self {
        in_service::set_up();
        let installed: &'static Self = Box::leak(Box::new(self));
        LOCAL.store(core::ptr::from_ref(installed).cast_mut(), Ordering::Release);
        installed
    }

    /// Whether it is in x2APIC mode.
    ///
    /// Context: any.
    #[must_use]
    pub fn is_x2apic(&self) -> bool {
        self.state == State::X2Apic
    }

    /// Puts this CPU's local APIC into the mode of all CPUs, by legal transitions only.
    fn enter_state(&self) -> Result<(), ApicError> {
        let mut base = base_register().map_err(ApicError::Base)?;
        for state in base.state.path(self.state) {
            base = base.with_state(state);
            let value = base.encode().map_err(|_| ApicError::Base(0))?;
            // SAFETY: The path has only transitions that the processor allows.
            unsafe { Msr::new(IA32_APIC_BASE).write(value) };
        }
        Ok(())
    }

    /// Sets up this CPU's local APIC: enabled, with all LVT entries masked except errors and the
    /// NMI pins. `lints` are the entries of LINT0 and LINT1.
    ///
    /// # Errors
    ///
    /// [`ApicError`], if its state is invalid.
    ///
    /// # Safety
    ///
    /// Interrupts must be disabled.
    pub(crate) unsafe fn set_up(&self, lints: [Lvt; 2]) -> Result<(), ApicError> {
        self.enter_state()?;
        handlers::set_apic_page(if self.is_x2apic() { 0 } else { self.page });
        idt::set_mode(if self.is_x2apic() {
            Mode::X2Apic
        } else {
            Mode::XApic
        });
        self.write(Register::Tpr, 0);
        let lvt_entries = self.version().lvt_entries();
        // The error entry comes first: masking another entry with vector 0 can itself be an error.
        let maskable = [
            (Register::LvtError, 4),
            (Register::LvtTimer, 1),
            (Register::LvtLint0, 2),
            (Register::LvtLint1, 3),
            (Register::LvtPerformance, 5),
            (Register::LvtThermal, 6),
            (Register::LvtCmci, 7),
        ];
        // Entries that firmware left must not deliver an interrupt when the APIC is enabled.
        // Entries with delivery mode SMI, such as the thermal sensor's, still belong to firmware
        // and do not change.
        for (register, _) in maskable.iter().filter(|(_, number)| *number <= lvt_entries) {
            let entry = self.read(*register);
            if !Lvt::is_smi(entry) {
                self.write(*register, entry | MASKED);
            }
        }
        self.write(Register::TimerInitial, 0);
        if !self.is_x2apic() {
            // Logical destinations are not used: in the flat model, an empty logical ID matches
            // none.
            self.write(Register::Dfr, Dfr::Flat.encode());
            self.write(Register::Ldr, 0);
        }
        // Only after enabling: while the APIC is disabled, all mask bits are forced to 1 (SDM vol.
        // 3A, 12.4.7.2).
        let svr = Svr {
            suppress_eoi_broadcast: self.suppresses_eoi_broadcasts,
            ..Svr::enabled(vectors::SPURIOUS.get())
        };
        self.write(Register::Svr, svr.encode());
        self.finish_old_interrupts();
        let [lint0, lint1] = lints;
        self.write(Register::LvtLint0, lint0.encode());
        self.write(Register::LvtLint1, lint1.encode());
        // Twice: the first write latches the errors so far, the second clears them (SDM vol. 3A,
        // 12.5.3).
        self.write(Register::Esr, 0);
        self.write(Register::Esr, 0);
        self.write(
            Register::LvtError,
            Lvt::fixed(vectors::ERROR.get()).encode(),
        );
        Ok(())
    }

    /// Ends all interrupts that the loader or firmware left in service.
    fn finish_old_interrupts(&self) {
        for _ in 0..256 {
            let in_service = Part::ALL
                .iter()
                .any(|&part| self.read(Register::Isr(part)) != 0);
            if !in_service {
                return;
            }
            // SAFETY: no interrupt that the kernel handles is in service yet: this one is left from
            // firmware.
            unsafe { self.end_of_interrupt() };
        }
    }

    /// The address of the EOI register in xAPIC mode.
    ///
    /// Context: any.
    #[must_use]
    pub fn eoi_register(&self) -> u64 {
        self.page + u64::from(EOI_OFFSET)
    }

    /// Ends the interrupt in service with the highest priority, whichever it is (EOI).
    ///
    /// The kernel's entry code does this after each handler; the function is for entry code of the
    /// caller.
    ///
    /// Context: any (an interrupt's entry code, interrupts disabled).
    ///
    /// # Safety
    ///
    /// The interrupt must have been delivered through the caller's own entry code, so that the
    /// kernel's does not end it too, and its handler must have returned. An EOI in a handler lets
    /// the same handler run again inside itself, frees lines while their handlers run, and lets
    /// more interrupts nest than the stack has room for.
    #[inline]
    pub unsafe fn end_of_interrupt(&self) {
        self.write(Register::Eoi, 0);
    }

    /// The errors since the last call. The write latches them.
    ///
    /// Context: any.
    #[must_use]
    pub fn take_errors(&self) -> Esr {
        self.write(Register::Esr, 0);
        Esr(self.read(Register::Esr))
    }

    /// Starts the timer: writes its LVT entry and divide configuration, then the initial count.
    pub(crate) fn start_timer(&self, entry: Lvt, divide: u32, count: u32) {
        self.write(Register::LvtTimer, entry.encode());
        self.write(Register::TimerDivide, divide);
        self.write(Register::TimerInitial, count);
    }

    /// Writes the timer's initial count, which starts it in its current mode; 0 stops it.
    pub(crate) fn set_timer_count(&self, count: u32) {
        self.write(Register::TimerInitial, count);
    }
}

/// Offset of the xAPIC's EOI register (SDM vol. 3A, table 12-1).
const EOI_OFFSET: u16 = 0xb0;

/// Size of the registers, in bytes.
const LENGTH: u64 = 0x400;

/// The mask bit of every LVT entry.
const MASKED: u32 = 1 << 16;

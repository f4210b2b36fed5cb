//! The local APIC, in xAPIC and x2APIC mode behind one type.
//!
//! The `x2apic` crate drives the I/O APICs here, but not this: in xAPIC mode it does not shift the
//! ICR's destination (an INIT then hits APIC 0), and it unmasks LVT entries before the APIC is
//! enabled, which hardware undoes. The order below is the one that hardware needs.

use alloc::boxed::Box;
use core::fmt;
use core::sync::atomic::{AtomicPtr, Ordering};

use tocsin_logic::apic::base::IA32_APIC_BASE;
use tocsin_logic::apic::register::Part;
use tocsin_logic::apic::status::{Dfr, Esr, Svr};
use tocsin_logic::apic::{ApicBase, ApicId, Lvt, Register, State};
use tocsin_logic::vector::Vector;
use x86_64::registers::model_specific::Msr;

use super::io::{self, IoApic};
use super::{service, vectors};
use crate::cpu::interrupts;
use crate::hw::{control, mmio, processor};
use crate::memory::{MemoryError, paging};

/// The way all CPUs of the machine reach their local APICs. The registers behind it are those
/// of the CPU that uses it.
#[derive(Debug)]
pub struct LocalApic {
    state: State,
    /// Virtual address of the register page of xAPIC mode, at which each CPU sees its own.
    pub(super) page: u64,
    /// Whether EOIs of level-triggered interrupts are kept from the I/O APICs.
    suppresses_eoi_broadcasts: bool,
}

/// What [`local`] gives; before the set-up, registers in memory that is not there. A pointer, and not
/// a `Once`: everything that is sent goes through it, and need not ask whether it is set.
static LOCAL: AtomicPtr<LocalApic> = AtomicPtr::new((&raw const NOT_SET_UP).cast_mut());

static NOT_SET_UP: LocalApic = LocalApic {
    state: State::Disabled,
    page: 0,
    suppresses_eoi_broadcasts: false,
};

/// The local APIC of the CPU that runs this code. Any context, once the boot CPU has set it up; before,
/// any use of it is a page fault.
///
/// Context: any.
#[inline]
#[must_use]
pub fn local() -> &'static LocalApic {
    // SAFETY: 1. It points to what lives for ever, and is not changed any more once it is stored.
    unsafe { &*LOCAL.load(Ordering::Acquire) }
}

/// The state this CPU's local APIC is in, and where its registers are.
///
/// Context: any.
///
/// # Errors
///
/// The register's value, if it makes no sense.
pub fn base_register() -> Result<ApicBase, u64> {
    // SAFETY: 1. Every processor with a local APIC has the register, and the kernel needs one.
    let value = unsafe { control::read_msr(IA32_APIC_BASE) };
    ApicBase::decode(value).map_err(|_| value)
}

/// Checks that this CPU has a local APIC, through which all of the kernel's interrupts go. A local
/// APIC that firmware has disabled counts: CPUID then does not report it, but `IA32_APIC_BASE` has
/// its address (SDM vol. 3A, 12.4.3). Context: boot CPU, once.
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

/// The APIC ID of the CPU that runs this, from the ID register of its local APIC, to which IPIs are
/// addressed.
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

/// Why the local APIC cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApicError {
    /// The CPU has none.
    Absent,
    /// `IA32_APIC_BASE` holds what no processor should.
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
    /// The local APICs in mode `state`, with the xAPIC's registers at physical `address`.
    ///
    /// # Errors
    ///
    /// [`ApicError`], if they cannot be mapped.
    ///
    /// # Safety
    ///
    /// `address` must be that of the registers.
    pub(crate) unsafe fn new(state: State, address: u64) -> Result<Self, ApicError> {
        // SAFETY: 1. Passed on to the caller.
        let page = unsafe { paging::map_physical(address, LENGTH, paging::Use::Device) };
        let page = page.map_err(ApicError::Memory)?;
        Ok(Self {
            state,
            page,
            suppresses_eoi_broadcasts: false,
        })
    }

    /// The same in mode `state`, for all CPUs. This one must have been set up.
    #[must_use]
    pub(crate) fn in_state(&self, state: State) -> Self {
        Self {
            state,
            page: self.page,
            // An EOI then ends the interrupt of one I/O APIC, not of all that have the vector (SDM
            // vol. 3A, 12.8.5).
            suppresses_eoi_broadcasts: self.version().can_suppress_eoi_broadcast()
                && io::all().iter().all(IoApic::has_eoi),
        }
    }

    /// Whether handlers of level-triggered interrupts tell the I/O APIC of the end.
    ///
    /// Context: any.
    #[must_use]
    pub fn suppresses_eoi_broadcasts(&self) -> bool {
        self.suppresses_eoi_broadcasts
    }

    /// Makes this the local APIC that [`local`] gives, and answers its own vectors. Once.
    pub(crate) fn install(self) -> &'static Self {
        service::set_up();
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

    /// Puts this CPU's local APIC in the mode that all have, by legal steps only.
    fn enter_state(&self) -> Result<(), ApicError> {
        let mut base = base_register().map_err(ApicError::Base)?;
        for state in base.state.path(self.state) {
            base = base.with_state(state);
            let value = base.encode().map_err(|_| ApicError::Base(0))?;
            // SAFETY: 1. The path has only transitions that the processor allows.
            unsafe { Msr::new(IA32_APIC_BASE).write(value) };
        }
        Ok(())
    }

    /// Sets up this CPU's local APIC: enabled, everything masked but errors and the NMI pins.
    /// `lints` are the entries of LINT0 and LINT1.
    ///
    /// # Errors
    ///
    /// [`ApicError`], if it is in no valid state.
    ///
    /// # Safety
    ///
    /// Interrupts off.
    pub(crate) unsafe fn set_up(&self, lints: [Lvt; 2]) -> Result<(), ApicError> {
        self.enter_state()?;
        interrupts::set_apic_page(if self.is_x2apic() { 0 } else { self.page });
        self.write(Register::Tpr, 0);
        let lvt_entries = self.version().lvt_entries();
        // The errors' entry first: masking another that has vector 0 can be an error itself.
        let maskable = [
            (Register::LvtError, 4),
            (Register::LvtTimer, 1),
            (Register::LvtLint0, 2),
            (Register::LvtLint1, 3),
            (Register::LvtPerformance, 5),
            (Register::LvtThermal, 6),
            (Register::LvtCmci, 7),
        ];
        // What firmware left must not strike when the APIC is enabled; but what it has sent to itself, as
        // SMI, such as the processor's heat, stays its own.
        for (register, _) in maskable.iter().filter(|(_, number)| *number <= lvt_entries) {
            let entry = self.read(*register);
            if !Lvt::is_smi(entry) {
                self.write(*register, entry | MASKED);
            }
        }
        self.write(Register::TimerInitial, 0);
        if !self.is_x2apic() {
            // Logical destinations are not used; a flat model with no member matches none.
            self.write(Register::Dfr, Dfr::Flat.encode());
            self.write(Register::Ldr, 0);
        }
        // Only now: while the APIC is disabled, all mask bits are forced to 1 (SDM vol. 3A, 12.4.7.2).
        let svr = Svr {
            suppress_eoi_broadcast: self.suppresses_eoi_broadcasts,
            ..Svr::enabled(vectors::SPURIOUS.get())
        };
        self.write(Register::Svr, svr.encode());
        self.finish_old_interrupts();
        let [lint0, lint1] = lints;
        self.write(Register::LvtLint0, lint0.encode());
        self.write(Register::LvtLint1, lint1.encode());
        // Twice: the write latches the errors so far, the second drops them (SDM vol. 3A, 12.5.3).
        self.write(Register::Esr, 0);
        self.write(Register::Esr, 0);
        self.write(
            Register::LvtError,
            Lvt::fixed(vectors::ERROR.get()).encode(),
        );
        Ok(())
    }

    /// Ends whatever was in service when the loader or firmware was left.
    fn finish_old_interrupts(&self) {
        for _ in 0..256 {
            let in_service = Part::ALL
                .iter()
                .any(|&part| self.read(Register::Isr(part)) != 0);
            if !in_service {
                return;
            }
            // SAFETY: nothing that the kernel handles is in service yet: the interrupt is left from
            // firmware.
            unsafe { self.end_of_interrupt() };
        }
    }

    /// Where the EOI register of xAPIC mode is.
    ///
    /// Context: any.
    #[must_use]
    pub fn eoi_register(&self) -> u64 {
        self.page + u64::from(EOI_OFFSET)
    }

    /// Reads a register of this CPU's local APIC; 0 if the mode has it not.
    ///
    /// Context: any.
    #[must_use]
    pub fn read(&self, register: Register) -> u32 {
        if self.is_x2apic() {
            // SAFETY: 1. In x2APIC mode the register exists.
            return register
                .x2apic_msr()
                .map_or(0, |msr| unsafe { control::read_msr(msr) as u32 });
        }
        self.read_memory(register)
    }

    /// As [`read`](Self::read), in xAPIC mode.
    #[inline]
    pub(super) fn read_memory(&self, register: Register) -> u32 {
        register.xapic_offset().map_or(0, |offset| {
            // SAFETY: 1. The offset is within the mapped page and a multiple of 16.
            unsafe { mmio::read(self.page + u64::from(offset)) }
        })
    }

    /// Writes a register of this CPU's local APIC; does nothing if the mode has it not.
    pub(super) fn write(&self, register: Register, value: u32) {
        if self.is_x2apic() {
            if let Some(msr) = register.x2apic_msr() {
                // SAFETY: 1. In x2APIC mode the register exists. 2. The values come from `logic`,
                // which sets no reserved bit.
                unsafe { Msr::new(msr).write(u64::from(value)) };
            }
        } else {
            self.write_memory(register, value);
        }
    }

    /// As [`write`](Self::write), in xAPIC mode.
    #[inline]
    pub(super) fn write_memory(&self, register: Register, value: u32) {
        if let Some(offset) = register.xapic_offset() {
            // SAFETY: 1. The offset is within the mapped page and a multiple of 16.
            unsafe { mmio::write(self.page + u64::from(offset), value) };
        }
    }

    /// This CPU's APIC ID.
    ///
    /// Context: any.
    #[must_use]
    pub fn id(&self) -> ApicId {
        let register = self.read(Register::Id);
        ApicId(if self.is_x2apic() {
            register
        } else {
            register >> 24
        })
    }

    /// The version register.
    ///
    /// Context: any.
    #[must_use]
    pub fn version(&self) -> tocsin_logic::apic::status::Version {
        tocsin_logic::apic::status::Version(self.read(Register::Version))
    }

    /// Ends the interrupt in service with the highest priority, whichever it is (EOI).
    ///
    /// The kernel's entry code does this after each handler; the function is for the caller's own
    /// entry code.
    ///
    /// Context: any (an interrupt's entry code, interrupts disabled).
    ///
    /// # Safety
    ///
    /// The interrupt must have been entered through the caller's own entry code, so that the
    /// kernel's does not end it too, and its handler must have returned. An EOI in a handler lets
    /// the same handler run again inside itself, frees lines while their handlers run, and lets
    /// more interrupts nest than there is stack for.
    #[inline]
    pub unsafe fn end_of_interrupt(&self) {
        self.write(Register::Eoi, 0);
    }

    /// Whether `vector` waits to be delivered to this CPU (its bit in the IRR).
    ///
    /// Context: any.
    #[must_use]
    pub fn is_requested(&self, vector: Vector) -> bool {
        self.has_bit(Register::Irr, vector)
    }

    /// Whether `vector` is in service on this CPU (its bit in the ISR).
    ///
    /// Context: any.
    #[must_use]
    pub fn is_in_service(&self, vector: Vector) -> bool {
        self.has_bit(Register::Isr, vector)
    }

    fn has_bit(&self, register: fn(Part) -> Register, vector: Vector) -> bool {
        self.read(register(Part::of(vector.get()))) & 1 << (vector.get() % 32) != 0
    }

    /// Reads a register that does not exist, in xAPIC mode: an error that the local APIC notes.
    ///
    /// Context: any.
    #[cfg(feature = "bench")]
    pub fn read_reserved(&self) {
        // SAFETY: 1. The offset is within the mapped page and a multiple of 16.
        let _ = unsafe { mmio::read::<u32>(self.page + RESERVED) };
    }

    /// The errors since the last call. The write latches them.
    ///
    /// Context: any.
    #[must_use]
    pub fn take_errors(&self) -> Esr {
        self.write(Register::Esr, 0);
        Esr(self.read(Register::Esr))
    }

    /// Sets the timer: its LVT entry and divide configuration, then the count that starts it.
    pub(crate) fn start_timer(&self, entry: Lvt, divide: u32, count: u32) {
        self.write(Register::LvtTimer, entry.encode());
        self.write(Register::TimerDivide, divide);
        self.write(Register::TimerInitial, count);
    }

    /// Sets the count that starts the timer, in the mode that it is in; 0 stops it.
    pub(crate) fn set_timer_count(&self, count: u32) {
        self.write(Register::TimerInitial, count);
    }
}

/// Offset of a register that is reserved in every local APIC (SDM vol. 3A, table 12-1).
#[cfg(feature = "bench")]
const RESERVED: u64 = 0x40;

/// The xAPIC's EOI register (SDM vol. 3A, table 12-1).
const EOI_OFFSET: u16 = 0xb0;

/// Bytes of registers.
const LENGTH: u64 = 0x400;

/// Bit 16 of every LVT entry.
const MASKED: u32 = 1 << 16;

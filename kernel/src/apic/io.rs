//! The I/O APICs: found, every entry masked, and inputs given to those who ask.
//!
//! Register access is the `x2apic` crate's. It writes the low half of an entry before the high one: an
//! entry is changed while it is masked, or in one half only.

use alloc::vec::Vec;
use core::fmt;

use spin::Once;
use tocsin_logic::acpi::Gsi;
use tocsin_logic::apic::io_apic::{self, IoApicVersion};
use tocsin_logic::apic::{Delivery, EncodingError, Polarity, Rte, Trigger};
use tocsin_logic::topology::Topology;
use tocsin_logic::vector::Vector;
use x2apic::ioapic::{IoApic as Registers, IrqFlags, IrqMode, RedirectionTableEntry};

use super::local;
use crate::memory::{MemoryError, paging};
use crate::sync::IrqMutex;

/// Bytes of registers, up to and with the EOI register.
const LENGTH: u64 = io_apic::EOI + 4;

/// One I/O APIC of the machine.
#[derive(Debug)]
pub struct IoApic {
    /// The ID that the MADT gives it.
    pub id: u8,
    /// The ID that its own register holds.
    pub register_id: u8,
    /// Physical address of its registers.
    pub address: u64,
    /// The first GSI it serves.
    pub gsi_base: u32,
    /// Number of its pins; it serves as many GSIs.
    pub pins: u32,
    /// Its version register.
    pub version: IoApicVersion,
    /// Virtual address of the registers.
    page: u64,
    registers: IrqMutex<Registers>,
}

static ALL: Once<Vec<IoApic>> = Once::new();

/// All I/O APICs, in the MADT's order; none before they are set up.
#[must_use]
pub fn all() -> &'static [IoApic] {
    ALL.get().map_or(&[], Vec::as_slice)
}

/// Maps the I/O APICs of `topology` and masks all their entries. One that does not answer is
/// left out, and the log says so.
///
/// # Errors
///
/// [`MemoryError`], if the registers of one cannot be mapped.
///
/// # Safety
///
/// Once, on the boot CPU. The addresses must be those of I/O APICs.
pub(crate) unsafe fn init(topology: &Topology) -> Result<&'static [IoApic], MemoryError> {
    let mut found = Vec::new();
    for entry in topology.io_apics() {
        let address = u64::from(entry.address);
        // SAFETY: 1. Passed on to the caller.
        let page = unsafe { paging::map_physical(address, LENGTH, paging::Use::Device)? };
        // SAFETY: 1. The registers were just mapped, and this is the only handle to them.
        let mut registers = unsafe { Registers::new(page) };
        // SAFETY: 1. As above: reading changes nothing.
        let number = unsafe { registers.version() };
        // SAFETY: 1. As above: reading changes nothing.
        let last_pin = unsafe { registers.max_table_entry() };
        let version = IoApicVersion::new(number, last_pin);
        if !version.is_present() {
            log::warn!(
                "I/O APIC {} at {address:#x} does not answer; left out",
                entry.id
            );
            continue;
        }
        for pin in 0..version.pins() {
            // Nothing of what firmware wrote stays; it may even be an entry that makes no sense.
            // SAFETY: 1. The I/O APIC has this entry, and no interrupts are on.
            unsafe { reset(&mut registers, page, version, pin) };
        }
        found.push(IoApic {
            id: entry.id,
            // SAFETY: 1. As above: reading changes nothing.
            register_id: unsafe { registers.id() },
            address,
            gsi_base: entry.gsi_base.get(),
            pins: version.pins().into(),
            version,
            page,
            registers: IrqMutex::new(registers),
        });
    }
    Ok(ALL.call_once(|| found))
}

/// Why an input cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputError {
    /// No I/O APIC that answers has this GSI.
    NoPin(Gsi),
    /// Somebody has it.
    Taken(Gsi),
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPin(gsi) => write!(f, "no I/O APIC that answers has GSI {gsi}"),
            Self::Taken(gsi) => write!(f, "GSI {gsi} belongs to another line; `lines` shows which"),
        }
    }
}

/// Inputs that somebody owns.
static OWNED: IrqMutex<Vec<Gsi>> = IrqMutex::new(Vec::new());

/// An input of an I/O APIC that belongs to the holder. It is masked until it is unmasked, and again
/// when this is dropped. All of it may be done in threads and handlers, but the taking and dropping.
#[derive(Debug)]
pub struct Input {
    io_apic: &'static IoApic,
    pin: u8,
    gsi: Gsi,
}

impl Input {
    /// Takes the input `gsi`.
    ///
    /// # Errors
    ///
    /// [`InputError`], if there is none or somebody has it.
    pub fn take(gsi: Gsi) -> Result<Self, InputError> {
        let mut all = all().iter();
        let found = all.find_map(|io_apic| Some((io_apic, io_apic.pin(gsi.get())?)));
        let (io_apic, pin) = found.ok_or(InputError::NoPin(gsi))?;
        let mut owned = OWNED.lock();
        if owned.contains(&gsi) {
            return Err(InputError::Taken(gsi));
        }
        owned.push(gsi);
        io_apic.reset(pin);
        Ok(Self { io_apic, pin, gsi })
    }

    /// Its GSI.
    #[must_use]
    pub fn gsi(&self) -> Gsi {
        self.gsi
    }

    /// Writes the whole entry. One that is masked stays so for the time of the writing.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if `entry` names what this I/O APIC cannot address; nothing is written then.
    pub fn set(&self, entry: Rte) -> Result<(), EncodingError> {
        let raw = to_crate(entry)?;
        let mut registers = self.io_apic.registers.lock();
        // SAFETY: 1. The I/O APIC has this entry, and it is the holder's.
        unsafe { registers.set_table_entry(self.pin, raw) };
        Ok(())
    }

    /// Masks or unmasks the input. While it is masked, an edge is lost, and a level waits.
    pub fn set_masked(&self, masked: bool) {
        let mut registers = self.io_apic.registers.lock();
        if masked {
            // SAFETY: 1. The I/O APIC has this entry, and it is the holder's.
            unsafe { registers.disable_irq(self.pin) };
        } else {
            // SAFETY: 1. As above. 2. Both halves are in place; the holder has a handler.
            unsafe { registers.enable_irq(self.pin) };
        }
    }

    /// The entry as it is now.
    #[must_use]
    pub fn entry(&self) -> Rte {
        self.io_apic.entry(self.pin)
    }

    /// Where a CPU tells of the end of a level-triggered interrupt, if that is not left to the local APICs.
    #[must_use]
    pub fn end_register(&self) -> Option<EndRegister> {
        let is_needed = local().suppresses_eoi_broadcasts();
        is_needed.then_some(EndRegister(self.io_apic))
    }
}

/// The register with which a CPU ends the level-triggered interrupts of one I/O APIC itself (EOIR).
#[derive(Clone, Copy, Debug)]
pub struct EndRegister(&'static IoApic);

impl EndRegister {
    /// Ends the interrupts that have this vector. In their handler.
    #[inline]
    pub fn write(self, vector: Vector) {
        // SAFETY: 1. Broadcasts are suppressed only where all I/O APICs have the register.
        unsafe { write_eoi(self.0.page, vector.get()) };
    }
}

/// Writes the EOI register, which ends the interrupts of all entries that have this vector.
///
/// # Safety
///
/// `page` must be where the registers are mapped of an I/O APIC that has this one.
#[inline]
unsafe fn write_eoi(page: u64, vector: u8) {
    let register = (page + io_apic::EOI) as *mut u32;
    // SAFETY: 1. Passed on to the caller; it lies in the page. 2. It takes one write, without the window
    // that the others need a lock for.
    unsafe { register.write_volatile(vector.into()) };
}

/// Masks the entry of a pin and makes it what it is after a reset, whatever it was: see
/// [`io_apic::reset`].
///
/// # Safety
///
/// The I/O APIC, whose registers are at `page`, must have the pin, and nobody may use it.
unsafe fn reset(registers: &mut Registers, page: u64, version: IoApicVersion, pin: u8) {
    // First, so that nothing is sent after the look.
    // SAFETY: 1. Passed on to the caller.
    unsafe { registers.disable_irq(pin) };
    // SAFETY: 1. As above: reading changes nothing.
    let shown = unsafe { registers.table_entry(pin) };
    // Not all of it: firmware's delivery mode may be one that there is not.
    let entry = Rte {
        vector: shown.vector(),
        remote_irr: shown.flags().contains(IrqFlags::REMOTE_IRR),
        ..Rte::MASKED
    };
    for write in io_apic::reset(entry, version) {
        match write {
            io_apic::Write::Entry(entry) => {
                let raw = to_crate(entry).expect("a reset entry names no destination");
                // SAFETY: 1. Passed on to the caller. 2. It stays masked.
                unsafe { registers.set_table_entry(pin, raw) };
            }
            // SAFETY: 1. Passed on to the caller; the version says that there is the register.
            io_apic::Write::Eoi(vector) => unsafe { write_eoi(page, vector) },
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.set_masked(true);
        OWNED.lock().retain(|&owned| owned != self.gsi);
    }
}

/// An entry as the `x2apic` crate has it.
fn to_crate(entry: Rte) -> Result<RedirectionTableEntry, EncodingError> {
    entry.encode()?;
    let destination = u8::try_from(entry.destination).map_err(|_| EncodingError::Destination {
        id: entry.destination.into(),
        max: Rte::MAX_DESTINATION,
    })?;
    let mut flags = IrqFlags::empty();
    flags.set(IrqFlags::MASKED, entry.masked);
    flags.set(IrqFlags::LOW_ACTIVE, entry.polarity == Polarity::Low);
    flags.set(IrqFlags::LEVEL_TRIGGERED, entry.trigger == Trigger::Level);
    flags.set(IrqFlags::LOGICAL_DEST, entry.logical);
    let mut raw = RedirectionTableEntry::default();
    raw.set_vector(entry.vector);
    raw.set_mode(match entry.delivery {
        Delivery::LowestPriority => IrqMode::LowestPriority,
        Delivery::Smi => IrqMode::SystemManagement,
        Delivery::Nmi => IrqMode::NonMaskable,
        Delivery::Init => IrqMode::Init,
        Delivery::ExtInt => IrqMode::External,
        // `encode` refuses start-up IPIs.
        Delivery::Fixed | Delivery::StartUp => IrqMode::Fixed,
    });
    raw.set_flags(flags);
    raw.set_dest(destination);
    Ok(raw)
}

/// The opposite of [`to_crate`].
fn from_crate(raw: &RedirectionTableEntry) -> Rte {
    let flags = raw.flags();
    Rte {
        vector: raw.vector(),
        delivery: match raw.mode() {
            IrqMode::Fixed => Delivery::Fixed,
            IrqMode::LowestPriority => Delivery::LowestPriority,
            IrqMode::SystemManagement => Delivery::Smi,
            IrqMode::NonMaskable => Delivery::Nmi,
            IrqMode::Init => Delivery::Init,
            IrqMode::External => Delivery::ExtInt,
        },
        logical: flags.contains(IrqFlags::LOGICAL_DEST),
        pending: flags.contains(IrqFlags::SEND_PENDING),
        polarity: if flags.contains(IrqFlags::LOW_ACTIVE) {
            Polarity::Low
        } else {
            Polarity::High
        },
        remote_irr: flags.contains(IrqFlags::REMOTE_IRR),
        trigger: if flags.contains(IrqFlags::LEVEL_TRIGGERED) {
            Trigger::Level
        } else {
            Trigger::Edge
        },
        masked: flags.contains(IrqFlags::MASKED),
        destination: raw.dest().into(),
    }
}

impl IoApic {
    /// The pin that serves `gsi`, if it is one of these.
    fn pin(&self, gsi: u32) -> Option<u8> {
        let pin = gsi
            .checked_sub(self.gsi_base)
            .filter(|&pin| pin < self.pins)?;
        u8::try_from(pin).ok()
    }

    /// Whether it has the register with which CPUs end level-triggered interrupts themselves (EOIR).
    #[must_use]
    pub fn has_eoi(&self) -> bool {
        self.version.has_eoi()
    }

    /// Makes a pin that nobody uses any more what it is after a reset.
    fn reset(&self, pin: u8) {
        let mut registers = self.registers.lock();
        // SAFETY: 1. Callers have a pin that there is, and that becomes theirs.
        unsafe { reset(&mut registers, self.page, self.version, pin) };
    }

    /// The entries of all pins, as they are now.
    pub fn entries(&self) -> impl Iterator<Item = Rte> + '_ {
        // At most 120.
        (0..self.pins).map(|pin| self.entry(pin as u8))
    }

    fn entry(&self, pin: u8) -> Rte {
        // SAFETY: 1. Callers have a pin that there is; reading its entry changes nothing.
        from_crate(&unsafe { self.registers.lock().table_entry(pin) })
    }
}

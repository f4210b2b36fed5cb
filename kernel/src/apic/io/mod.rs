//! I/O APICs: their discovery, the masking of their entries, and the ownership of their inputs.
//!
//! The `x2apic` crate accesses the registers. It writes the low half of an entry before the high
//! one, so an entry is changed only while it is masked, or in one half only.

mod entry;
mod probe;

use alloc::vec::Vec;
use core::fmt;

use spin::Once;
use tocsin_logic::acpi::Gsi;
use tocsin_logic::apic::io_apic::{self, IoApicVersion};
use tocsin_logic::apic::{ApicId, Delivery, EncodingError, Rte, Trigger};
use tocsin_logic::topology::{self, NmiSource, Topology};
use tocsin_logic::vector::Vector;
use x2apic::ioapic::{IoApic as Registers, IrqFlags};

use super::local;
use crate::hw::mmio;
use crate::sync::IrqMutex;
use entry::{from_crate, to_crate};

pub(crate) use probe::probe;

/// Length of the registers in bytes, including the EOI register.
const LENGTH: u64 = io_apic::EOI + 4;

/// One I/O APIC of the machine.
#[derive(Debug)]
pub struct IoApic {
    /// Its ID in the MADT.
    pub id: u8,
    /// The ID in its own register.
    pub register_id: u8,
    /// Physical address of its registers.
    pub address: u64,
    /// The GSI of its first pin.
    pub gsi_base: u32,
    /// Number of its pins, each with one GSI.
    pub pins: u32,
    /// Its version register.
    pub version: IoApicVersion,
    /// The GSI of each pin; `None` for a pin whose GSI belongs to another I/O APIC.
    gsis: Vec<Option<Gsi>>,
    /// The pins that firmware has set to deliver SMIs, one bit each.
    smi_pins: u128,
    /// Virtual address of the registers.
    page: u64,
    registers: IrqMutex<Registers>,
}

static ALL: Once<Vec<IoApic>> = Once::new();

/// All I/O APICs, in the order of the MADT; none before they are set up.
///
/// Context: any.
#[must_use]
pub fn all() -> &'static [IoApic] {
    ALL.get().map_or(&[], Vec::as_slice)
}

/// Sets the I/O APICs of the machine: those of `found` that are in `topology`, in the order of
/// `topology`. Once.
pub(crate) fn install(mut found: Vec<IoApic>, topology: &Topology) {
    let mut sorted = Vec::new();
    for (index, entry) in topology.io_apics().iter().enumerate() {
        let position = found
            .iter()
            .position(|io_apic| io_apic.address == u64::from(entry.address));
        let position = position.expect("the topology has only those that respond");
        let mut io_apic = found.swap_remove(position);
        let gsi = |pin| {
            let io_apic = index;
            topology.gsi(topology::Input { io_apic, pin })
        };
        io_apic.gsis = (0..io_apic.version.pins()).map(gsi).collect();
        sorted.push(io_apic);
    }
    ALL.call_once(|| sorted);
}

/// Routes the NMI sources of `topology` to the CPU with this APIC ID. Context: boot CPU, once.
pub(crate) fn enable_nmi_sources(topology: &Topology, target: ApicId) {
    for source in topology.nmi_sources() {
        let result = Input::claim(source.gsi).map(|input| {
            // SAFETY: An NMI uses no vector, and every online CPU has a handler for it.
            let set = unsafe { input.set(nmi_entry(*source, target)) };
            if set.is_ok() {
                // Unmasked after both halves of the entry are written: the low half is written
                // first.
                input.set_masked(false);
            }
            // Permanently.
            core::mem::forget(input);
            set
        });
        match result {
            Ok(Ok(())) => log::info!("ioapic: GSI {} delivers NMI to CPU 0", source.gsi),
            Ok(Err(error)) => {
                log::warn!("ioapic: NMI source GSI {}: {error} (not used)", source.gsi);
            }
            // The topology has reported it.
            Err(InputError::NoPin(_)) => {}
            Err(error) => log::warn!("ioapic: NMI source: {error} (not used)"),
        }
    }
}

/// The entry of an NMI source. NMIs are edge-triggered, regardless of the table (82093AA data
/// sheet, 3.2.4, delivery mode).
fn nmi_entry(source: NmiSource, target: ApicId) -> Rte {
    Rte {
        delivery: Delivery::Nmi,
        polarity: source.polarity,
        trigger: Trigger::Edge,
        // An ID that does not fit is rejected when the entry is encoded.
        destination: target.get().try_into().unwrap_or(u16::MAX),
        ..Rte::MASKED
    }
}

/// The reason why an input cannot be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputError {
    /// No I/O APIC that responds has this GSI.
    NoPin(Gsi),
    /// Another line owns it.
    Claimed(Gsi),
    /// Firmware has set the input to deliver SMIs.
    Firmware(Gsi),
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPin(gsi) => write!(f, "no I/O APIC that responds has GSI {gsi}"),
            Self::Claimed(gsi) => {
                write!(f, "GSI {gsi} belongs to another line (`lines` shows which)")
            }
            Self::Firmware(gsi) => {
                write!(f, "GSI {gsi} belongs to firmware (it delivers SMIs)")
            }
        }
    }
}

impl core::error::Error for InputError {}

/// The inputs that are claimed.
static OWNED: IrqMutex<Vec<Gsi>> = IrqMutex::new(Vec::new());

/// An input of an I/O APIC with exclusive ownership. It is masked at first, and again when this is
/// dropped.
///
/// Context: its functions are for threads and handlers, except claiming and dropping.
#[derive(Debug)]
pub struct Input {
    io_apic: &'static IoApic,
    pin: u8,
    gsi: Gsi,
}

impl Input {
    /// Claims the input `gsi`.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`InputError`], if it does not exist or is already claimed.
    pub fn claim(gsi: Gsi) -> Result<Self, InputError> {
        let mut io_apics = all().iter();
        let input = io_apics.find_map(|io_apic| Some((io_apic, io_apic.pin(gsi)?)));
        let (io_apic, pin) = input.ok_or(InputError::NoPin(gsi))?;
        if io_apic.smi_pins >> pin & 1 != 0 {
            return Err(InputError::Firmware(gsi));
        }
        let mut owned = OWNED.lock();
        if owned.contains(&gsi) {
            return Err(InputError::Claimed(gsi));
        }
        owned.push(gsi);
        io_apic.reset(pin);
        Ok(Self { io_apic, pin, gsi })
    }

    /// Its GSI.
    ///
    /// Context: any.
    #[must_use]
    pub fn gsi(&self) -> Gsi {
        self.gsi
    }

    /// Writes the whole entry. A masked entry stays masked during the write.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if this I/O APIC cannot address the destination of `entry`; nothing is
    /// written then.
    ///
    /// # Safety
    ///
    /// The target CPUs must be able to handle the interrupt, as for
    /// [`LocalApic::send`](super::LocalApic::send): a fixed vector must be above 31 and have a
    /// handler for it; only a level-triggered entry may share its vector with another.
    pub unsafe fn set(&self, entry: Rte) -> Result<(), EncodingError> {
        let raw = to_crate(entry)?;
        let mut registers = self.io_apic.registers.lock();
        // SAFETY: The I/O APIC has this entry, and the caller owns it.
        unsafe { registers.set_table_entry(self.pin, raw) };
        Ok(())
    }

    /// Masks or unmasks the input. While it is masked, edges are lost, and a level stays pending.
    ///
    /// Context: any but NMI.
    pub fn set_masked(&self, masked: bool) {
        let mut registers = self.io_apic.registers.lock();
        if masked {
            // SAFETY: The I/O APIC has this entry, and the caller owns it.
            unsafe { registers.disable_irq(self.pin) };
        } else {
            // SAFETY: As above. Both halves are written, and the owner has a handler.
            unsafe { registers.enable_irq(self.pin) };
        }
    }

    /// The current entry.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn entry(&self) -> Rte {
        self.io_apic.entry(self.pin)
    }

    /// The register for the EOI of a level-triggered interrupt, if the local APICs do not broadcast
    /// it.
    #[must_use]
    pub(crate) fn eoi_register(&self) -> Option<EoiRegister> {
        let is_needed = local().suppresses_eoi_broadcasts();
        is_needed.then_some(EoiRegister(self.io_apic))
    }
}

/// The register for a directed EOI of the level-triggered interrupts of one I/O APIC (EOIR).
#[derive(Clone, Copy, Debug)]
pub(crate) struct EoiRegister(&'static IoApic);

impl EoiRegister {
    /// Ends the interrupts with this vector. For their handler.
    #[inline]
    pub(crate) fn write(self, vector: Vector) {
        // SAFETY: Broadcasts are suppressed only if all I/O APICs have the register.
        unsafe { write_eoi(self.0.page, vector.get()) };
    }
}

/// Writes the EOI register, which ends the interrupts of all entries with this vector.
///
/// # Safety
///
/// `page` must be the mapping of the registers of an I/O APIC that has an EOI register.
#[inline]
unsafe fn write_eoi(page: u64, vector: u8) {
    // SAFETY: Passed on to the caller; the register is in the page. It takes one write and not the
    // index and data registers, which need a lock.
    unsafe { mmio::write::<u32>(page + io_apic::EOI, vector.into()) };
}

/// Masks the entry of a pin and restores its reset value: see [`io_apic::reset`].
///
/// # Safety
///
/// The I/O APIC, whose registers are at `page`, must have the pin, and the pin must be unused.
unsafe fn reset(registers: &mut Registers, page: u64, version: IoApicVersion, pin: u8) {
    // First, so that nothing is sent after the read below.
    // SAFETY: Passed on to the caller.
    unsafe { registers.disable_irq(pin) };
    // SAFETY: As above; reading has no side effect.
    let shown = unsafe { registers.table_entry(pin) };
    // Not all fields: firmware's delivery mode may be an invalid one.
    let entry = Rte {
        vector: shown.vector(),
        remote_irr: shown.flags().contains(IrqFlags::REMOTE_IRR),
        ..Rte::MASKED
    };
    for write in io_apic::reset(entry, version) {
        match write {
            io_apic::Write::Entry(entry) => {
                let raw = to_crate(entry).expect("a reset entry has no destination");
                // SAFETY: Passed on to the caller. The entry stays masked.
                unsafe { registers.set_table_entry(pin, raw) };
            }
            // SAFETY: Passed on to the caller; according to the version, the register exists.
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

impl IoApic {
    /// The GSI of its last pin, even if the GSI belongs to another I/O APIC.
    ///
    /// Context: any.
    #[must_use]
    pub fn last_gsi(&self) -> u32 {
        self.gsi_base.saturating_add(self.pins - 1)
    }

    /// The GSI of a pin, if it has one.
    ///
    /// Context: any.
    #[must_use]
    pub fn gsi(&self, pin: u8) -> Option<Gsi> {
        *self.gsis.get(usize::from(pin))?
    }

    /// The pin of this GSI, if the I/O APIC has it.
    fn pin(&self, gsi: Gsi) -> Option<u8> {
        let pin = self.gsis.iter().position(|&known| known == Some(gsi))?;
        u8::try_from(pin).ok()
    }

    /// Whether it has the register for directed EOIs (EOIR).
    ///
    /// Context: any.
    #[must_use]
    pub fn has_eoi(&self) -> bool {
        self.version.has_eoi()
    }

    /// Restores the reset value of an unused pin.
    fn reset(&self, pin: u8) {
        let mut registers = self.registers.lock();
        // SAFETY: The callers pass an existing pin, which becomes theirs.
        unsafe { reset(&mut registers, self.page, self.version, pin) };
    }

    /// The current entries of all pins.
    ///
    /// Context: any but NMI.
    pub fn entries(&self) -> impl Iterator<Item = Rte> + '_ {
        // At most 120.
        (0..self.pins).map(|pin| self.entry(pin as u8))
    }

    fn entry(&self, pin: u8) -> Rte {
        // SAFETY: The callers pass an existing pin; reading its entry has no side effect.
        from_crate(&unsafe { self.registers.lock().table_entry(pin) })
    }
}

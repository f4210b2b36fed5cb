//! The I/O APICs: discovery, masking of all entries, and exclusive ownership of inputs.
//!
//! Registers are accessed through the `x2apic` crate. It writes the low half of an entry before the
//! high half, so an entry is changed while it is masked, or in one half only.

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

/// Length of the registers in bytes, up to and including the EOI register.
const LENGTH: u64 = io_apic::EOI + 4;

/// One I/O APIC of the machine.
#[derive(Debug)]
pub struct IoApic {
    /// The ID in the MADT.
    pub id: u8,
    /// The ID in its own register.
    pub register_id: u8,
    /// Physical address of its registers.
    pub address: u64,
    /// Its first GSI.
    pub gsi_base: u32,
    /// Number of pins, which is the number of GSIs.
    pub pins: u32,
    /// Its version register.
    pub version: IoApicVersion,
    /// The GSI of each pin; `None` for a pin whose GSI another I/O APIC serves.
    gsis: Vec<Option<Gsi>>,
    /// The pins that firmware has set to deliver SMIs, one bit each.
    smi_pins: u128,
    /// Virtual address of the registers.
    page: u64,
    registers: IrqMutex<Registers>,
}

static ALL: Once<Vec<IoApic>> = Once::new();

/// All I/O APICs, in the MADT's order; none before they are set up.
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
        let result = Input::take(source.gsi).map(|input| {
            // SAFETY: An NMI has no vector of its own, and every CPU that is online has a handler for it.
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

/// The entry of an NMI source. NMIs are edge-triggered, whatever the table says (82093AA data sheet,
/// 3.2.4, delivery mode).
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

/// The reason why an input cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputError {
    /// No responding I/O APIC has this GSI.
    NoPin(Gsi),
    /// The input belongs to another owner.
    Taken(Gsi),
    /// Firmware has set the input to deliver SMIs.
    Firmware(Gsi),
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPin(gsi) => write!(f, "no responding I/O APIC has GSI {gsi}"),
            Self::Taken(gsi) => write!(f, "GSI {gsi} belongs to another line; `lines` shows which"),
            Self::Firmware(gsi) => {
                write!(
                    f,
                    "GSI {gsi} belongs to firmware, which has it deliver SMIs"
                )
            }
        }
    }
}

impl core::error::Error for InputError {}

/// The inputs that have an owner.
static OWNED: IrqMutex<Vec<Gsi>> = IrqMutex::new(Vec::new());

/// An input of an I/O APIC that belongs to the holder. It is masked at first, and masked by the drop.
/// All operations except taking and dropping are for threads and handlers.
#[derive(Debug)]
pub struct Input {
    io_apic: &'static IoApic,
    pin: u8,
    gsi: Gsi,
}

impl Input {
    /// Takes the input `gsi`.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`InputError`], if the input does not exist or has an owner.
    pub fn take(gsi: Gsi) -> Result<Self, InputError> {
        let mut io_apics = all().iter();
        let input = io_apics.find_map(|io_apic| Some((io_apic, io_apic.pin(gsi)?)));
        let (io_apic, pin) = input.ok_or(InputError::NoPin(gsi))?;
        if io_apic.smi_pins >> pin & 1 != 0 {
            return Err(InputError::Firmware(gsi));
        }
        let mut owned = OWNED.lock();
        if owned.contains(&gsi) {
            return Err(InputError::Taken(gsi));
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

    /// Writes the entry, both halves. A masked entry stays masked meanwhile.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if this I/O APIC cannot encode `entry`. Then nothing is written.
    ///
    /// # Safety
    ///
    /// The destination CPUs must be able to take the interrupt, as for
    /// [`LocalApic::send`](super::LocalApic::send): a fixed vector must be above 31 and have a handler
    /// that expects it; only a level-triggered entry may share its vector with one.
    pub unsafe fn set(&self, entry: Rte) -> Result<(), EncodingError> {
        let raw = to_crate(entry)?;
        let mut registers = self.io_apic.registers.lock();
        // SAFETY: 1. The I/O APIC has this entry, and it is the holder's.
        unsafe { registers.set_table_entry(self.pin, raw) };
        Ok(())
    }

    /// Masks or unmasks the input. While it is masked, an edge is lost, and a level stays pending.
    ///
    /// Context: any but NMI.
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

    /// The current entry.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn entry(&self) -> Rte {
        self.io_apic.entry(self.pin)
    }

    /// The register with which a CPU ends a level-triggered interrupt, unless the local APICs do.
    #[must_use]
    pub(crate) fn end_register(&self) -> Option<EndRegister> {
        let is_needed = local().suppresses_eoi_broadcasts();
        is_needed.then_some(EndRegister(self.io_apic))
    }
}

/// The register with which a CPU ends the level-triggered interrupts of one I/O APIC itself (EOIR).
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndRegister(&'static IoApic);

impl EndRegister {
    /// Ends the interrupts that have this vector. In their handler.
    #[inline]
    pub(crate) fn write(self, vector: Vector) {
        // SAFETY: 1. Broadcasts are suppressed only where all I/O APICs have the register.
        unsafe { write_eoi(self.0.page, vector.get()) };
    }
}

/// Writes the EOI register, which ends the interrupts of all entries with this vector.
///
/// # Safety
///
/// `page` must be the mapped registers of an I/O APIC with this register.
#[inline]
unsafe fn write_eoi(page: u64, vector: u8) {
    // SAFETY: 1. Passed on to the caller; it lies in the page. 2. It takes one write, without the window
    // that the others need a lock for.
    unsafe { mmio::write::<u32>(page + io_apic::EOI, vector.into()) };
}

/// Masks the entry of a pin and resets it, in any state: see [`io_apic::reset`].
///
/// # Safety
///
/// The I/O APIC with the registers at `page` must have the pin, and the pin must have no user.
unsafe fn reset(registers: &mut Registers, page: u64, version: IoApicVersion, pin: u8) {
    // First, so that nothing is sent after the read.
    // SAFETY: 1. Passed on to the caller.
    unsafe { registers.disable_irq(pin) };
    // SAFETY: 1. As above: reading changes nothing.
    let shown = unsafe { registers.table_entry(pin) };
    // Not decoded: firmware's delivery mode may be reserved.
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

impl IoApic {
    /// The last GSI that the I/O APIC could serve, even if another one serves it.
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

    /// The pin that serves this GSI, if the I/O APIC has it.
    fn pin(&self, gsi: Gsi) -> Option<u8> {
        let pin = self.gsis.iter().position(|&known| known == Some(gsi))?;
        u8::try_from(pin).ok()
    }

    /// Whether it has the EOI register, with which CPUs end level-triggered interrupts directly.
    ///
    /// Context: any.
    #[must_use]
    pub fn has_eoi(&self) -> bool {
        self.version.has_eoi()
    }

    /// Resets a pin that has no user any more.
    fn reset(&self, pin: u8) {
        let mut registers = self.registers.lock();
        // SAFETY: 1. Callers have a pin that there is, and that becomes theirs.
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
        // SAFETY: 1. Callers have a pin that there is; reading its entry changes nothing.
        from_crate(&unsafe { self.registers.lock().table_entry(pin) })
    }
}

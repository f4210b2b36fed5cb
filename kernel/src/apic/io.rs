//! The I/O APICs: found, every entry masked, and inputs delivered on request.
//!
//! Register access is the `x2apic` crate's. It writes the low half of an entry before the high one, so
//! an entry is only ever changed while it is masked.

use alloc::vec::Vec;
use core::fmt;

use spin::Once;
use tocsin_logic::acpi::Gsi;
use tocsin_logic::apic::{ApicId, Polarity, Trigger};
use tocsin_logic::topology::{Route, Topology};
use tocsin_logic::vector::Vector;
use x2apic::ioapic::{IoApic as Registers, IrqFlags, IrqMode, RedirectionTableEntry};

use crate::memory::{MemoryError, paging};
use crate::sync::IrqMutex;

/// Bytes of registers, up to and with the EOI register.
const LENGTH: u64 = 0x44;

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
    /// Its version register's low byte.
    pub version: u8,
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
        let version = unsafe { registers.version() };
        // SAFETY: 1. As above: reading changes nothing.
        let last = unsafe { registers.max_table_entry() };
        // Where nothing answers, reads give all ones or, on some buses, zeros.
        if version == 0xff || version == 0 {
            log::warn!(
                "I/O APIC {} at {address:#x} does not answer; left out",
                entry.id
            );
            continue;
        }
        for pin in 0..=last {
            // SAFETY: 1. The I/O APIC has this entry.
            unsafe { registers.disable_irq(pin) };
        }
        found.push(IoApic {
            id: entry.id,
            // SAFETY: 1. As above: reading changes nothing.
            register_id: unsafe { registers.id() },
            address,
            gsi_base: entry.gsi_base.get(),
            pins: u32::from(last) + 1,
            version,
            registers: IrqMutex::new(registers),
        });
    }
    Ok(ALL.call_once(|| found))
}

/// Why an input cannot be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// No I/O APIC has this GSI.
    NoPin(Gsi),
    /// The entry has room for 8 bits of APIC ID only.
    Destination(ApicId),
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPin(gsi) => write!(f, "no I/O APIC has GSI {gsi}"),
            Self::Destination(id) => write!(f, "an I/O APIC cannot address APIC ID {id}"),
        }
    }
}

/// Inputs that a line has.
static CLAIMED: IrqMutex<Vec<Gsi>> = IrqMutex::new(Vec::new());

/// Notes that `gsi` has an owner; an error if it has one.
pub(crate) fn claim(gsi: Gsi) -> Result<(), ()> {
    let mut claimed = CLAIMED.lock();
    if claimed.contains(&gsi) {
        return Err(());
    }
    claimed.push(gsi);
    Ok(())
}

/// Takes back [`claim`].
pub(crate) fn release(gsi: Gsi) {
    CLAIMED.lock().retain(|&claimed| claimed != gsi);
}

/// Masks the input `gsi`, if there is one.
pub(crate) fn mask(gsi: Gsi) {
    let found = all()
        .iter()
        .find_map(|io_apic| Some((io_apic, io_apic.pin(gsi.get())?)));
    if let Some((io_apic, pin)) = found {
        // SAFETY: 1. The I/O APIC has this entry.
        unsafe { io_apic.registers.lock().disable_irq(pin) };
    }
}

/// Delivers the input that `route` names as `vector` to the CPU with APIC ID `target`.
///
/// # Errors
///
/// [`RouteError`], if there is no such input or it cannot reach the CPU.
pub fn deliver(route: Route, vector: Vector, target: ApicId) -> Result<(), RouteError> {
    let gsi = route.gsi.get();
    let found = all()
        .iter()
        .find_map(|io_apic| Some((io_apic, io_apic.pin(gsi)?)));
    let (io_apic, pin) = found.ok_or(RouteError::NoPin(route.gsi))?;
    let destination = target.xapic().ok_or(RouteError::Destination(target))?;
    let mut flags = IrqFlags::MASKED;
    flags.set(IrqFlags::LOW_ACTIVE, route.polarity == Polarity::Low);
    flags.set(IrqFlags::LEVEL_TRIGGERED, route.trigger == Trigger::Level);
    let mut entry = RedirectionTableEntry::default();
    entry.set_vector(vector.get());
    entry.set_mode(IrqMode::Fixed);
    entry.set_flags(flags);
    entry.set_dest(destination);
    let mut registers = io_apic.registers.lock();
    // SAFETY: 1. The I/O APIC has this entry. 2. It is masked before and after.
    unsafe { registers.set_table_entry(pin, entry) };
    // SAFETY: 1. As above. 2. Both halves are in place, and the caller has a handler for the vector.
    unsafe { registers.enable_irq(pin) };
    Ok(())
}

impl IoApic {
    /// The pin that serves `gsi`, if it is one of these.
    fn pin(&self, gsi: u32) -> Option<u8> {
        let pin = gsi
            .checked_sub(self.gsi_base)
            .filter(|&pin| pin < self.pins)?;
        u8::try_from(pin).ok()
    }

    /// Whether the entry of `pin` is masked.
    ///
    /// # Panics
    ///
    /// If there is no such pin.
    #[must_use]
    pub fn is_masked(&self, pin: u32) -> bool {
        assert!(
            pin < self.pins,
            "I/O APIC {} has {} pins",
            self.id,
            self.pins
        );
        // At most 239.
        // SAFETY: 1. The I/O APIC has this entry; reading it changes nothing.
        let entry = unsafe { self.registers.lock().table_entry(pin as u8) };
        entry.flags().contains(IrqFlags::MASKED)
    }
}

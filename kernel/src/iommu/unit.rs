//! A remapping unit: its registers and tables.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

use spin::Once;
use tocsin_logic::acpi::dmar::Drhd;
use tocsin_logic::vtd::fault;
use tocsin_logic::vtd::mapping::Tables;
use tocsin_logic::vtd::register::{self, global};
use tocsin_logic::vtd::table::{self, Context};
use tocsin_logic::vtd::{Capability, Command, DomainId, Extended, Levels, Memory, SourceId};

use super::error::IommuError;
use super::queue::Queue;
use super::scope::{self, Named};
use crate::hw::mmio::Mmio;
use crate::memory::paging::{self, Use};
use crate::sync::IrqMutex;
use crate::time;

/// The time in which a unit must execute a command of the global command register, in nanoseconds.
const TIMEOUT: u64 = 1_000_000_000;

/// The units, in the order of the DMAR.
static UNITS: Once<Vec<Unit>> = Once::new();

/// The units of the machine, in the order of the DMAR; none before they are found.
///
/// Context: any.
#[must_use]
pub fn units() -> &'static [Unit] {
    UNITS.get().map_or(&[], Vec::as_slice)
}

/// Sets the units. Called once.
pub(super) fn install(units: Vec<Unit>) -> &'static [Unit] {
    UNITS.call_once(|| units)
}

/// The unit that remaps the requests of a function.
///
/// Context: any.
#[must_use]
pub fn unit_of(segment: u16, source: SourceId) -> Option<&'static Unit> {
    let of_segment = || units().iter().filter(move |unit| unit.segment == segment);
    let named = of_segment().find(|unit| unit.names(source));
    named.or_else(|| of_segment().find(|unit| unit.includes_all))
}

/// The state of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It does not translate requests.
    Off,
    /// It translates the requests of functions with a domain, and blocks all others.
    On,
}

/// A remapping unit.
///
/// `Display`: `unit 0 at 0xfed90000`.
#[derive(Debug)]
pub struct Unit {
    number: usize,
    segment: u16,
    base: u64,
    includes_all: bool,
    scopes: Vec<Named>,
    capability: Capability,
    extended: Extended,
    levels: Option<Levels>,
    pub(super) registers: Mmio,
    state: AtomicU8,
    tables: IrqMutex<Option<Set>>,
}

/// The tables of a unit, all with the same lock: a change waits until the unit has invalidated what
/// it has cached.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) queue: Queue,
    root: u64,
    next_domain: u32,
}

impl Unit {
    /// Maps the registers of a unit.
    ///
    /// # Safety
    ///
    /// Must be called once for a unit; nothing else may access its registers.
    pub(super) unsafe fn new(number: usize, description: &Drhd<'_>) -> Result<Self, IommuError> {
        let (base, size) = (description.base, description.size);
        // SAFETY: The DMAR declares these addresses as the registers of a unit.
        let start = unsafe { paging::map_physical(base, size, Use::Device)? };
        // SAFETY: Just mapped, and the mapping stays. Only this module accesses the unit.
        let registers = unsafe { Mmio::new(start, size) };
        let capability = Capability(registers.read(register::CAPABILITY));
        // Tables before revision 4.0 do not state the size.
        let (first, count) = capability.fault_records();
        let size = size.max(first + u64::from(count) * fault::SIZE);
        // SAFETY: As above. The unit states that it has these registers.
        let start = unsafe { paging::map_physical(base, size, Use::Device)? };
        // SAFETY: As above.
        let registers = unsafe { Mmio::new(start, size) };
        Ok(Self {
            number,
            segment: description.segment,
            base,
            includes_all: description.includes_all,
            scopes: scope::find(description.segment, description.scopes.clone()),
            capability,
            extended: Extended(registers.read(register::EXTENDED)),
            levels: capability.levels(),
            registers,
            state: AtomicU8::new(State::Off as u8),
            tables: IrqMutex::new(None),
        })
    }

    /// Its number.
    ///
    /// Context: any.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The PCI segment group of its devices.
    ///
    /// Context: any.
    #[must_use]
    pub fn segment(&self) -> u16 {
        self.segment
    }

    /// Whether it remaps all functions of its segment that no other unit names.
    ///
    /// Context: any.
    #[must_use]
    pub fn includes_all(&self) -> bool {
        self.includes_all
    }

    /// Its capabilities.
    ///
    /// Context: any.
    #[must_use]
    pub fn capabilities(&self) -> (Capability, Extended) {
        (self.capability, self.extended)
    }

    /// The number of levels of its page tables; `None` if the kernel cannot use the unit.
    ///
    /// Context: any.
    #[must_use]
    pub fn levels(&self) -> Option<Levels> {
        self.levels
    }

    /// Its state.
    ///
    /// Context: any.
    #[must_use]
    pub fn state(&self) -> State {
        if self.state.load(Ordering::Acquire) == State::On as u8 {
            State::On
        } else {
            State::Off
        }
    }

    /// Whether the DMAR names the function for this unit.
    pub(super) fn names(&self, source: SourceId) -> bool {
        self.scopes.iter().any(|named| named.contains(source))
    }

    /// Changes one bit of the global state, and waits until the unit has done it.
    fn command(&self, bit: u32, on: bool, action: &'static str) -> Result<(), IommuError> {
        let status = || self.registers.read::<u32>(register::GLOBAL_STATUS);
        let value = global::command(status(), bit, on);
        self.registers.write(register::GLOBAL_COMMAND, value);
        if time::wait_until(TIMEOUT, || (status() & bit != 0) == on) {
            Ok(())
        } else {
            Err(IommuError::Timeout(action))
        }
    }

    /// Gives the unit a queue and a root table without entries. Translation is off.
    pub(super) fn prepare(&self) -> Result<(), IommuError> {
        if self.levels.is_none() {
            return Err(IommuError::Lacks("second-stage page tables"));
        }
        if !self.extended.queues() {
            return Err(IommuError::Lacks("queued invalidation"));
        }
        // Firmware may have left it on. Interrupt remapping first, because it needs the queue.
        self.command(global::INTERRUPTS, false, "disable interrupt remapping")?;
        self.command(global::TRANSLATION, false, "disable DMA remapping")?;
        self.command(global::QUEUE, false, "disable queued invalidation")?;

        let mut queue = Queue::new(self.registers, self.extended.coherent())?;
        self.registers.write(register::QUEUE_TAIL, 0_u64);
        let address = register::queue_address(queue.address(), 0);
        self.registers.write(register::QUEUE_ADDRESS, address);
        self.command(global::QUEUE, true, "enable queued invalidation")?;

        let root = queue.allocate().ok_or(IommuError::OUT_OF_FRAMES)?;
        self.registers.write(register::ROOT_TABLE, root);
        self.command(global::ROOT_TABLE, true, "take the root table")?;
        // The context cache first, because it tags the translations (6.5.3.1).
        queue.execute(&[Command::AllContexts, Command::AllDomains])?;
        *self.tables.lock() = Some(Set {
            queue,
            root,
            // Caching mode reserves 0.
            next_domain: 1,
        });
        Ok(())
    }

    /// Enables translation: from here on, requests of functions without a domain are blocked.
    pub(super) fn enable(&self) -> Result<(), IommuError> {
        self.command(global::TRANSLATION, true, "enable DMA remapping")?;
        self.disable_protected_memory();
        self.state.store(State::On as u8, Ordering::Release);
        Ok(())
    }

    /// Ends the protection of memory ranges that firmware may have enabled (11.4.17).
    fn disable_protected_memory(&self) {
        if self.registers.read::<u32>(register::PROTECTED_MEMORY) != 0 {
            self.registers.write(register::PROTECTED_MEMORY, 0_u32);
        }
    }

    /// Runs `change` on the tables.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Queue, Capability) -> Result<T, IommuError>,
    ) -> Result<T, IommuError> {
        let mut tables = self.tables.lock();
        let set = tables.as_mut().ok_or(IommuError::Lacks("tables"))?;
        change(&mut set.queue, self.capability)
    }

    /// Creates empty page tables, and makes the unit translate the requests of `source` by them.
    pub(super) fn attach(&self, source: SourceId) -> Result<Tables, IommuError> {
        let levels = self
            .levels
            .ok_or(IommuError::Lacks("second-stage page tables"))?;
        let mut tables = self.tables.lock();
        let set = tables.as_mut().ok_or(IommuError::Lacks("tables"))?;
        if set.next_domain >= self.capability.domains() {
            return Err(IommuError::NoDomain);
        }
        let domain = DomainId(set.next_domain as u16);
        set.next_domain += 1;
        let page_table = set.queue.allocate().ok_or(IommuError::OUT_OF_FRAMES)?;
        let context = Context {
            page_table,
            levels,
            domain,
            device_tlb: false,
            silent: false,
        };
        let (capability, root) = (self.capability, set.root);
        table::set_context(&mut set.queue, capability, root, source, Some(context))?;
        Ok(Tables {
            root: page_table,
            levels,
            domain,
        })
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unit {} at {:#x}", self.number, self.base)
    }
}

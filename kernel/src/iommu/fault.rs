//! The fault interrupt: reports blocked requests, and isolates functions with too many faults.
//!
//! A unit records a blocked request in one of its fault records and sends a message, whose vector
//! has a class above those of devices and below those of timers. The handler reads and clears all
//! records of all units. While all records are in use, further faults are only counted as an
//! overflow.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use tocsin_logic::command_line::IommuOption;
use tocsin_logic::pci::Address;
use tocsin_logic::rate_limit::RateLimit;
use tocsin_logic::vector::{Vector, fixed};
use tocsin_logic::vtd::SourceId;
use tocsin_logic::vtd::fault::{self, Blocked, Record};
use tocsin_logic::vtd::mapping::Mapped;
use tocsin_logic::vtd::register::{self, fault_status};

use super::domain;
use super::unit::{State, Unit, units};
use crate::apic::local::local;
use crate::cpu::handlers;
use crate::sync::IrqMutex;
use crate::{pci, time};

/// The vector of the fault event of all units.
pub const VECTOR: Vector = fixed::IOMMU_FAULT;

/// The number of faults after which a function is isolated.
pub const ISOLATED_AFTER: u64 = 16;

/// Reports of one function: a burst, and then one in this time, in nanoseconds.
const BURST: u32 = 8;
const INTERVAL: u64 = 1_000_000_000;

/// The maximum number of records that one interrupt handles, so that a flood does not occupy the
/// CPU.
const AT_ONCE: u32 = 64;

/// The faults of a function.
#[derive(Clone, Debug)]
pub struct Faults {
    /// The number of the unit.
    pub unit: usize,
    /// The function.
    pub source: SourceId,
    /// The number of its faults that were recorded.
    pub count: u64,
    /// The last fault.
    pub last: Record,
    /// Whether it is isolated: it cannot make requests any more.
    pub isolated: bool,
    /// The number of faults before its driver was started again after an isolation.
    before: u64,
    limit: RateLimit,
}

static FAULTS: IrqMutex<Vec<Faults>> = IrqMutex::new(Vec::new());

/// The number of times that a unit could not record a fault.
static OVERFLOWS: AtomicU64 = AtomicU64::new(0);

static MODE: AtomicU8 = AtomicU8::new(IommuOption::Isolate as u8);

/// The faults of each function, in the order of their first fault.
///
/// Context: thread.
#[must_use]
pub fn all() -> Vec<Faults> {
    FAULTS.lock().clone()
}

/// The number of times that a unit could not record a fault, because all records were in use.
///
/// Context: any.
#[must_use]
pub fn overflows() -> u64 {
    OVERFLOWS.load(Ordering::Relaxed)
}

/// Registers the handler. Once, before a unit is enabled.
pub(super) fn set_up(mode: IommuOption) {
    extern "C" fn handle(_: usize, _: u8) {
        units().iter().for_each(Unit::handle_faults);
    }
    MODE.store(mode as u8, Ordering::Relaxed);
    handlers::register(VECTOR, handle);
}

impl Unit {
    /// Lets the unit send its fault event to this CPU.
    pub(super) fn enable_fault_event(&self) {
        let [data, address, upper] = register::event_message(VECTOR, local().id());
        self.registers.write(register::FAULT_DATA, data);
        self.registers.write(register::FAULT_ADDRESS, address);
        self.registers.write(register::FAULT_UPPER_ADDRESS, upper);
        // Faults that happened under firmware are not reported.
        self.discard_records();
        self.registers.write(register::FAULT_CONTROL, 0_u32);
    }

    fn record_offset(&self, index: u16) -> u64 {
        let (capability, _) = self.capabilities();
        let (first, count) = capability.fault_records();
        first + u64::from(index % count) * fault::SIZE
    }

    /// Reads and clears a record.
    fn take_record(&self, index: u16) -> Option<Record> {
        let offset = self.record_offset(index);
        let high = self.registers.read::<u64>(offset + fault::HIGH);
        let low = self.registers.read::<u64>(offset);
        let record = Record::decode([low, high])?;
        // Only the half with F is written (11.4.14).
        self.registers
            .write(offset + fault::HIGH + 4, (fault::IN_USE >> 32) as u32);
        Some(record)
    }

    fn discard_records(&self) {
        let (capability, _) = self.capabilities();
        for index in 0..capability.fault_records().1 {
            let _ = self.take_record(index);
        }
        self.registers
            .write(register::FAULT_STATUS, fault_status::OVERFLOW);
    }

    /// Reports all recorded faults.
    fn handle_faults(&self) {
        if self.state() == State::Off {
            return;
        }
        for _ in 0..AT_ONCE {
            let status = self.registers.read::<u32>(register::FAULT_STATUS);
            if status & (fault_status::PENDING | fault_status::OVERFLOW) == 0 {
                return;
            }
            let record = self.take_record(fault_status::first_record(status));
            if status & fault_status::OVERFLOW != 0 {
                // Cleared by writing 1. Until then, nothing is recorded.
                OVERFLOWS.fetch_add(1, Ordering::Relaxed);
                self.registers
                    .write(register::FAULT_STATUS, fault_status::OVERFLOW);
            }
            if let Some(record) = record {
                self.handle(record);
            }
        }
    }

    fn handle(&self, record: Record) {
        if MODE.load(Ordering::Relaxed) == IommuOption::Panic as u8 {
            self.panic(&record);
        }
        let mut faults = FAULTS.lock();
        let is_known = |it: &Faults| it.unit == self.number() && it.source == record.source;
        let index = faults.iter().position(is_known);
        let index = index.unwrap_or_else(|| {
            faults.push(Faults {
                unit: self.number(),
                source: record.source,
                count: 0,
                last: record,
                isolated: false,
                before: 0,
                limit: RateLimit::new(BURST, INTERVAL),
            });
            faults.len() - 1
        });
        let entry = &mut faults[index];
        entry.count += 1;
        if entry.isolated && self.functions(record.source).any(|it| !it.is_isolated()) {
            // Its driver was started again.
            entry.isolated = false;
            entry.before = entry.count - 1;
        }
        entry.last = record;
        let count = entry.count;
        let report = entry.limit.allow(time::nanoseconds());
        let is_to_be_isolated = count - entry.before >= ISOLATED_AFTER
            && !entry.isolated
            && MODE.load(Ordering::Relaxed) == IommuOption::Isolate as u8;
        entry.isolated |= is_to_be_isolated;
        drop(faults);
        if let Some(suppressed) = report {
            log::error!("iommu: {}", self.describe(&record));
            if suppressed > 0 {
                log::error!(
                    "iommu: {}: {suppressed} more faults were not reported",
                    record.source
                );
            }
        }
        if is_to_be_isolated {
            self.isolate(record.source, count);
        }
    }

    fn function(&self, source: SourceId) -> Option<&'static pci::Function> {
        let devfn = source.devfn();
        pci::function(Address::new(
            self.segment(),
            source.bus(),
            devfn >> 3,
            devfn & 7,
        )?)
    }

    /// Ends the requests with a source ID.
    fn isolate(&self, source: SourceId, count: u64) {
        let mut is_known = false;
        for function in self.functions(source) {
            is_known = true;
            function.isolate();
            log::error!(
                "iommu: {}: isolated after {count} faults (it cannot access memory or send \
                 messages until its driver is started again)",
                function.address
            );
        }
        if !is_known {
            log::error!("iommu: {source}: {count} faults, and it is no known function");
        }
    }

    /// The functions whose requests have a source ID. Bridges only forward them.
    fn functions(&self, source: SourceId) -> impl Iterator<Item = &'static pci::Function> {
        let segment = self.segment();
        let functions = pci::bus().functions.iter();
        functions.filter(move |it| {
            !it.is_bridge() && it.address.segment() == segment && it.source() == source
        })
    }

    fn describe(&self, record: &Record) -> Description {
        let domain = domain::find(self, record.source);
        let nearest = match record.blocked {
            Blocked::Dma { address, .. } => domain.and_then(|domain| domain.nearest(address)),
            Blocked::Interrupt { .. } => None,
        };
        Description {
            unit: self.number(),
            record: *record,
            function: self.function(record.source),
            has_domain: domain.is_some(),
            nearest,
        }
    }

    /// Stops the system, as Windows does with bug check 0xE6.
    fn panic(&self, record: &Record) -> ! {
        let (kind, detail) = match record.blocked {
            Blocked::Dma { address, .. } => ("device address", address),
            Blocked::Interrupt { index } => ("interrupt entry", index.map_or(u64::MAX, u64::from)),
        };
        panic!(
            "iommu: stop code 0xE6, DRIVER_VERIFIER_DMA_VIOLATION\n  1: {:#04x}  the IOMMU blocked a \
             request\n  2: {:#06x}  the source ID, {}\n  3: {detail:#x}  the {kind}\n  4: {:#04x}  the \
             reason\n  {}",
            0x26,
            record.source.0,
            record.source,
            record.reason.0,
            self.describe(record),
        )
    }
}

/// A fault in full.
struct Description {
    unit: usize,
    record: Record,
    function: Option<&'static pci::Function>,
    has_domain: bool,
    /// The mapped page that is nearest to the address.
    nearest: Option<Mapped>,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record {
            source,
            blocked,
            reason,
        } = self.record;
        write!(f, "unit {}: {source}", self.unit)?;
        match self.function {
            Some(function) => write!(
                f,
                " ({:04x}:{:04x}, {})",
                function.header.vendor,
                function.header.device,
                function.header.class.name()
            )?,
            None => f.write_str(" (no known function)")?,
        }
        match blocked {
            Blocked::Dma {
                access,
                address,
                pasid,
                privileged,
            } => {
                write!(f, ": {access} at device address {address:#x} blocked")?;
                if let Some(pasid) = pasid {
                    write!(f, ", PASID {pasid:#x}")?;
                }
                if privileged {
                    f.write_str(", privileged")?;
                }
            }
            Blocked::Interrupt { index: Some(index) } => {
                write!(f, ": interrupt by entry {index} blocked")?;
            }
            Blocked::Interrupt { index: None } => {
                f.write_str(": interrupt in compatibility format blocked")?;
            }
        }
        write!(f, " (reason {reason}")?;
        match (blocked, self.nearest) {
            (Blocked::Interrupt { .. }, _) => {}
            (_, Some(page)) => write!(
                f,
                "; the nearest mapped page is {:#x}, of {} KiB, {}",
                page.address,
                page.size >> 10,
                match (page.rights.reads(), page.rights.writes()) {
                    (true, true) => "read-write",
                    (true, false) => "read-only",
                    (false, _) => "write-only",
                }
            )?,
            (_, None) if self.has_domain => f.write_str("; its driver has no memory mapped")?,
            (_, None) => f.write_str("; no driver has mapped memory for it")?,
        }
        f.write_str(")")
    }
}

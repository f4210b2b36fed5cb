//! The CPUs and interrupt inputs of the machine, from the MADT.
//!
//! A MADT contains what firmware reports. CPUs are in any order, with the boot CPU at any position;
//! a CPU may be listed in two forms; disabled entries may have IDs of other CPUs; entries
//! contradict each other. [`Topology::from_madt`] converts it into one consistent result, and
//! reports every conflict and every omission in [`Problems`]. It always succeeds: in the worst
//! case, the result has only the boot CPU.
//!
//! | conflict | result |
//! |---|---|
//! | an APIC ID enabled in one entry, not enabled in another | enabled |
//! | an APIC ID enabled twice | the first entry |
//! | an ISA interrupt overridden twice | the first entry |
//! | an NMI entry for all CPUs, and one for a single CPU | the single CPU's |
//! | two I/O APICs whose registers overlap | the first entry |
//! | two I/O APICs with the same first GSI | the first entry of those that exist |
//! | two I/O APICs whose GSIs overlap | the one with the higher first GSI, for the GSIs that it has |
//! | an NMI entry for LINT0, and two 8259s | the 8259s |

use crate::acpi::Gsi;
use crate::acpi::madt::{Entry, InterruptFlags, Madt};
use crate::apic::ApicId;
use arrayvec::ArrayVec;
use core::fmt;

pub mod cpuid;
mod cpus;
mod interrupts;
mod nmi;
mod possible;
mod problem;
#[cfg(test)]
mod tests;

pub use cpus::{Cpu, CpuState, Listed, MAX_CPUS};
pub use interrupts::{Input, IoApic, MAX_IO_APICS, Route};
pub use nmi::{Lint, MAX_NMI_SOURCES, NmiSource};
pub use problem::{Problem, ProblemKind, Problems};

/// The kernel's number of a CPU: 0 is the boot CPU, followed by those that can be started, without
/// gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuId(pub u32);

impl CpuId {
    /// The boot CPU.
    pub const BSP: Self = Self(0);

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The index in lists of CPUs.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The machine's CPUs and interrupt inputs. It takes about 32 KiB.
#[derive(Clone, Debug)]
pub struct Topology {
    cpus: ArrayVec<Cpu, MAX_CPUS>,
    /// Maximum number of CPUs to use; the others are [`CpuState::Limited`].
    max_cpus: u32,
    io_apics: ArrayVec<IoApic, MAX_IO_APICS>,
    /// Indexed by ISA interrupt.
    overrides: [Option<(Gsi, InterruptFlags)>; 16],
    nmi_sources: ArrayVec<NmiSource, MAX_NMI_SOURCES>,
    /// The flags of LINT0 and LINT1 on CPUs that have no entry of their own.
    all_nmi: [Option<InterruptFlags>; 2],
    local_apic_address: u64,
    has_8259: bool,
    /// The entries that are not in the list, for [`Topology::possible_cpus`].
    omissions: possible::Omissions,
}

impl Topology {
    /// Reads a MADT. `bsp` is the APIC ID of the CPU that runs this; `max_cpus` is the maximum
    /// number of CPUs to use, including the boot CPU (`None` for all, 0 counts as 1).
    ///
    /// Takes time in proportion to the number of entries times [`MAX_CPUS`], and about 64 KiB of
    /// stack.
    #[must_use]
    pub fn from_madt(madt: &Madt<'_>, bsp: ApicId, max_cpus: Option<u32>) -> (Self, Problems) {
        let mut problems = Problems::default();
        let mut topology = Self::with_bsp(bsp, max_cpus);
        topology.local_apic_address = madt.local_apic_address.into();
        topology.has_8259 = madt.has_8259();
        topology.omissions.has_online_capable = madt.has_online_capable();
        let mut addressed = None;
        for item in madt.entries() {
            let found = match item {
                Ok(found) => found,
                Err(error) => {
                    topology.omissions.is_incomplete = true;
                    problems.push(Problem::general(ProblemKind::Entry(error)));
                    continue;
                }
            };
            let offset = found.offset;
            match found.value {
                Entry::IoApic(io_apic) => topology.add_io_apic(offset, io_apic, &mut problems),
                Entry::Override(o) => topology.add_override(offset, o, &mut problems),
                Entry::NmiSource(nmi) => topology.add_nmi_source(offset, nmi, &mut problems),
                Entry::LocalApicAddress(address) => {
                    let usable = address != 0 && address % 4096 == 0 && address < 1 << 52;
                    if !usable || addressed.is_some_and(|first| first != address) {
                        let kind = ProblemKind::LocalApicAddress { address };
                        problems.push(Problem::at(offset, kind));
                    } else {
                        addressed = Some(address);
                    }
                }
                Entry::Unknown { kind, length } => {
                    problems.push(Problem::at(offset, ProblemKind::Skipped { kind, length }));
                }
                // These have separate passes, in an order that differs from the table's.
                Entry::LocalApic(_)
                | Entry::LocalX2Apic(_)
                | Entry::LocalApicNmi(_)
                | Entry::LocalX2ApicNmi(_) => {}
            }
        }
        if let Some(address) = addressed {
            topology.local_apic_address = address;
        }
        topology.add_cpus(madt, &mut problems);
        topology.add_local_nmis(madt, &mut problems);
        (topology, problems)
    }

    /// A machine without a MADT: the boot CPU, without I/O APICs and NMI pins.
    #[must_use]
    pub fn without_madt(bsp: ApicId) -> Self {
        Self::with_bsp(bsp, None)
    }

    fn with_bsp(bsp: ApicId, max_cpus: Option<u32>) -> Self {
        let mut cpus = ArrayVec::new();
        cpus.push(Cpu::bsp(bsp));
        Self {
            cpus,
            max_cpus: max_cpus.unwrap_or(u32::MAX).max(1),
            io_apics: ArrayVec::new(),
            overrides: [None; 16],
            nmi_sources: ArrayVec::new(),
            all_nmi: [None; 2],
            local_apic_address: 0xfee0_0000,
            has_8259: true,
            omissions: possible::Omissions::default(),
        }
    }

    /// Physical address of the local APIC registers according to the MADT. Only for comparison: the
    /// CPU's `IA32_APIC_BASE` is authoritative.
    #[must_use]
    pub const fn local_apic_address(&self) -> u64 {
        self.local_apic_address
    }

    /// Whether the machine has the two 8259s.
    #[must_use]
    pub const fn has_8259(&self) -> bool {
        self.has_8259
    }
}

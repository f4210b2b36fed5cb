//! The CPUs that can be present without being started.

use super::{Cpu, CpuState, Listed, Topology};
use crate::apic::ApicId;
use crate::smp::PossibleCpus;

/// Facts about the table that the list of CPUs does not contain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Omissions {
    /// An entry of the table cannot be read.
    pub(super) is_incomplete: bool,
    /// The table has the online-capable bit. Without it, any disabled entry may belong to a CPU
    /// that is added later.
    pub(super) has_online_capable: bool,
    /// Number of enabled CPUs beyond the list's size.
    pub(super) enabled: u32,
    /// Number of other CPUs beyond it.
    pub(super) others: u32,
}

impl Topology {
    /// Counts the CPUs that can be present but are not enabled here. `failed` is the number of
    /// enabled CPUs that did not start.
    ///
    /// A disabled entry counts as a CPU that may be added, unless the table excludes that (the
    /// online-capable bit: ACPI 6.3, 5.2.12.2), or its APIC ID is invalid or that of an enabled
    /// CPU, as in the entries with which firmware pads the table.
    #[must_use]
    pub fn possible_cpus(&self, failed: usize) -> PossibleCpus {
        let may_be_added = |cpu: &Cpu| {
            let highest = match cpu.listed {
                Listed::LocalApic => ApicId::XAPIC_MAX,
                _ => ApicId::X2APIC_MAX,
            };
            !self.omissions.has_online_capable
                && cpu.apic_id <= highest
                && self.find(cpu.apic_id).is_none()
        };
        let is_addable = |cpu: &&Cpu| match cpu.state {
            CpuState::OnlineCapable => true,
            CpuState::Disabled => may_be_added(cpu),
            _ => false,
        };
        let left_out = self.count(CpuState::Limited) + self.count(CpuState::Unreachable);
        PossibleCpus {
            is_incomplete: self.omissions.is_incomplete || self.cpus[0].listed == Listed::NotListed,
            failed,
            left_out: left_out + self.omissions.enabled as usize,
            addable: self.cpus.iter().filter(is_addable).count() + self.omissions.others as usize,
        }
    }
}

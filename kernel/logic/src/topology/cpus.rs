//! The CPUs of a topology.

use super::{CpuId, Problem, ProblemKind, Problems, Topology};
use crate::acpi::madt::{Entry, InterruptFlags, LocalApic, Madt};
use crate::apic::{ApicId, Mode};
use core::fmt;

/// Maximum number of CPUs in the list. Beyond it, CPUs that cannot be started are dropped first;
/// the number of dropped CPUs is reported.
pub const MAX_CPUS: usize = 1024;

/// A CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// The kernel's number, and the index in [`Topology::cpus`].
    pub number: CpuId,
    /// The ID of its local APIC. It is not reliable for CPUs that are [`CpuState::Disabled`], and
    /// may even be another CPU's ID.
    pub apic_id: ApicId,
    /// Its ACPI UID; `None` only for a boot CPU that is not in the table.
    pub uid: Option<u32>,
    /// Whether the kernel uses it.
    pub state: CpuState,
    /// The form of its MADT entries.
    pub listed: Listed,
    /// The flags of its own NMI entries, for LINT0 and LINT1.
    pub(super) own_nmi: [Option<InterruptFlags>; 2],
}

/// Whether the kernel uses a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CpuState {
    /// Present and used.
    Enabled,
    /// Present, but excluded by `maxcpus=`.
    Limited,
    /// Present, but not addressable in xAPIC mode.
    Unreachable,
    /// Absent, but may be added while the system runs.
    OnlineCapable,
    /// Absent or unusable.
    Disabled,
}

impl fmt::Display for CpuState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Enabled => "enabled",
            Self::Limited => "left out by maxcpus",
            Self::Unreachable => "left out by xapic",
            Self::OnlineCapable => "online-capable",
            Self::Disabled => "disabled",
        })
    }
}

/// The form in which the MADT lists a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listed {
    /// Not listed: the boot CPU was added.
    NotListed,
    /// As local APIC, type 0.
    LocalApic,
    /// As local x2APIC, type 9.
    LocalX2Apic,
    /// Both.
    Both,
}

impl Cpu {
    /// The boot CPU, before the table is read.
    pub(super) const fn bsp(apic_id: ApicId) -> Self {
        Self {
            number: CpuId::BSP,
            apic_id,
            uid: None,
            state: CpuState::Enabled,
            listed: Listed::NotListed,
            own_nmi: [None; 2],
        }
    }

    /// Whether the entry describes this CPU in the form in which it is not listed yet.
    fn is_other_form(&self, listed: Listed, entry: LocalApic) -> bool {
        self.uid == Some(entry.uid)
            && self.apic_id == entry.apic_id
            && matches!(
                (self.listed, listed),
                (Listed::LocalApic, Listed::LocalX2Apic) | (Listed::LocalX2Apic, Listed::LocalApic)
            )
    }
}

/// The entries that did not become a CPU in the list.
#[derive(Default)]
struct OmittedEntries {
    /// Number of CPUs that can be started, but did not fit.
    enabled: u32,
    /// Number of other CPUs that did not fit.
    others: u32,
    /// Number of entries that repeat an earlier one.
    padding: u32,
}

impl Topology {
    /// All CPUs: the boot CPU first, then those that the kernel uses, then the others; each of
    /// these groups in the table's order. [`Cpu::number`] counts from 0 in this order.
    #[must_use]
    pub fn cpus(&self) -> &[Cpu] {
        &self.cpus
    }

    /// The CPUs that the kernel uses, the boot CPU first: never empty, with consecutive numbers.
    #[must_use]
    pub fn enabled(&self) -> &[Cpu] {
        let count = self
            .cpus
            .iter()
            .take_while(|cpu| cpu.state == CpuState::Enabled)
            .count();
        &self.cpus[..count]
    }

    /// Number of CPUs in this state.
    #[must_use]
    pub fn count(&self, state: CpuState) -> usize {
        self.cpus.iter().filter(|cpu| cpu.state == state).count()
    }

    /// The CPU with this APIC ID among those that are present. Takes time in proportion to their
    /// number.
    #[must_use]
    pub fn find(&self, apic_id: ApicId) -> Option<&Cpu> {
        self.cpus
            .iter()
            .take_while(|cpu| cpu.state < CpuState::OnlineCapable)
            .find(|cpu| cpu.apic_id == apic_id)
    }

    /// The highest APIC ID among the CPUs that the kernel uses.
    #[must_use]
    pub fn highest_apic_id(&self) -> ApicId {
        self.enabled()
            .iter()
            .map(|cpu| cpu.apic_id)
            .max()
            .unwrap_or(ApicId(0))
    }

    /// Excludes the CPUs that `mode` cannot address. CPUs that `maxcpus=` had excluded replace
    /// them, and the numbers change accordingly: must be called before the numbers are used. The
    /// boot CPU stays.
    pub fn restrict_to(&mut self, mode: Mode, problems: &mut Problems) {
        let mut left_out = 0;
        for cpu in self.cpus.iter_mut().skip(1) {
            let present = matches!(cpu.state, CpuState::Enabled | CpuState::Limited);
            if mode == Mode::XApic && present && cpu.apic_id > ApicId::XAPIC_MAX {
                cpu.state = CpuState::Unreachable;
                left_out += 1;
            }
        }
        if left_out > 0 {
            let kind = ProblemKind::Unreachable { cpus: left_out };
            problems.push(Problem::general(kind));
            self.limit();
        }
    }

    /// Selects the first `max_cpus` of the present CPUs, and numbers all CPUs.
    fn limit(&mut self) {
        let mut used = 0;
        for cpu in &mut self.cpus {
            if matches!(cpu.state, CpuState::Enabled | CpuState::Limited) {
                cpu.state = if used < self.max_cpus {
                    CpuState::Enabled
                } else {
                    CpuState::Limited
                };
                used += 1;
            }
        }
        // The existing numbers preserve the table's order within a state.
        self.cpus
            .sort_unstable_by_key(|cpu| (cpu.state, cpu.number));
        for (number, cpu) in (0..).zip(&mut self.cpus) {
            cpu.number = CpuId(number);
        }
    }

    /// Adds all CPUs of the table, and decides which of them the kernel uses.
    pub(super) fn add_cpus(&mut self, madt: &Madt<'_>, problems: &mut Problems) {
        let mut left_out = OmittedEntries::default();
        // CPUs that can be started come first, so that no other entries take their room.
        for (offset, listed, entry) in listed_cpus(madt) {
            if entry.flags.enabled() {
                self.add_enabled(offset, listed, entry, &mut left_out, problems);
            }
        }
        if self.cpus[0].listed == Listed::NotListed {
            let apic_id = self.cpus[0].apic_id;
            problems.push(Problem::general(ProblemKind::BspMissing { apic_id }));
        }
        let present = self.cpus.len();
        for (offset, listed, entry) in listed_cpus(madt) {
            if !entry.flags.enabled() {
                let state = if madt.has_online_capable() && entry.flags.online_capable() {
                    CpuState::OnlineCapable
                } else {
                    CpuState::Disabled
                };
                let cpu = Cpu {
                    number: CpuId(self.cpus.len() as u32),
                    apic_id: entry.apic_id,
                    uid: Some(entry.uid),
                    state,
                    listed,
                    own_nmi: [None; 2],
                };
                self.add_other(offset, entry, cpu, present, &mut left_out, problems);
            }
        }
        let OmittedEntries {
            enabled,
            others,
            padding,
        } = left_out;
        self.omissions.enabled = enabled;
        self.omissions.others = others;
        if padding > 0 {
            let kind = ProblemKind::PaddingEntries { entries: padding };
            problems.push(Problem::general(kind));
        }
        if enabled > 0 || others > 0 {
            let kind = ProblemKind::TooManyCpus { enabled, others };
            problems.push(Problem::general(kind));
        }
        self.limit();
    }

    fn add_enabled(
        &mut self,
        offset: usize,
        listed: Listed,
        entry: LocalApic,
        left_out: &mut OmittedEntries,
        problems: &mut Problems,
    ) {
        let LocalApic { uid, apic_id, .. } = entry;
        let mut report = |kind| problems.push(Problem::at(offset, kind));
        let broadcast = match listed {
            Listed::LocalApic => 0xff,
            _ => 0xffff_ffff,
        };
        if apic_id.0 == broadcast {
            return report(ProblemKind::BroadcastApicId { apic_id });
        }
        let same_uid = self.cpus.iter().any(|cpu| cpu.uid == Some(uid));
        match self.cpus.iter_mut().find(|cpu| cpu.apic_id == apic_id) {
            Some(cpu) if cpu.listed == Listed::NotListed => {
                cpu.listed = listed;
                cpu.uid = Some(uid);
            }
            Some(cpu) if cpu.is_other_form(listed, entry) => {
                cpu.listed = Listed::Both;
                return report(ProblemKind::CpuInBothForms { apic_id });
            }
            Some(_) => return report(ProblemKind::DuplicateApicId { apic_id, uid }),
            None => {
                let number = CpuId(self.cpus.len() as u32);
                let cpu = Cpu {
                    number,
                    uid: Some(uid),
                    listed,
                    ..Cpu::bsp(apic_id)
                };
                if self.cpus.try_push(cpu).is_err() {
                    left_out.enabled = left_out.enabled.saturating_add(1);
                    return;
                }
            }
        }
        if same_uid {
            report(ProblemKind::DuplicateUid { uid });
        }
    }

    /// Adds a CPU that cannot be started now. `present` is the number of preceding CPUs that can.
    ///
    /// Firmware pads the table with such entries, and gives them IDs of no CPU or of another CPU:
    /// 0, 255. So their IDs are not compared with those of other CPUs, except to detect an entry
    /// that repeats another.
    fn add_other(
        &mut self,
        offset: usize,
        entry: LocalApic,
        cpu: Cpu,
        present: usize,
        left_out: &mut OmittedEntries,
        problems: &mut Problems,
    ) {
        let LocalApic { uid, apic_id, .. } = entry;
        let (enabled, others) = self.cpus.split_at_mut(present);
        let repeats = |other: &Cpu| other.apic_id == apic_id && other.uid == Some(uid);
        let same_form = |other: &Cpu| other.listed == cpu.listed && other.state == cpu.state;
        if enabled.iter().any(repeats)
            || others
                .iter()
                .any(|other| repeats(other) && same_form(other))
        {
            left_out.padding = left_out.padding.saturating_add(1);
            return;
        }
        if let Some(repeated) = others
            .iter_mut()
            .find(|other| other.is_other_form(cpu.listed, entry))
        {
            repeated.listed = Listed::Both;
            repeated.state = repeated.state.min(cpu.state);
            return problems.push(Problem::at(offset, ProblemKind::CpuInBothForms { apic_id }));
        }
        if self.cpus.try_push(cpu).is_err() {
            left_out.others = left_out.others.saturating_add(1);
        }
    }
}

/// The CPU entries of a table, in its order, with their offsets.
fn listed_cpus<'a>(madt: &Madt<'a>) -> impl Iterator<Item = (usize, Listed, LocalApic)> + use<'a> {
    madt.entries()
        .flatten()
        .filter_map(|found| match found.value {
            Entry::LocalApic(cpu) => Some((found.offset, Listed::LocalApic, cpu)),
            Entry::LocalX2Apic(cpu) => Some((found.offset, Listed::LocalX2Apic, cpu)),
            _ => None,
        })
}

//! NMI sources and the LINT pins that deliver NMIs.

use super::{CpuId, Problem, ProblemKind, Problems, Topology};
use crate::acpi::Gsi;
use crate::acpi::madt::{self, Entry, InterruptFlags, LocalNmi, Madt, NmiTarget};
use crate::apic::{Polarity, Trigger};
use core::fmt;

/// Maximum number of NMI sources at I/O APICs.
pub const MAX_NMI_SOURCES: usize = 16;

/// A pin of the local APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lint {
    /// LINT0, connected to the 8259 in most machines.
    Lint0,
    /// LINT1, connected to NMI in most machines.
    Lint1,
}

impl Lint {
    /// Both pins.
    pub const ALL: [Self; 2] = [Self::Lint0, Self::Lint1];

    const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lint0 => "LINT0",
            Self::Lint1 => "LINT1",
        })
    }
}

/// A GSI that must be delivered as NMI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NmiSource {
    /// The GSI.
    pub gsi: Gsi,
    /// The level at which it is asserted.
    pub polarity: Polarity,
    /// Edge-triggered or level-triggered.
    pub trigger: Trigger,
}

impl Topology {
    /// The GSIs that must be delivered as NMI.
    #[must_use]
    pub fn nmi_sources(&self) -> &[NmiSource] {
        &self.nmi_sources
    }

    /// The LINT pins of a CPU that are connected to NMI, with polarity and trigger mode; none for a
    /// CPU that does not exist. The CPU itself treats every NMI as edge-triggered.
    pub fn lint_nmi(&self, cpu: CpuId) -> impl Iterator<Item = (Lint, Polarity, Trigger)> + use<> {
        let flags = match self.cpus.get(cpu.index()) {
            Some(cpu) => Lint::ALL.map(|lint| {
                let index = lint.index();
                cpu.own_nmi[index].or(self.all_nmi[index])
            }),
            None => [None; 2],
        };
        Lint::ALL
            .into_iter()
            .zip(flags)
            .filter_map(|(lint, flags)| {
                let (polarity, trigger) = flags?.on_isa();
                Some((lint, polarity, trigger))
            })
    }

    pub(super) fn add_nmi_source(
        &mut self,
        offset: usize,
        entry: madt::NmiSource,
        problems: &mut Problems,
    ) {
        let mut report = |kind| problems.push(Problem::at(offset, kind));
        let flags = if entry.flags.has_reserved() {
            InterruptFlags(0)
        } else {
            entry.flags
        };
        let (polarity, trigger) = flags.on_isa();
        let source = NmiSource {
            gsi: entry.gsi,
            polarity,
            trigger,
        };
        if self.nmi_sources.iter().any(|other| other.gsi == source.gsi) {
            return report(ProblemKind::DuplicateNmiSource { gsi: source.gsi });
        }
        if self.nmi_sources.try_push(source).is_err() {
            return report(ProblemKind::TooManyNmiSources);
        }
        if entry.flags.has_reserved() {
            report(ProblemKind::ReservedFlags { flags: entry.flags });
        }
    }

    /// Reads the local NMI entries, after the CPUs are known. Those for all CPUs are read first, so
    /// that the others can be compared with them wherever they are in the table.
    pub(super) fn add_local_nmis(&mut self, madt: &Madt<'_>, problems: &mut Problems) {
        for (offset, entry) in local_nmis(madt) {
            let Some(lint) = self.nmi_pin(offset, entry, problems) else {
                continue;
            };
            if entry.flags.has_reserved() {
                let kind = ProblemKind::ReservedFlags { flags: entry.flags };
                problems.push(Problem::at(offset, kind));
            }
            if entry.target == NmiTarget::All {
                let slot = &mut self.all_nmi[lint.index()];
                set(slot, offset, lint, with_valid_flags(entry), problems);
            }
        }
        for (offset, entry) in local_nmis(madt) {
            // The problem with the pin has been reported.
            let lint = self.nmi_pin(offset, entry, &mut Problems::default());
            if let (Some(lint), NmiTarget::Uid(uid)) = (lint, entry.target) {
                self.add_own_nmi(offset, uid, lint, with_valid_flags(entry), problems);
            }
        }
    }

    /// The pin of an entry; `None` if the entry must be ignored. On a machine with 8259s, LINT0 is
    /// connected to their output (MP specification 1.4, 3.6.2.2): an entry for LINT0 is a mistake
    /// of the firmware, and would make each of their interrupts an NMI.
    fn nmi_pin(&self, offset: usize, entry: LocalNmi, problems: &mut Problems) -> Option<Lint> {
        let kind = match entry.lint {
            0 if self.has_8259 => {
                let target = entry.target;
                ProblemKind::NmiAtExtInt { target }
            }
            0 => return Some(Lint::Lint0),
            1 => return Some(Lint::Lint1),
            lint => ProblemKind::NmiPin { lint },
        };
        problems.push(Problem::at(offset, kind));
        None
    }

    fn add_own_nmi(
        &mut self,
        offset: usize,
        uid: u32,
        lint: Lint,
        entry: LocalNmi,
        problems: &mut Problems,
    ) {
        let mut found = false;
        for cpu in &mut self.cpus {
            if cpu.uid == Some(uid) {
                let slot = &mut cpu.own_nmi[lint.index()];
                found |= set(slot, offset, lint, entry, problems);
            }
        }
        if !found && !self.cpus.iter().any(|cpu| cpu.uid == Some(uid)) {
            problems.push(Problem::at(offset, ProblemKind::NmiUid { uid }));
        }
        if let Some(all) = self.all_nmi[lint.index()]
            && found
            && all != entry.flags
        {
            let own = entry.flags;
            problems.push(Problem::at(
                offset,
                ProblemKind::NmiDiffers {
                    uid,
                    lint,
                    own,
                    all,
                },
            ));
        }
    }
}

/// Records the flags of a pin, unless an earlier entry has. Returns whether it did.
fn set(
    slot: &mut Option<InterruptFlags>,
    offset: usize,
    lint: Lint,
    entry: LocalNmi,
    problems: &mut Problems,
) -> bool {
    match *slot {
        None => {
            *slot = Some(entry.flags);
            true
        }
        Some(first) => {
            if first != entry.flags {
                problems.push(Problem::at(
                    offset,
                    ProblemKind::NmiConflict {
                        target: entry.target,
                        lint,
                        first,
                        second: entry.flags,
                    },
                ));
            }
            false
        }
    }
}

/// The entry. If any of its flags has a reserved value, the flags of the bus replace all of them,
/// because the others are then probably invalid too.
fn with_valid_flags(entry: LocalNmi) -> LocalNmi {
    let flags = if entry.flags.has_reserved() {
        InterruptFlags(0)
    } else {
        entry.flags
    };
    LocalNmi { flags, ..entry }
}

/// The local NMI entries of a table, in its order, with their offsets.
fn local_nmis<'a>(madt: &Madt<'a>) -> impl Iterator<Item = (usize, LocalNmi)> + use<'a> {
    madt.entries()
        .flatten()
        .filter_map(|found| match found.value {
            Entry::LocalApicNmi(nmi) | Entry::LocalX2ApicNmi(nmi) => Some((found.offset, nmi)),
            _ => None,
        })
}

//! The options of the kernel.
//!
//! A new option needs a field in [`Options`] and an entry in [`KNOWN`]. An option that may occur
//! more than once is read from the line each time, as [`virtio_mmio`] does.

use super::{Problem, ProblemKind, Problems, Quoting, items};
use crate::apic::ModeOption;
use crate::devices::virtio_mmio::{Place, PlaceError};
use crate::script::parse_number;
use crate::smp::InjectedFault;

/// The options of a command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// `run=`: monitor commands to run instead of prompting.
    pub run: Option<&'a str>,
    /// `apic=`: the local APIC mode.
    pub apic: ModeOption,
    /// `iommu=`: the use of IOMMUs.
    pub iommu: IommuOption,
    /// `maxcpus=`: the maximum number of CPUs to use, including the boot CPU; at least 1.
    pub maxcpus: Option<u32>,
    /// `cpu_init_udelay=`: the delay between INIT and the start-up IPI, in microseconds, instead of
    /// the default for the CPU family.
    pub cpu_init_udelay: Option<u32>,
    /// `failcpu=`: for tests, a CPU that stops at a stage of its bring-up.
    pub failcpu: Option<InjectedFault>,
    /// `latecpu=`: for tests, a CPU that attempts a stage only after it has been abandoned.
    pub latecpu: Option<InjectedFault>,
}

/// The use of IOMMUs, and the consequence of a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum IommuOption {
    /// IOMMUs are not used: devices can access all memory.
    Off,
    /// Faults are reported.
    Report,
    /// Faults are reported, and a function that makes many loses its access to the bus.
    #[default]
    Isolate,
    /// The first fault stops the system.
    Panic,
}

/// An option: its key, its accepted values, and its parser.
pub(super) struct Known {
    pub(super) name: &'static str,
    /// The accepted values, as in "... is needed".
    pub(super) accepts: &'static str,
    /// Whether it may occur more than once.
    repeats: bool,
    /// Stores the value, or returns why it is not accepted.
    set: for<'a> fn(&mut Options<'a>, &'a str) -> Result<(), Refusal>,
}

/// The reason why a value is not accepted.
struct Refusal(Option<PlaceError>);

/// A refusal without details beyond [`Known::accepts`].
const REFUSED: Refusal = Refusal(None);

/// The key of [`virtio_mmio`].
const VIRTIO_MMIO: &str = "virtio_mmio.device";

pub(super) const KNOWN: [Known; 8] = [
    Known {
        name: "run",
        accepts: "a list of monitor commands, such as \"memory; poweroff\",",
        repeats: false,
        set: |options, value| {
            options.run = Some(value);
            Ok(())
        },
    },
    Known {
        name: "apic",
        accepts: "auto, xapic or x2apic",
        repeats: false,
        set: |options, value| {
            options.apic = match value {
                "auto" => ModeOption::Auto,
                "xapic" => ModeOption::XApic,
                "x2apic" => ModeOption::X2Apic,
                _ => return Err(REFUSED),
            };
            Ok(())
        },
    },
    Known {
        name: "iommu",
        accepts: "off, report, isolate or panic",
        repeats: false,
        set: |options, value| {
            options.iommu = match value {
                "off" => IommuOption::Off,
                "report" => IommuOption::Report,
                "isolate" => IommuOption::Isolate,
                "panic" => IommuOption::Panic,
                _ => return Err(REFUSED),
            };
            Ok(())
        },
    },
    Known {
        name: "maxcpus",
        accepts: "a number from 1 up",
        repeats: false,
        set: |options, value| {
            let number = parse_number(value).ok().and_then(|n| u32::try_from(n).ok());
            options.maxcpus = Some(number.filter(|&n| n > 0).ok_or(REFUSED)?);
            Ok(())
        },
    },
    Known {
        name: "failcpu",
        accepts: "CPU@STAGE, the stage silent, protected, long, kernel, tables or apic,",
        repeats: false,
        set: |options, value| {
            options.failcpu = Some(InjectedFault::parse(value).ok_or(REFUSED)?);
            Ok(())
        },
    },
    Known {
        name: "latecpu",
        accepts: "CPU@STAGE, the stage long, kernel, tables or apic,",
        repeats: false,
        set: |options, value| {
            options.latecpu = Some(InjectedFault::parse_late(value).ok_or(REFUSED)?);
            Ok(())
        },
    },
    Known {
        name: "cpu_init_udelay",
        accepts: "a number of microseconds from 0 to 1000000",
        repeats: false,
        set: |options, value| {
            let number = parse_number(value).ok().and_then(|n| u32::try_from(n).ok());
            options.cpu_init_udelay = Some(number.filter(|&n| n <= 1_000_000).ok_or(REFUSED)?);
            Ok(())
        },
    },
    Known {
        name: VIRTIO_MMIO,
        accepts: "SIZE@ADDRESS:GSI, such as 512@0xfeb00e00:31,",
        repeats: true,
        set: |_, value| {
            let place = Place::parse(value);
            place.map(drop).map_err(|error| Refusal(Some(error)))
        },
    },
];

/// The virtio devices of `virtio_mmio.device=`, in the order of the line; the syntax is that of
/// Linux. Invalid items are skipped; [`Options::parse`] reports them.
pub fn virtio_mmio(line: &str) -> impl Iterator<Item = Place> + '_ {
    items(line)
        .filter(|item| item.key == VIRTIO_MMIO)
        .filter_map(|item| Place::parse(item.value?).ok())
}

impl<'a> Options<'a> {
    /// Parses a command line. The second result is the problems; they never prevent the other items
    /// from taking effect. If an option occurs twice, the last one takes effect.
    #[must_use]
    pub fn parse(line: &'a str) -> (Self, Problems<'a>) {
        let mut options = Self::default();
        let mut problems = Problems::default();
        // One bit for each option that has occurred.
        let mut seen = 0_u32;
        for item in items(line) {
            let mut report = |offset, kind| {
                problems.push(Problem {
                    offset,
                    item: item.text,
                    kind,
                });
            };
            match item.quoting {
                Quoting::Fine => {}
                Quoting::Unclosed(offset) => report(offset, ProblemKind::UnclosedQuote),
                Quoting::TextAfter(offset) => report(offset, ProblemKind::TextAfterQuote),
            }
            let Some(index) = KNOWN.iter().position(|known| known.name == item.key) else {
                report(item.offset, ProblemKind::Unknown { key: item.key });
                continue;
            };
            let known = &KNOWN[index];
            let value = item.value.ok_or(REFUSED);
            if let Err(Refusal(place)) = value.and_then(|value| (known.set)(&mut options, value)) {
                let accepts = known.accepts;
                report(item.offset, ProblemKind::Value { accepts, place });
                continue;
            }
            if seen & 1 << index != 0 && !known.repeats {
                report(item.offset, ProblemKind::Duplicate { key: known.name });
            }
            seen |= 1 << index;
        }
        (options, problems)
    }
}

//! The options that the kernel knows.
//!
//! To add one: a field in [`Options`] and a line in [`KNOWN`]. One that may be given several times is
//! read from the line each time, as by [`virtio_mmio`].

use super::{Problem, ProblemKind, Problems, Quoting, items};
use crate::apic::ModeOption;
use crate::devices::virtio_mmio::{Place, PlaceError};
use crate::script::parse_number;
use crate::smp::Sabotage;

/// What the command line asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// `run=`: monitor commands to run instead of prompting.
    pub run: Option<&'a str>,
    /// `apic=`: the form of the local APIC.
    pub apic: ModeOption,
    /// `maxcpus=`: the most CPUs to use, the boot CPU included; at least 1.
    pub maxcpus: Option<u32>,
    /// `cpu_init_udelay=`: the wait between INIT and the start-up IPI, in microseconds, instead of
    /// the default of the processor's family.
    pub cpu_init_udelay: Option<u32>,
    /// `failcpu=`: for tests, a CPU that stops at a stage of its bring-up.
    pub failcpu: Option<Sabotage>,
    /// `latecpu=`: for tests, a CPU that attempts a stage only after it has been abandoned.
    pub latecpu: Option<Sabotage>,
}

/// An option: its key, the values it takes, and how to take one.
pub(super) struct Known {
    pub(super) name: &'static str,
    /// What the value must be, as in "... is needed".
    pub(super) accepts: &'static str,
    /// Whether it may be given more than once.
    repeats: bool,
    /// Takes the value, or says why it is not acceptable.
    set: for<'a> fn(&mut Options<'a>, &'a str) -> Result<(), Refusal>,
}

/// Why a value is not acceptable.
struct Refusal(Option<PlaceError>);

/// What [`Known::accepts`] says is all that there is to say.
const REFUSED: Refusal = Refusal(None);

/// The key of [`virtio_mmio`].
const VIRTIO_MMIO: &str = "virtio_mmio.device";

pub(super) const KNOWN: [Known; 7] = [
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
            options.failcpu = Some(Sabotage::parse(value).ok_or(REFUSED)?);
            Ok(())
        },
    },
    Known {
        name: "latecpu",
        accepts: "CPU@STAGE, the stage long, kernel, tables or apic,",
        repeats: false,
        set: |options, value| {
            options.latecpu = Some(Sabotage::parse_late(value).ok_or(REFUSED)?);
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

/// The virtio devices that `virtio_mmio.device=` names, in the line's order, as Linux has them. What
/// is wrong with others is among the problems of [`Options::parse`].
pub fn virtio_mmio(line: &str) -> impl Iterator<Item = Place> + '_ {
    items(line)
        .filter(|item| item.key == VIRTIO_MMIO)
        .filter_map(|item| Place::parse(item.value?).ok())
}

impl<'a> Options<'a> {
    /// Reads a command line. What is wrong with it comes second and never keeps
    /// the rest from being taken. Of an option given twice the last one counts.
    #[must_use]
    pub fn parse(line: &'a str) -> (Self, Problems<'a>) {
        let mut options = Self::default();
        let mut problems = Problems::default();
        // One bit for each option seen.
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

//! `apic` and `lapic`: the configuration of the interrupt controllers.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use serde::Serialize;
use tocsin_logic::apic::mode::Reason;
use tocsin_logic::apic::register::Part;
use tocsin_logic::apic::{Lvt, Mode, Register};

use super::ioapic::IoApicRecord;
use super::names;
use crate::command::{Arguments, CommandError};
use crate::record::{self, Output};
use tocsin::apic::{in_service, io, local, pic};
use tocsin::cpu::{self, handlers};
use tocsin::ipi::jobs::{self, Job};
use tocsin::trap::spurious::SPURIOUS;
use tocsin::{Machine, println};

/// The mode of the local APICs, and the counts of what no device sent.
#[derive(Serialize)]
struct ApicRecord {
    mode: &'static str,
    reason: &'static str,
    /// Spurious interrupts of the local APICs.
    spurious: u64,
    error_interrupts: u64,
    /// Spurious IRQs of the first and the second 8259.
    pic_spurious: (u64, u64),
    #[serde(skip)]
    reason_text: Reason,
}

impl ApicRecord {
    fn of(machine: &Machine) -> Self {
        let choice = machine.apic_mode;
        let cpus = handlers::all_cpus();
        Self {
            mode: match choice.mode {
                Mode::XApic => "xapic",
                Mode::X2Apic => "x2apic",
            },
            reason: match choice.reason {
                Reason::Option => "option",
                Reason::OptionAgainstOptOut => "option_against_opt_out",
                Reason::NoX2Apic => "no_x2apic",
                Reason::HasX2Apic => "has_x2apic",
                Reason::FirmwareX2Apic => "firmware_x2apic",
                Reason::OptOut => "opt_out",
                Reason::IdsAgainstOptOut => "ids_against_opt_out",
            },
            spurious: cpus
                .iter()
                .map(|cpu| SPURIOUS.of(*cpu).counts().spurious)
                .sum(),
            error_interrupts: in_service::error_interrupts(),
            pic_spurious: pic::spurious_irqs(),
            reason_text: choice.reason,
        }
    }
}

impl fmt::Display for ApicRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = self.pic_spurious;
        write!(
            f,
            "Mode {}: {}\nSpurious interrupts {}, spurious 8259 IRQs {first} and {second}; \
             error interrupts {}",
            self.mode, self.reason_text, self.spurious, self.error_interrupts
        )
    }
}

pub(super) fn apic(
    machine: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    arguments.end()?;
    output.print("apic", &ApicRecord::of(machine));
    show_local_apic(output);
    for io_apic in io::all() {
        output.print("io_apic", &IoApicRecord::of(io_apic));
    }
    Ok(())
}

pub(super) fn lapic(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    let cpu = arguments.number(u64::from(u32::MAX))?;
    arguments.end()?;
    // The cast is lossless: `number` limits the value to 32 bits.
    let cpu = cpu.map_or_else(|| cpu::current().id(), |cpu| cpu as u32);
    let job = Job {
        function: match output {
            Output::Text => |_| show_local_apic(Output::Text),
            Output::Records => |_| show_local_apic(Output::Records),
        },
        argument: 0,
    };
    jobs::run_on(cpu, job).map_err(CommandError::Cpu)
}

/// The entries of the LVT, in the order in which the version register counts them.
const LVT: [(&str, Register); 7] = [
    ("timer", Register::LvtTimer),
    ("lint0", Register::LvtLint0),
    ("lint1", Register::LvtLint1),
    ("error", Register::LvtError),
    ("performance", Register::LvtPerformance),
    ("thermal", Register::LvtThermal),
    ("cmci", Register::LvtCmci),
];

/// A local APIC.
#[derive(Serialize)]
struct LocalApicRecord {
    cpu: u32,
    apic_id: u32,
    version: u8,
    svr: u32,
    tpr: u32,
    ppr: u32,
    /// The vectors whose bits are set.
    irr: Vec<u8>,
    isr: Vec<u8>,
    tmr: Vec<u8>,
}

/// An entry of a local APIC's LVT.
#[derive(Serialize)]
struct LvtRecord {
    cpu: u32,
    entry: &'static str,
    value: u32,
    /// The fields; none if the value is invalid.
    #[serde(flatten)]
    fields: Option<LvtFields>,
    #[serde(skip)]
    register: Register,
}

#[derive(Serialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is a bit of the entry")]
struct LvtFields {
    vector: u8,
    delivery: &'static str,
    pending: bool,
    polarity: &'static str,
    remote_irr: bool,
    trigger: &'static str,
    masked: bool,
    timer_mode: &'static str,
}

impl LocalApicRecord {
    /// The local APIC of the CPU that runs this function.
    fn here() -> Self {
        let apic = local();
        let set = |register: fn(Part) -> Register| vectors(|part| apic.read(register(part)));
        Self {
            cpu: cpu::current().id(),
            apic_id: apic.id().get(),
            version: apic.version().number(),
            svr: apic.read(Register::Svr),
            tpr: apic.read(Register::Tpr),
            ppr: apic.read(Register::Ppr),
            irr: set(Register::Irr),
            isr: set(Register::Isr),
            tmr: set(Register::Tmr),
        }
    }
}

impl LvtRecord {
    /// The entries of the CPU that runs this function.
    fn here() -> impl Iterator<Item = Self> {
        let count = usize::from(local().version().lvt_entries());
        LVT.into_iter().take(count).map(Self::of)
    }

    fn of((entry, register): (&'static str, Register)) -> Self {
        let value = local().read(register);
        let fields = Lvt::decode(value).ok().map(|lvt| LvtFields {
            vector: lvt.vector,
            delivery: names::delivery(lvt.delivery),
            pending: lvt.pending,
            polarity: names::polarity(lvt.polarity),
            remote_irr: lvt.remote_irr,
            trigger: names::trigger(lvt.trigger),
            masked: lvt.masked,
            timer_mode: names::timer_mode(lvt.timer_mode),
        });
        Self {
            cpu: cpu::current().id(),
            entry,
            value,
            fields,
            register,
        }
    }
}

impl fmt::Display for LvtRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            register, value, ..
        } = self;
        write!(f, "  {:<16}  {value:#010x}  ", register.name())?;
        match Lvt::decode(*value) {
            Ok(entry) => entry.fmt(f),
            Err(error) => error.fmt(f),
        }
    }
}

/// Prints the local APIC of the CPU that runs this function.
fn show_local_apic(output: Output) {
    let apic = LocalApicRecord::here();
    match output {
        Output::Records => record::print("local_apic", &apic),
        Output::Text => println!(
            "Local APIC of CPU {}: ID {}, {}",
            apic.cpu,
            local().id(),
            local().version()
        ),
    }
    for entry in LvtRecord::here() {
        output.print("lvt_entry", &entry);
    }
    if output == Output::Text {
        show_registers(&apic);
    }
}

fn show_registers(apic: &LocalApicRecord) {
    for (name, value) in [("SVR", apic.svr), ("TPR", apic.tpr), ("PPR", apic.ppr)] {
        println!("  {name:<16}  {value:#010x}");
    }
    for (name, set) in [("IRR", &apic.irr), ("ISR", &apic.isr), ("TMR", &apic.tmr)] {
        println!("  {name:<16}  {}", list(set));
    }
}

/// The vectors whose bits are set in a register of 256 bits.
fn vectors(read: impl Fn(Part) -> u32) -> Vec<u8> {
    let mut set = Vec::new();
    for part in Part::ALL {
        let bits = read(part);
        let here = (0..32).filter(|bit| bits & 1 << bit != 0);
        set.extend(here.map(|bit| part.get() * 32 + bit));
    }
    set
}

fn list(vectors: &[u8]) -> String {
    if vectors.is_empty() {
        return "none".into();
    }
    let mut list = String::new();
    for vector in vectors {
        let space = if list.is_empty() { "" } else { " " };
        // Cannot fail: writing to a string never fails.
        let _ = write!(list, "{space}{vector:#04x}");
    }
    list
}

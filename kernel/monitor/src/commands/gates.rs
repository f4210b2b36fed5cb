//! `idt`: the decoded gates of the IDT in memory.

use alloc::string::{String, ToString};
use core::fmt;

use serde::Serialize;
use tocsin_logic::exception;
use tocsin_logic::gate::{Gate64, GateError, GateKind};
use tocsin_logic::layout::StackKind;
use x86_64::structures::paging::PageTableFlags;

use crate::command::{Arguments, CommandError};
use crate::record::{self, Output};
use tocsin::cpu::handlers;
use tocsin::memory::paging;
use tocsin::panic::symbols::Code;
use tocsin::trap::idt;
use tocsin::{Machine, println};

/// The number of exception vectors, which are shown one by one.
const EXCEPTIONS: u8 = 32;

/// The IDT.
#[derive(Serialize)]
struct IdtRecord {
    base: u64,
    limit: u16,
    gates: u32,
    is_writable: bool,
}

impl IdtRecord {
    fn now() -> Self {
        let (base, limit) = idt::register();
        Self {
            base,
            limit,
            gates: (u32::from(limit) + 1) / 16,
            is_writable: paging::page_flags(base)
                .is_some_and(|flags| flags.contains(PageTableFlags::WRITABLE)),
        }
    }
}

impl fmt::Display for IdtRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let page = if self.is_writable {
            "WRITABLE"
        } else {
            "read-only"
        };
        write!(
            f,
            "IDTR base {:#018x}, limit {:#06x}: {} gates, page {page}",
            self.base, self.limit, self.gates
        )
    }
}

/// A gate.
#[derive(Serialize)]
struct GateRecord {
    vector: u8,
    address: u64,
    /// The bytes, as two numbers.
    words: [u64; 2],
    /// The mnemonic of the exception, if the vector is that of one.
    exception: Option<&'static str>,
    /// The fields; none if the gate is invalid.
    #[serde(flatten)]
    fields: Option<GateFields>,
    error: Option<String>,
    /// The interrupts with this vector that no handler handled.
    unhandled: u64,
    #[serde(skip)]
    gate: Result<Gate64, GateError>,
}

#[derive(Serialize)]
struct GateFields {
    r#type: &'static str,
    present: bool,
    dpl: u8,
    ist: u8,
    selector: u16,
    entry: u64,
}

impl GateRecord {
    fn of(vector: u8) -> Self {
        let words @ [low, high] = idt::words(vector);
        let gate = Gate64::decode(u128::from(low) | u128::from(high) << 64);
        Self {
            vector,
            address: idt::address() + u64::from(vector) * 16,
            words,
            exception: exception::exception(vector).map(|exception| exception.mnemonic),
            fields: gate.ok().map(|gate| GateFields {
                r#type: match gate.kind {
                    GateKind::Interrupt => "interrupt",
                    GateKind::Trap => "trap",
                },
                present: gate.present,
                dpl: gate.dpl,
                ist: gate.ist,
                selector: gate.selector,
                entry: gate.offset,
            }),
            error: gate.err().map(|error| error.to_string()),
            unhandled: handlers::unhandled_count(vector),
            gate,
        }
    }
}

/// The row of a table.
impl fmt::Display for GateRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.exception.unwrap_or_default();
        write!(f, "  {:>6}  {name:<4}  ", self.vector)?;
        match &self.gate {
            Ok(gate) => write!(
                f,
                "{:<9}  {:>3}  {:>3}  {:#018x}",
                gate.kind, gate.dpl, gate.ist, gate.offset
            ),
            Err(error) => error.fmt(f),
        }
    }
}

pub(super) fn idt(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let output = arguments.output();
    let vector = arguments.number(255)?;
    arguments.end()?;
    match (vector, output) {
        (None, _) => show_all(output),
        // The casts are lossless: `number` limits the value to 8 bits.
        (Some(vector), Output::Text) => show_one(&GateRecord::of(vector as u8)),
        (Some(vector), Output::Records) => record::print("gate", &GateRecord::of(vector as u8)),
    }
    Ok(())
}

fn show_all(output: Output) {
    output.print("idt", &IdtRecord::now());
    output.heading("  vector  name  type       DPL  IST  entry");
    for vector in 0..EXCEPTIONS {
        output.print("gate", &GateRecord::of(vector));
    }
    let others = (EXCEPTIONS..=255).map(GateRecord::of);
    match output {
        Output::Records => others.for_each(|gate| record::print("gate", &gate)),
        Output::Text => {
            let alike = others.filter(|gate| {
                gate.gate
                    .is_ok_and(|gate| gate.present && gate.dpl == 0 && gate.ist == 0)
            });
            println!(
                "  {EXCEPTIONS:>3}-255: {} gates with DPL 0 and no IST, for interrupts",
                alike.count()
            );
        }
    }
}

fn show_one(record: &GateRecord) {
    let GateRecord {
        vector,
        address,
        words: [low, high],
        ..
    } = *record;
    println!("vector {vector} ({vector:#04x}), gate at {address:#018x}");
    if let Some(exception) = exception::exception(vector) {
        println!("  exception   {} {}", exception.mnemonic, exception.name);
    }
    println!("  bytes       {high:#018x} {low:#018x}");
    match record.gate {
        Ok(gate) => {
            println!("  type        64-bit {} gate", gate.kind);
            println!("  present     {}", if gate.present { "yes" } else { "no" });
            println!(
                "  DPL         {}: reachable by `int` from ring {}",
                gate.dpl,
                rings(gate.dpl)
            );
            match StackKind::of(vector) {
                Some(stack) => println!("  IST         {}: {} stack", gate.ist, stack.name()),
                None => println!("  IST         {}: the stack in use", gate.ist),
            }
            println!("  selector    {:#06x}", gate.selector);
            println!("  entry       {}", Code(gate.offset));
        }
        Err(error) => println!("  invalid     {error}"),
    }
    println!("  unhandled   {}", record.unhandled);
}

fn rings(dpl: u8) -> &'static str {
    if dpl == 3 { "0 to 3" } else { "0 only" }
}

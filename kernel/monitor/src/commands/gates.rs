//! `idt`: the decoded gates of the IDT in memory.

use tocsin_logic::exception;
use tocsin_logic::gate::Gate64;
use tocsin_logic::layout::StackKind;
use x86_64::structures::paging::PageTableFlags;

use crate::command::{Arguments, CommandError};
use tocsin::cpu::handlers;
use tocsin::memory::paging;
use tocsin::panic::symbols::Code;
use tocsin::trap::idt;
use tocsin::{Machine, println};

/// The number of exception vectors, which are shown one by one.
const EXCEPTIONS: u8 = 32;

pub(super) fn idt(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let vector = arguments.number(255)?;
    arguments.end()?;
    match vector {
        // The cast is lossless: `number` limits the value to 8 bits.
        Some(vector) => show_one(vector as u8),
        None => show_all(),
    }
    Ok(())
}

fn show_all() {
    let (base, limit) = idt::register();
    let writable =
        paging::page_flags(base).is_some_and(|flags| flags.contains(PageTableFlags::WRITABLE));
    println!(
        "IDTR base {base:#018x}, limit {limit:#06x}: {} gates, page {}",
        (u32::from(limit) + 1) / 16,
        if writable { "WRITABLE" } else { "read-only" }
    );
    println!("  vector  name  type       DPL  IST  entry");
    for vector in 0..EXCEPTIONS {
        let name = exception::exception(vector).map_or("", |exception| exception.mnemonic);
        show_row(vector, name);
    }
    let alike = (EXCEPTIONS..=255).filter(|&vector| {
        decode(vector).is_ok_and(|gate| gate.present && gate.dpl == 0 && gate.ist == 0)
    });
    println!(
        "  {EXCEPTIONS:>3}-255: {} gates with DPL 0 and no IST, for interrupts",
        alike.count()
    );
}

fn show_row(vector: u8, name: &str) {
    match decode(vector) {
        Ok(gate) => println!(
            "  {vector:>6}  {name:<4}  {:<9}  {:>3}  {:>3}  {:#018x}",
            gate.kind, gate.dpl, gate.ist, gate.offset
        ),
        Err(error) => println!("  {vector:>6}  {name:<4}  {error}"),
    }
}

fn show_one(vector: u8) {
    let [low, high] = idt::words(vector);
    let name = exception::exception(vector);
    let address = idt::address() + u64::from(vector) * 16;
    println!("vector {vector} ({vector:#04x}), gate at {address:#018x}");
    if let Some(exception) = name {
        println!("  exception   {} {}", exception.mnemonic, exception.name);
    }
    println!("  bytes       {high:#018x} {low:#018x}");
    match decode(vector) {
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
    println!("  unhandled   {}", handlers::unhandled_count(vector));
}

fn rings(dpl: u8) -> &'static str {
    if dpl == 3 { "0 to 3" } else { "0 only" }
}

fn decode(vector: u8) -> Result<Gate64, tocsin_logic::gate::GateError> {
    let [low, high] = idt::words(vector);
    Gate64::decode(u128::from(low) | u128::from(high) << 64)
}

//! Selection of the I/O APIC inputs for a comparator.

use crate::topology::Topology;

/// The number of ISA interrupts, and of the GSIs with the same numbers.
const ISA_IRQS: u8 = 16;

/// Returns the inputs that a comparator may be routed to, one bit for each of GSI 0 to 31, selected
/// from its route capability (2.3.8, `Tn_INT_ROUTE_CAP`).
///
/// The inputs of ISA interrupts are excluded if the comparator supports any other input: a device
/// is wired to them, and mainboards connect comparators to them inconsistently. Bochs 2.7, for
/// example, lists GSI 0 and GSI 2 in the capability, but delivers GSI 0 to input 2 and drops GSI 2.
/// Linux excludes these inputs too. If the comparator supports no other input, the result is those
/// at which an ISA interrupt arrives; an input that the MADT's overrides leave unconnected (usually
/// GSI 0) is never returned.
///
/// Context: any.
#[must_use]
pub fn usable_routes(capability: u32, topology: &Topology) -> u32 {
    let mut connected = 0_u32;
    for route in (0..ISA_IRQS).filter_map(|irq| topology.isa_irq(irq)) {
        // An override may have a GSI above the 32 inputs of the capability.
        connected |= 1_u32.checked_shl(route.gsi.0).unwrap_or(0);
    }
    let isa = connected | ((1 << ISA_IRQS) - 1);
    match capability & !isa {
        0 => capability & connected,
        others => others,
    }
}

//! The vectors with a fixed use on all CPUs.
//!
//! The allocator gives the others to lines ([`FIXED`](crate::irq::vectors::FIXED)). Classes 14 and
//! 15 are the kernel's; class 2 belongs to the 8259s and to deferred work.

use super::Vector;

/// Deferred work, in the lowest usable class.
pub const DEFERRED: Vector = Vector(0x20);
/// The reschedule IPI.
pub const RESCHEDULE: Vector = Vector(0x21);
/// The spurious IRQ 7 of the first 8259; takes no EOI of the local APIC.
pub const SPURIOUS_IRQ_7: Vector = Vector(0x27);
/// The demonstration of nesting: the first chain of interrupts, of ascending class.
pub const NESTING_FIRST: [Vector; 4] = [Vector(0x29), Vector(0x51), Vector(0x91), Vector(0xe1)];
/// The demonstration of nesting: the second chain, of the classes of the first.
pub const NESTING_SECOND: [Vector; 3] = [Vector(0x2a), Vector(0x52), Vector(0x92)];
/// The test of fixed IPIs.
pub const IPI_TEST: Vector = Vector(0x2b);
/// The spurious IRQ 15 of the second 8259; takes no EOI of the local APIC.
pub const SPURIOUS_IRQ_15: Vector = Vector(0x2f);
/// Software interrupts (`int 0x80`); takes no EOI.
pub const SOFTWARE: Vector = Vector(0x80);
/// The fault events of IOMMUs, above the classes of devices.
pub const IOMMU_FAULT: Vector = Vector(0xc0);
/// Calls to one CPU or to a set of CPUs.
pub const CALL: Vector = Vector(0xd0);
/// Calls to all CPUs.
pub const CALL_ALL: Vector = Vector(0xd1);
/// Requests to invalidate translations.
pub const TLB: Vector = Vector(0xd2);
/// The vector that benchmarks measure.
pub const BENCH: Vector = Vector(0xd8);
/// Vectors whose stubs benchmarks lead to other code: two of class 13, and one of class 14, the
/// timers'.
pub const BENCH_STUBS: [Vector; 3] = [Vector(0xd9), Vector(0xda), Vector(0xe9)];
/// The local APIC's timer.
pub const TIMER: Vector = Vector(0xe0);
/// Commands to the timers of another CPU.
pub const TIMER_COMMANDS: Vector = Vector(0xe2);
/// Benchmarks' interrupts of the timers' class.
pub const BENCH_URGENT: Vector = Vector(0xe8);
/// The release of the APs at the end of bring-up.
pub const RELEASE: Vector = Vector(0xf0);
/// Errors of the local APIC, in the highest class: they do not wait behind a device.
pub const ERROR: Vector = Vector(0xfe);
/// The spurious vector of the local APIC, which takes no EOI. All its low bits are set, because old
/// local APICs have them wired so (SDM vol. 3A, 12.9).
pub const SPURIOUS: Vector = Vector(0xff);

/// Those that the local APIC does not deliver, and that take no EOI.
pub const WITHOUT_EOI: [Vector; 4] = [SPURIOUS_IRQ_7, SPURIOUS_IRQ_15, SOFTWARE, SPURIOUS];

/// All of them.
pub const ALL: [Vector; 27] = [
    DEFERRED,
    RESCHEDULE,
    SPURIOUS_IRQ_7,
    NESTING_FIRST[0],
    NESTING_SECOND[0],
    IPI_TEST,
    SPURIOUS_IRQ_15,
    NESTING_FIRST[1],
    NESTING_SECOND[1],
    SOFTWARE,
    NESTING_FIRST[2],
    NESTING_SECOND[2],
    IOMMU_FAULT,
    CALL,
    CALL_ALL,
    TLB,
    BENCH,
    BENCH_STUBS[0],
    BENCH_STUBS[1],
    TIMER,
    NESTING_FIRST[3],
    TIMER_COMMANDS,
    BENCH_URGENT,
    BENCH_STUBS[2],
    RELEASE,
    ERROR,
    SPURIOUS,
];

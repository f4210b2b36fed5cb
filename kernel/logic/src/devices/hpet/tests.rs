use super::*;
use crate::acpi::Madt;
use crate::acpi::build::Table;
use crate::apic::ApicId;
use crate::topology::Topology;
use core::cell::{Cell, RefCell};
use std::vec::Vec;

/// The HPET of QEMU's q35: three 64-bit comparators, 10 ns.
const QEMU: Capabilities = Capabilities(0x0098_9680_8086_a201);
const QEMU_TIMER: Timer = Timer(0x00ff_0104_0000_8030);

#[test]
fn capabilities_are_read() {
    assert_eq!(QEMU.comparators(), 3);
    assert!(QEMU.is_wide());
    assert_eq!(QEMU.period(), 10_000_000);
    assert_eq!(Capabilities(u64::MAX).comparators(), 32);
    assert!(QEMU_TIMER.can_repeat() && QEMU_TIMER.is_wide());
    assert!(QEMU_TIMER.can_send_messages());
    assert_eq!(QEMU_TIMER.routes(), 0x00ff_0104);
    assert!(!Timer(0).can_repeat() && !Timer(0).is_wide() && !Timer(0).can_send_messages());
}

#[test]
fn registers_are_where_the_specification_has_them() {
    assert_eq!(
        (timer_configuration(0), timer_comparator(0), timer_route(0)),
        (0x100, 0x108, 0x110)
    );
    assert_eq!(
        (
            timer_configuration(31),
            timer_comparator(31),
            timer_route(31)
        ),
        (0x4e0, 0x4e8, 0x4f0)
    );
}

#[test]
fn an_armed_timer_preserves_read_only_bits() {
    for gsi in 0..32 {
        for level in [false, true] {
            for repeat in [false, true] {
                let delivery = Delivery::Pin { gsi, level };
                let value = QEMU_TIMER.armed(Arm { repeat, delivery });
                assert_eq!(value >> 32, QEMU_TIMER.0 >> 32);
                assert_eq!(value >> 9 & 0x1f, u64::from(gsi));
                assert_eq!(value >> 1 & 1 == 1, level);
                assert_eq!(value >> 2 & 1, 1);
                assert_eq!(value >> 3 & 1 == 1, repeat);
                assert_eq!(value >> 6 & 1 == 1, repeat);
                assert_eq!(value >> 14 & 1, 0);
                assert!(Timer(value & !(1 << 6)).accepted(value));
                // An unsupported route reads back as another one.
                assert!(!Timer(value ^ 1 << 9).accepted(value));
                assert_eq!(Timer(value).disarmed(), QEMU_TIMER.0);
                assert_eq!(Timer(value).with_interrupt_disabled(), value & !(1 << 2));
                assert_eq!(Timer(value).with_values_set(), value & !(1 << 6));
            }
        }
    }
    let delivery = Delivery::Message;
    let value = QEMU_TIMER.armed(Arm {
        repeat: false,
        delivery,
    });
    assert_eq!(value, QEMU_TIMER.0 | 1 << 14 | 1 << 2);
}

#[test]
fn a_route_register_has_the_address_above_the_data() {
    let message = Message {
        address: 0xfee0_3000,
        data: 0x41,
    };
    assert_eq!(route(message), 0xfee0_3000_0000_0041);
}

/// An HPET that follows the specification, in any state that firmware may leave; panics on accesses
/// that the specification forbids.
struct Fake {
    capabilities: u64,
    configuration: Cell<u64>,
    status: Cell<u64>,
    timers: RefCell<Vec<u64>>,
}

impl Fake {
    fn is_enabled(&self) -> bool {
        self.configuration.get() & ENABLE != 0
    }
}

impl Registers for Fake {
    fn read(&self, offset: u64) -> u64 {
        match offset {
            CAPABILITIES => self.capabilities,
            CONFIGURATION => self.configuration.get(),
            STATUS => self.status.get(),
            _ => self.timers.borrow()[(offset as usize - 0x100) / 0x20],
        }
    }

    fn write(&self, offset: u64, value: u64) {
        match offset {
            CONFIGURATION => self.configuration.set(value),
            STATUS => {
                for (number, timer) in self.timers.borrow().iter().enumerate() {
                    let is_edge = timer & 1 << 1 == 0;
                    assert!(value & 1 << number == 0 || !is_edge, "edge {number}");
                }
                self.status.set(self.status.get() & !value);
            }
            _ => {
                assert!(!self.is_enabled(), "{offset:#x} changes while it runs");
                let timer = &mut self.timers.borrow_mut()[(offset as usize - 0x100) / 0x20];
                assert_eq!(*timer & !WRITABLE, value & !WRITABLE, "read-only bits");
                *timer = value;
            }
        }
    }
}

#[test]
fn timers_of_firmware_are_disabled_before_the_counter_runs() {
    // Reserved bits of the configuration are kept.
    const RESERVED: u64 = 0x50;
    for comparators in [1_u8, 3, 32] {
        for left in 0..4 {
            // Interrupt type, enable, periodic type, value set; 32-bit mode; FSB enable.
            for bits in 0..64_u64 {
                let armed = (bits & 1) << 1
                    | (bits & 2) << 1
                    | (bits & 4) << 1
                    | (bits & 8) << 3
                    | (bits & 16) << 4
                    | (bits & 32) << 9
                    | 2 << 9;
                let is_level = bits & 1 != 0;
                // The last comparator is armed, and its status is asserted if it is
                // level-triggered.
                let mut timers = std::vec![QEMU_TIMER.0; comparators.into()];
                *timers.last_mut().expect("one at least") |= armed;
                let fake = Fake {
                    capabilities: QEMU.0 & !(0x1f << 8) | u64::from(comparators - 1) << 8,
                    configuration: Cell::new(left | RESERVED),
                    status: Cell::new(u64::from(is_level) << (comparators - 1)),
                    timers: RefCell::new(timers),
                };
                take_over(&fake);
                assert_eq!(fake.configuration.get(), ENABLE | RESERVED);
                assert_eq!(fake.status.get(), 0, "still asserted");
                let silent = |timer: &u64| *timer == QEMU_TIMER.0;
                assert!(fake.timers.borrow().iter().all(silent), "{bits:#x}");
            }
        }
    }
}

#[test]
fn inputs_of_isa_interrupts_are_the_last_resort() {
    let topology = |overrides: &[(u8, u32)]| {
        let table = Table::madt(3).lapic(0, 0, 1).io_apic(0, 0xfec0_0000, 0);
        let table = overrides
            .iter()
            .fold(table, |table, &(irq, gsi)| table.iso(0, irq, gsi, 0));
        let bytes = table.build();
        let madt = Madt::parse(&bytes).expect("a valid table");
        Topology::from_madt(&madt, ApicId(0), None).0
    };
    let pc = topology(&[(0, 2)]);
    for (capability, usable) in [
        // QEMU's q35, Bochs, Intel's chipsets.
        (0x00ff_0104, 0x00ff_0000),
        (0x00ff_ffff, 0x00ff_0000),
        (0x00f0_0800, 0x00f0_0000),
        (0xffff_ffff, 0xffff_0000),
        // QEMU's pc has only the PIT's input.
        (0x0000_0004, 0x0000_0004),
        // No interrupt arrives at GSI 0.
        (0x0000_0005, 0x0000_0004),
        (0x0000_0001, 0),
        (0, 0),
    ] {
        assert_eq!(usable_routes(capability, &pc), usable, "{capability:#x}");
    }
    // Without an override the PIT has GSI 0, and no device is wired to the cascade input.
    assert_eq!(usable_routes(1, &topology(&[])), 1);
    // An override to an input above the ISA inputs, and one above the capability.
    let moved = topology(&[(0, 2), (9, 20), (10, 40)]);
    assert_eq!(usable_routes(0x00f0_0000, &moved), 0x00e0_0000);
    assert_eq!(usable_routes(0x0010_0600, &moved), 0x0010_0000);
}

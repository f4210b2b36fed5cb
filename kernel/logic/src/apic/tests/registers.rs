//! Tests of the register locations and of the smaller registers.

use crate::apic::ApicId;
use crate::apic::io_apic::{self, IoApicVersion, Write};
use crate::apic::register::{Part, Register};
use crate::apic::status::{Dfr, Esr, Svr, Version, x2apic_logical_id, xapic_ldr};
use crate::apic::{Rte, Trigger};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::string::ToString;
use std::vec::Vec;

/// The offset and MSR of each register, from the SDM's tables 12-1 and 12-6.
const TABLE: [(Register, u16, u32); 24] = [
    (Register::Id, 0x020, 0x802),
    (Register::Version, 0x030, 0x803),
    (Register::Tpr, 0x080, 0x808),
    (Register::Apr, 0x090, 0),
    (Register::Ppr, 0x0a0, 0x80a),
    (Register::Eoi, 0x0b0, 0x80b),
    (Register::Rrd, 0x0c0, 0),
    (Register::Ldr, 0x0d0, 0x80d),
    (Register::Dfr, 0x0e0, 0),
    (Register::Svr, 0x0f0, 0x80f),
    (Register::Esr, 0x280, 0x828),
    (Register::LvtCmci, 0x2f0, 0x82f),
    (Register::Icr, 0x300, 0x830),
    (Register::IcrHigh, 0x310, 0),
    (Register::LvtTimer, 0x320, 0x832),
    (Register::LvtThermal, 0x330, 0x833),
    (Register::LvtPerformance, 0x340, 0x834),
    (Register::LvtLint0, 0x350, 0x835),
    (Register::LvtLint1, 0x360, 0x836),
    (Register::LvtError, 0x370, 0x837),
    (Register::TimerInitial, 0x380, 0x838),
    (Register::TimerCurrent, 0x390, 0x839),
    (Register::TimerDivide, 0x3e0, 0x83e),
    (Register::SelfIpi, 0, 0x83f),
];

#[test]
fn single_registers() {
    for (register, offset, msr) in TABLE {
        assert_eq!(register.xapic_offset(), (offset != 0).then_some(offset));
        assert_eq!(register.x2apic_msr(), (msr != 0).then_some(msr));
        assert_eq!(register.to_string(), register.name());
    }
    let registers = TABLE.map(|(register, ..)| register);
    assert_eq!(registers, Register::SINGLE);
}

#[test]
fn registers_of_256_bits() {
    for (n, part) in (0..).zip(Part::ALL) {
        assert_eq!(Part::new(n), Some(part));
        assert_eq!(part.get(), n);
        let n16 = u16::from(n);
        for (register, offset, msr) in [
            (Register::Isr(part), 0x100, 0x810),
            (Register::Tmr(part), 0x180, 0x818),
            (Register::Irr(part), 0x200, 0x820),
        ] {
            assert_eq!(register.xapic_offset(), Some(offset + n16 * 0x10));
            assert_eq!(register.x2apic_msr(), Some(msr + u32::from(n)));
        }
    }
    assert_eq!(Part::new(8), None);
    assert_eq!(Register::Irr(Part::ALL[7]).to_string(), "IRR7");
    for vector in 0..=255 {
        assert_eq!(Part::of(vector).get(), vector / 32);
    }
}

/// No two registers share a location, and none is outside the page or the MSR range.
#[test]
fn registers_are_apart() {
    let parts = Part::ALL.into_iter().flat_map(|part| {
        [
            Register::Isr(part),
            Register::Tmr(part),
            Register::Irr(part),
        ]
    });
    let all: Vec<_> = Register::SINGLE.into_iter().chain(parts).collect();
    let offsets: Vec<_> = all.iter().filter_map(|r| r.xapic_offset()).collect();
    let msrs: Vec<_> = all.iter().filter_map(|r| r.x2apic_msr()).collect();
    assert_eq!((offsets.len(), msrs.len()), (47, 44));
    assert!(
        offsets
            .iter()
            .all(|&offset| offset < 0x400 && offset % 16 == 0)
    );
    assert!(msrs.iter().all(|msr| (0x800..=0x83f).contains(msr)));
    assert_eq!(offsets.iter().collect::<BTreeSet<_>>().len(), offsets.len());
    assert_eq!(msrs.iter().collect::<BTreeSet<_>>().len(), msrs.len());
}

#[test]
fn local_apic_version() {
    // A Xeon: version 15h, seven entries, directed EOI.
    let version = Version(0x0106_0015);
    assert_eq!(version.number(), 0x15);
    assert_eq!(version.lvt_entries(), 7);
    assert!(version.can_suppress_eoi_broadcast());
    assert!(!version.has_extended_registers());
    assert_eq!(
        version.to_string(),
        "version 0x15, 7 LVT entries, directed EOI"
    );
    // An AMD CPU: 10h, six entries, extended registers.
    let version = Version(0x8005_0010);
    assert_eq!(version.lvt_entries(), 6);
    assert!(!version.can_suppress_eoi_broadcast());
    assert!(version.has_extended_registers());
    assert_eq!(Version(0x00ff_0010).lvt_entries(), 256);
}

#[test]
fn spurious_vector_register() {
    assert_eq!(Svr::enabled(0xff).encode(), 0x1ff);
    let suppressing = Svr {
        suppress_eoi_broadcast: true,
        ..Svr::enabled(0xff)
    };
    assert_eq!(suppressing.encode(), 0x11ff);
    // After reset: vector 255, disabled.
    let reset = Svr::decode(0xff);
    assert_eq!((reset.vector, reset.enabled), (0xff, false));
    for value in 0..=0xffff {
        assert_eq!(Svr::decode(value).encode(), value & 0x11ff);
    }
}

#[test]
fn error_status() {
    assert!(Esr(0).is_empty());
    assert_eq!(Esr(0).to_string(), "0x00000000");
    assert_eq!(
        Esr(0xff).to_string(),
        "0x000000ff send-checksum receive-checksum send-accept receive-accept \
         redirectable-IPI send-illegal-vector receive-illegal-vector illegal-register-address"
    );
    assert_eq!(
        Esr(0x120).to_string(),
        "0x00000120 send-illegal-vector bit 8"
    );
    assert!(!Esr(0x80).is_empty());
}

#[test]
fn logical_destinations() {
    assert_eq!(xapic_ldr(0x81), 0x8100_0000);
    assert_eq!(Dfr::Flat.encode(), 0xffff_ffff);
    assert_eq!(Dfr::Cluster.encode(), 0x0fff_ffff);
    for model in 0..16_u32 {
        let decoded = Dfr::decode(model << 28 | 0x0fff_ffff);
        let expected = match model {
            0 => Some(Dfr::Cluster),
            15 => Some(Dfr::Flat),
            _ => None,
        };
        assert_eq!(decoded, expected);
    }
    // SDM vol. 3A, 12.12.10.2: the cluster is the ID without its low four bits.
    for (id, logical) in [
        (0, 0x0000_0001),
        (15, 0x0000_8000),
        (16, 0x0001_0001),
        (0xfe, 0x000f_4000),
        (0x11f, 0x0011_8000),
        (0xf_fff3, 0xffff_0008),
    ] {
        assert_eq!(x2apic_logical_id(ApicId(id)), logical);
    }
}

#[test]
fn io_apic_registers() {
    // The 82093AA with 24 pins, and QEMU's with an EOI register.
    let version = IoApicVersion(0x0017_0011);
    assert_eq!((version.number(), version.pins()), (0x11, 24));
    assert!(!version.has_eoi());
    assert_eq!(version.to_string(), "version 0x11, 24 pins");
    assert!(IoApicVersion(0x0017_0020).has_eoi());
    for last in 0..=255_u32 {
        let pins = IoApicVersion(last << 16 | 0x20).pins();
        assert_eq!(u32::from(pins), (last + 1).min(120));
    }
    assert_eq!(io_apic::id(0x0f00_0000), 15);
    // The first and last pin of the data sheet, and the last pin with an 8-bit index.
    assert_eq!(io_apic::rte_indices(0), Some([0x10, 0x11]));
    assert_eq!(io_apic::rte_indices(23), Some([0x3e, 0x3f]));
    assert_eq!(io_apic::rte_indices(119), Some([0xfe, 0xff]));
    assert!((120..=255).all(|pin| io_apic::rte_indices(pin).is_none()));
    // A version register that reports 240 pins: the indices of pin 120 would wrap to those of the
    // ID and version registers.
    assert_eq!(IoApicVersion(0x00ef_0020).pins(), 120);
    let bolder = IoApicVersion(0x00ff_0020);
    assert!((0..bolder.pins()).all(|pin| io_apic::rte_indices(pin).is_some()));
}

/// A device at the address where the MADT lists an I/O APIC.
enum Answers {
    /// An I/O APIC: the index, the version register, the ID register.
    IoApic(Cell<u32>, u32, u32),
    /// The same value for every read: ROM, or no device.
    Constant(u32),
    /// Memory.
    Memory([Cell<u32>; 5]),
}

impl io_apic::Registers for Answers {
    fn read(&self, offset: u64) -> u32 {
        match (self, offset) {
            (Self::IoApic(index, ..), io_apic::SELECT) => index.get(),
            (Self::IoApic(index, version, id), io_apic::WINDOW) => match index.get() as u8 {
                io_apic::ID => *id,
                io_apic::VERSION => *version,
                // Pins 1, 8 and 23 deliver SMIs, one of them masked.
                0x12 | 0x20 => 0x0000_0200,
                0x3e => 0x0001_0200,
                _ => 0x0001_0000,
            },
            (Self::Memory(words), _) => words[offset as usize / 4].get(),
            (Self::Constant(value), _) => *value,
            (Self::IoApic(..), _) => panic!("a read at {offset:#x}"),
        }
    }

    fn write(&self, offset: u64, value: u32) {
        assert_eq!(offset, io_apic::SELECT, "only the index may be written");
        match self {
            Self::IoApic(index, ..) => index.set(value),
            Self::Memory(words) => words[0].set(value),
            Self::Constant(_) => {}
        }
    }
}

#[test]
fn io_apics_are_identified() {
    for (version, id) in [
        (0x0017_0011, 0x0200_0000),
        (0x0017_0020, 0),
        // ICH: interrupts by message (bit 15), and a scratch bit in the ID register.
        (0x0017_8020, 0x0100_8000),
        (0x00ef_0021, 0xff00_0000),
    ] {
        let registers = Answers::IoApic(Cell::new(7), version, id);
        let found = io_apic::identify(&registers).expect("an I/O APIC");
        assert_eq!(found, IoApicVersion(version));
        let pins = io_apic::smi_pins(&registers, found);
        assert_eq!(pins, 1 << 1 | 1 << 8 | 1 << 23);
    }
    for value in [
        0,
        u32::MAX,
        0x0017_0011,
        0x0017_0000,
        0x0017_0001,
        0x1234_5678,
    ] {
        assert_eq!(io_apic::identify(&Answers::Constant(value)), None);
        let memory = Answers::Memory([(); 5].map(|()| Cell::new(value)));
        assert_eq!(io_apic::identify(&memory), None);
    }
    for version in [
        0,
        u32::MAX,
        0x0017_0000,
        0x0117_0011,
        0x0017_0111,
        0x00ff_00ff,
    ] {
        let registers = Answers::IoApic(Cell::new(0), version, 0);
        assert_eq!(io_apic::identify(&registers), None, "{version:#x}");
    }
}

/// The events that clear remote IRR in an I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clears {
    /// A write to the EOI register, for level-triggered entries.
    Eoi,
    /// A change from edge to level.
    Change,
    /// An entry that becomes edge-triggered, or a write to the EOI register: QEMU.
    Edge,
}

/// The entry after a write to the I/O APIC.
fn written(entry: Rte, write: Write, clears: Clears) -> Rte {
    match write {
        Write::Entry(new) => {
            assert!(new.masked, "it may be asserted");
            let is_change = (entry.trigger, new.trigger) == (Trigger::Edge, Trigger::Level);
            let is_cleared = match clears {
                Clears::Eoi => false,
                Clears::Change => is_change,
                Clears::Edge => new.trigger == Trigger::Edge,
            };
            Rte {
                remote_irr: entry.remote_irr && !is_cleared,
                ..new
            }
        }
        Write::Eoi(vector) => {
            assert_ne!(clears, Clears::Change, "no such register");
            let is_meant = entry.vector == vector && entry.trigger == Trigger::Level;
            Rte {
                remote_irr: entry.remote_irr && !is_meant,
                ..entry
            }
        }
    }
}

#[test]
fn a_reset_entry_has_no_remote_irr() {
    let modes = [Trigger::Edge, Trigger::Level].map(|trigger| [(trigger, false), (trigger, true)]);
    for (number, clears) in [
        (0x20, Clears::Eoi),
        (0x11, Clears::Change),
        (0x20, Clears::Edge),
    ] {
        let version = IoApicVersion(0x0017_0000 | number);
        for (vector, (trigger, remote_irr)) in (0..=255)
            .flat_map(|vector| modes.as_flattened().iter().map(move |&mode| (vector, mode)))
        {
            let old = Rte {
                vector,
                remote_irr,
                trigger,
                ..Rte::MASKED
            };
            let writes = io_apic::reset(old, version).into_iter();
            let new = writes.fold(old, |entry, write| written(entry, write, clears));
            assert_eq!(new, Rte::MASKED, "{clears:?}: {old:?}");
        }
    }
    // An entry with remote IRR clear needs one write, and no EOI that could affect another pin.
    let idle = io_apic::reset(Rte::MASKED, IoApicVersion(0x0017_0020));
    assert_eq!(idle.as_slice(), [Write::Entry(Rte::MASKED)]);
}

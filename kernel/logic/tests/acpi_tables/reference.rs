//! The same table, as the `acpi` crate iterates it.
//!
//! That crate reads past short entries and never ends at one of length 0, so it is
//! asked only about tables in which our walk finds nothing wrong.

use std::pin::Pin;

use acpi::madt::{Madt as ReferenceMadt, MadtEntry};
use tocsin_logic::acpi::Gsi;
use tocsin_logic::acpi::madt::{
    CpuFlags, Entry, InterruptFlags, IoApic, LocalApic, LocalNmi, Madt, NmiSource, NmiTarget,
    Override,
};
use tocsin_logic::apic::ApicId;

/// Compares the entries of a table, one by one. Gives their number, or `None` if
/// the table is not one that the crate can be trusted with.
pub fn compare(bytes: &[u8]) -> Option<usize> {
    let madt = Madt::parse(bytes).ok()?;
    let ours: Vec<Entry> = madt
        .entries()
        .map(|item| item.map(|found| found.value))
        .collect::<Result<_, _>>()
        .ok()?;
    let ours: Vec<Entry> = ours
        .into_iter()
        .filter(|entry| !matches!(entry, Entry::Unknown { .. }))
        .collect();
    assert_eq!(theirs(bytes, &madt), ours);
    Some(ours.len())
}

/// What the crate sees. `checked` is our walk's word that the table is sound.
fn theirs(bytes: &[u8], checked: &Madt<'_>) -> Vec<Entry> {
    assert!(checked.entries().all(|item| item.is_ok()));
    assert!(bytes.len() >= checked.header.length as usize);
    let pointer = bytes.as_ptr().cast::<ReferenceMadt>();
    // SAFETY: 1. The type is packed plain data of 44 bytes, fewer than there are.
    // 2. Its iterator reads the bytes up to the length in the header, which are all
    // there, by entries that are all whole, as the walk has found.
    let table = unsafe { &*pointer };
    // SAFETY: a reference cannot be moved out of.
    let table = unsafe { Pin::new_unchecked(table) };
    assert_eq!(table.supports_8259(), checked.has_8259());
    assert_eq!({ table.local_apic_address }, checked.local_apic_address);
    table
        .entries()
        .filter_map(|entry| convert(&entry))
        .collect()
}

fn convert(entry: &MadtEntry<'_>) -> Option<Entry> {
    Some(match entry {
        MadtEntry::LocalApic(cpu) => Entry::LocalApic(LocalApic {
            uid: cpu.processor_id.into(),
            apic_id: ApicId(cpu.apic_id.into()),
            flags: CpuFlags(cpu.flags),
        }),
        MadtEntry::LocalX2Apic(cpu) => Entry::LocalX2Apic(LocalApic {
            uid: cpu.processor_uid,
            apic_id: ApicId(cpu.x2apic_id),
            flags: CpuFlags(cpu.flags),
        }),
        MadtEntry::IoApic(io) => Entry::IoApic(IoApic {
            id: io.io_apic_id,
            address: io.io_apic_address,
            gsi_base: Gsi(io.global_system_interrupt_base),
        }),
        MadtEntry::InterruptSourceOverride(o) => Entry::Override(Override {
            bus: o.bus,
            source: o.irq,
            gsi: Gsi(o.global_system_interrupt),
            flags: InterruptFlags(o.flags),
        }),
        MadtEntry::NmiSource(nmi) => Entry::NmiSource(NmiSource {
            flags: InterruptFlags(nmi.flags),
            gsi: Gsi(nmi.global_system_interrupt),
        }),
        MadtEntry::LocalApicNmi(nmi) => Entry::LocalApicNmi(LocalNmi {
            target: match nmi.processor_id {
                0xff => NmiTarget::All,
                uid => NmiTarget::Uid(uid.into()),
            },
            flags: InterruptFlags(nmi.flags),
            lint: nmi.nmi_line,
        }),
        MadtEntry::X2ApicNmi(nmi) => Entry::LocalX2ApicNmi(LocalNmi {
            target: match nmi.processor_uid {
                u32::MAX => NmiTarget::All,
                uid => NmiTarget::Uid(uid),
            },
            flags: InterruptFlags(nmi.flags),
            lint: nmi.nmi_line,
        }),
        MadtEntry::LocalApicAddressOverride(o) => Entry::LocalApicAddress(o.local_apic_address),
        _ => return None,
    })
}

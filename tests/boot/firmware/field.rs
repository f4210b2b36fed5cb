//! Firmware tables with errors found on real machines, and similar ones.

use serde_json::json;
use tocsin_tests::firmware::entry::{
    disabled, interrupt_override, io_apic, local_apic, nmi, nmi_source, raw,
};
use tocsin_tests::firmware::{
    Firmware, Pointer, Root, Xsdt, dmar, fadt, fadt_with_boot_flags, hpet, madt, mcfg,
};

use super::cases::{Case, ECAM, HPET, IO_APIC, PM_TIMER, cpus, good, of, sound, with};

/// An address without a device, and the address of the machine's ROM.
const NOTHING: u32 = 0xfec0_1000;
const ROM: u32 = 0xfffc_0000;
/// The address of the local APICs, and one in memory.
const LOCAL_APIC: u32 = 0xfee0_0000;
const MEMORY: u32 = 0x0080_0000;

/// The command that lets the keyboard interrupt ten times.
const KEYBOARD: &str = "sources keyboard 10 json";

pub fn cases() -> Vec<Case> {
    let mut all = pointers();
    all.extend(roots());
    all.extend(gsis());
    all.extend(bad_addresses());
    all.extend(flags());
    all
}

impl Case {
    /// An entry of the boot CPU's LVT has this value.
    fn has_lint(self, entry: &str, value: u32) -> Self {
        self.shows(
            "lapic 0 json",
            json!({ "kind": "lvt_entry", "entry": entry, "value": value }),
        )
    }

    /// All interrupts of the keyboard arrive.
    fn drives_the_keyboard(self) -> Self {
        self.shows(
            KEYBOARD,
            json!({ "kind": "source_run", "raised": 10, "received": 10, "unclaimed": 0 }),
        )
    }
}

fn pointed(name: &'static str, pointer: Pointer) -> Case {
    let firmware = Firmware::new().table(good());
    sound(
        name,
        firmware
            .xsdt(Xsdt::Alone)
            .root(Root::Sound)
            .pointer(pointer),
    )
}

/// RSDPs whose first 20 bytes are valid.
fn pointers() -> Vec<Case> {
    let second = Pointer {
        revision: 2,
        ..Pointer::default()
    };
    let length = |length| Pointer {
        length: Some(length),
        ..second
    };
    let beside = |name, pointer| {
        // Of the two root tables, the one in the extended part has no CPUs.
        let firmware = Firmware::new().table(good()).xsdt(Xsdt::Empty);
        sound(name, firmware.pointer(pointer))
    };
    let first = Pointer {
        revision: 1,
        ..Pointer::default()
    };
    let after_false_one = Pointer {
        after_false_one: true,
        ..second
    };
    vec![
        beside("rsdp_revision_1", first).complains("RSDP: offset 0xf: revision 1 does not exist"),
        beside("rsdp_of_20_bytes", length(20))
            .complains("RSDP: offset 0x14: the length field says 20 bytes"),
        pointed("rsdp_of_40_bytes", length(40)),
        pointed("rsdp_of_4096_bytes", length(4096)),
        pointed("rsdp_after_a_false_one", after_false_one)
            .complains("RSDP: bad checksum: its 20 bytes add up to"),
    ]
}

/// Two root tables, one of which is unusable.
fn roots() -> Vec<Case> {
    let beside = |name, xsdt| sound(name, Firmware::new().table(good()).xsdt(xsdt));
    let high = |name, address| {
        let firmware = Firmware::new().table(good()).xsdt(Xsdt::Alone);
        sound(name, firmware.dangling(address))
    };
    let low = |name, address: u32| {
        let firmware = Firmware::new().dangling(address.into());
        sound(name, firmware.table(good()))
    };
    vec![
        beside("xsdt_with_a_bad_checksum", Xsdt::Corrupted)
            .complains("XSDT: bad checksum: its 44 bytes add up to"),
        beside("xsdt_without_tables", Xsdt::Empty).complains("XSDT at 0x"),
        high("root_entry_above_4_gigabytes", 0x1_0000_0000).complains("table at 0x100000000: "),
        high("root_entry_beyond_the_processor", 1 << 45)
            .complains("table at 0x200000000000: a table cannot be above the "),
        high("root_entry_that_wraps", u64::MAX - 4)
            .complains("table at 0xfffffffffffffffb: a table cannot be above the "),
        low("root_entry_at_the_io_apic", IO_APIC).complains("table at 0xfec00000: "),
        low("root_entry_at_the_local_apics", LOCAL_APIC)
            .complains("a table cannot be in the registers of the local APIC (ignored)"),
        low("root_entry_in_memory", MEMORY).complains("table at 0x800000: "),
    ]
}

/// I/O APICs whose GSIs overlap, or would overlap if all of them existed.
fn gsis() -> Vec<Case> {
    // The registers of QEMU's one I/O APIC are at each multiple of 256 of its page.
    let aliased = |name, base| {
        with(name, &[io_apic(1, IO_APIC + 0x100, base)]).complains("another begins at GSI")
    };
    let mut overlapping = cpus(0..4);
    overlapping.extend([
        io_apic(0, IO_APIC, 0),
        io_apic(1, IO_APIC + 0x100, 20),
        interrupt_override(1, 21, 0),
    ]);
    let mut dead_first = cpus(0..4);
    dead_first.extend([io_apic(2, NOTHING, 0), io_apic(0, IO_APIC, 0)]);
    let dead = "I/O APIC 2 at 0xfec01000 does not respond (ignored)";
    let mut case = aliased("gsis_up_to_the_last", 0xffff_fff0);
    case.complaints.clear();
    let mut all = vec![
        of("gsis_of_two_io_apics", &overlapping)
            .complains("24 pins, but another begins at GSI 20")
            .drives_the_keyboard()
            .shows(
                KEYBOARD,
                json!({
                    "kind": "source_run",
                    "route": { "gsi": 21, "pin": 1, "io_apic": 1 },
                }),
            ),
        case.complains("24 pins, of which 8 are beyond the last GSI (not used)")
            .shows("ioapic json", json!({ "kind": "io_apic", "id": 1 })),
    ];
    for case in &mut all {
        case.io_apics = (2, 48);
    }
    all.extend([
        with("dead_io_apic_inside_another", &[io_apic(2, NOTHING, 16)])
            .complains(dead)
            .drives_the_keyboard(),
        of("dead_io_apic_with_another_ones_gsis", &dead_first)
            .complains(dead)
            .drives_the_keyboard(),
    ]);
    all
}

/// One wrong address: only that entry is left out.
fn bad_addresses() -> Vec<Case> {
    let at = |name, address, output: &str| {
        let firmware = {
            let mut entries = cpus(0..4);
            entries.extend([io_apic(1, address, 24), io_apic(0, IO_APIC, 0)]);
            Firmware::new().table(madt(&entries)).table(hpet(HPET))
        };
        sound(name, firmware)
            .complains(format!("I/O APIC 1 at {address:#x} {output} (ignored)"))
            .drives_the_keyboard()
    };
    let hpet_at = |name, address| {
        let firmware = Firmware::new().table(good()).table(hpet(address));
        sound(name, firmware.table(fadt(PM_TIMER)))
    };
    // Function 0 of the root complex, whose registers could be those of an HPET.
    let in_config_space = {
        let firmware = Firmware::new().table(good()).table(fadt(PM_TIMER));
        let firmware = firmware.table(hpet(ECAM)).table(mcfg(&[(ECAM, 0, 255)]));
        sound("hpet_in_configuration_space", firmware)
            .complains("HPET at 0xb0000000: in PCI configuration space, with ID 0x")
            .measured_against("pm_timer")
            .shows(
                "pci json",
                json!({
                    "kind": "pci_function",
                    "address": "0000:00:00.0",
                    "vendor": 0x8086,
                    "device": 0x29c0,
                }),
            )
    };
    vec![
        at("io_apic_in_memory", MEMORY, "cannot be in memory (usable)"),
        at("io_apic_in_rom", ROM, "does not respond"),
        at(
            "io_apic_in_the_first_megabyte",
            0xf_0000,
            "cannot be in the first MiB",
        ),
        at(
            "io_apic_at_the_local_apics",
            LOCAL_APIC,
            "cannot be in the registers of the local APIC",
        ),
        at(
            "io_apic_at_the_hpet",
            HPET as u32,
            "cannot be in the registers of the HPET",
        ),
        hpet_at("hpet_in_memory", u64::from(MEMORY))
            .complains("HPET at 0x800000 cannot be in memory (usable) (not used)")
            .measured_against("pm_timer"),
        hpet_at("hpet_at_the_local_apics", u64::from(LOCAL_APIC)).complains(
            "HPET at 0xfee00000 cannot be in the registers of the local APIC (not used)",
        ),
        hpet_at("hpet_at_the_io_apic", u64::from(IO_APIC))
            .complains("HPET at 0xfec00000: capabilities 0x0 are impossible (not used)")
            .measured_against("pm_timer")
            .drives_the_keyboard(),
        in_config_space,
        hpet_at("hpet_beyond_the_processor", 1 << 48)
            .complains("HPET at 0x1000000000000 cannot be above the "),
    ]
}

/// Bits with wrong values, and entries that must be ignored.
fn flags() -> Vec<Case> {
    let beside = |name, table| sound(name, Firmware::new().table(good()).table(table));
    let denied = fadt_with_boot_flags(PM_TIMER, 1 << 0 | 1 << 4);
    let padding: Vec<_> = (0..56).map(|_| disabled(0, 0)).collect();
    let mut crowded = padding.clone();
    crowded.extend((0..80).map(|_| raw(0x80, 2, &[])));
    crowded.push(local_apic(9, 1));
    let garbage = raw(4, 6, &[0, 0xc9, 0x0f, 0]);
    vec![
        beside("x2apic_opt_out_without_remapping", dmar(2))
            .shows("apic json", json!({ "kind": "apic", "mode": "x2apic" })),
        beside("x2apic_opt_out", dmar(3)).shows(
            "apic json",
            json!({ "kind": "apic", "mode": "xapic", "reason": "opt_out" }),
        ),
        beside("keyboard_that_the_fadt_denies", denied).drives_the_keyboard(),
        with("padding_entries", &padding).shows(
            "madt json",
            json!({
                "kind": "madt_problem",
                "problem": "padding_entries",
                "is_note": true,
                "entries": 56,
            }),
        ),
        with("padding_before_a_mistake", &crowded)
            .complains("APIC ID 0x01 is already listed (the entry with UID 9 is ignored)"),
        with("nmi_of_garbage", &[garbage])
            .complains("NMI of UID 0 at LINT0, which is the 8259s' input (ignored)")
            .has_lint("lint0", 0x0001_0700),
        with("nmi_with_reserved_flags", &[raw(4, 6, &[0, 0xcf, 0x0f, 1])])
            .complains("reserved bits 0x0fc0 (the bus default applies)")
            .has_lint("lint1", 0x0000_0400),
        with("nmi_at_lint0", &[nmi(0xff, 0), nmi(0xff, 1)])
            .complains("NMI of all CPUs at LINT0, which is the 8259s' input (ignored)")
            .has_lint("lint1", 0x0000_0400),
        with("nmi_source_without_input", &[nmi_source(40, 0)])
            .complains("NMI source GSI 40: no I/O APIC has it"),
    ]
}

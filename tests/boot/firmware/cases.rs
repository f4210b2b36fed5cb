//! Errors in ACPI tables, and the expected reactions of the kernel.
//!
//! The machine has 4 CPUs with APIC IDs 0 to 3, and one I/O APIC of 24 pins.

use serde_json::{Value, json};
use tocsin_tests::firmware::entry::{
    disabled, interrupt_override, io_apic, local_apic, local_apic_address, local_x2apic, nmi, raw,
};
use tocsin_tests::firmware::{Firmware, Root, claiming, corrupted, fadt, hpet, madt, table};

/// Addresses of the machine's I/O APIC, HPET and PM timer.
pub const IO_APIC: u32 = 0xfec0_0000;
pub const HPET: u64 = 0xfed0_0000;
pub const PM_TIMER: u16 = 0x608;
/// Address of its configuration space.
pub const ECAM: u64 = 0xb000_0000;

/// Tables, and the expected results.
pub struct Case {
    pub name: &'static str,
    pub firmware: Firmware,
    /// Number of CPUs that come online, and number of CPUs found.
    pub online: u32,
    pub present: u32,
    /// Number of I/O APICs and of their pins.
    pub io_apics: (u32, u32),
    /// Words of each warning in the log, then of each error.
    pub complaints: Vec<String>,
    /// Commands, and members of a record of their output.
    pub shown: Vec<(&'static str, Value)>,
}

/// All CPUs and the I/O APIC, and no warnings.
pub fn sound(name: &'static str, firmware: Firmware) -> Case {
    Case {
        name,
        firmware,
        online: 4,
        present: 4,
        io_apics: (1, 24),
        complaints: Vec::new(),
        shown: Vec::new(),
    }
}

impl Case {
    pub fn cpus(mut self, online: u32, present: u32) -> Self {
        (self.online, self.present) = (online, present);
        self
    }

    pub fn no_io_apic(mut self) -> Self {
        self.io_apics = (0, 0);
        self
    }

    pub fn complains(mut self, words: impl Into<String>) -> Self {
        self.complaints.push(words.into());
        self
    }

    pub fn shows(mut self, command: &'static str, members: Value) -> Self {
        self.shown.push((command, members));
        self
    }

    /// The local APIC timer is measured against this clock.
    pub fn measured_against(self, reference: &str) -> Self {
        self.shows(
            "timer json",
            json!({ "kind": "local_apic_timer", "reference": reference }),
        )
    }

    fn has_no_madt(self) -> Self {
        self.shows("madt json", json!({ "kind": "madt", "state": "absent" }))
    }

    /// Without a usable MADT there is only the boot CPU.
    fn alone(self) -> Self {
        self.cpus(1, 1)
            .no_io_apic()
            .complains("acpi: no MADT (only this CPU will run)")
            .has_no_madt()
    }
}

/// The CPUs with these APIC IDs and the same UIDs.
pub fn cpus(ids: impl IntoIterator<Item = u8>) -> Vec<Vec<u8>> {
    ids.into_iter().map(|id| local_apic(id, id)).collect()
}

/// A machine whose MADT has these entries after those of all CPUs and the I/O APIC.
pub fn with(name: &'static str, entries: &[Vec<u8>]) -> Case {
    let mut all = cpus(0..4);
    all.push(io_apic(0, IO_APIC, 0));
    all.extend_from_slice(entries);
    of(name, &all)
}

/// A machine whose MADT has these entries and no others.
pub fn of(name: &'static str, entries: &[Vec<u8>]) -> Case {
    sound(name, Firmware::new().table(madt(entries)))
}

/// A valid MADT.
pub fn good() -> Vec<u8> {
    let mut all = cpus(0..4);
    all.push(io_apic(0, IO_APIC, 0));
    madt(&all)
}

pub fn cases() -> Vec<Case> {
    let mut all = whole_tables();
    all.extend(super::field::cases());
    all.extend(broken_entries());
    all.extend(unusable_cpus());
    all.extend(unusable_inputs());
    all.extend(clocks());
    all
}

/// Tables that are missing, truncated or invalid as a whole.
fn whole_tables() -> Vec<Case> {
    let with_table = |name, bytes| sound(name, Firmware::new().table(bytes));
    let rootless = |name, root| {
        sound(name, Firmware::new().table(good()).root(root))
            .cpus(1, 1)
            .no_io_apic()
            .shows("acpi json", json!({ "kind": "rsdp", "state": "absent" }))
            .has_no_madt()
    };
    let cut = {
        let whole = good();
        table(*b"APIC", 3, &whole[36..whole.len() - 5])
    };
    vec![
        rootless("root_table_with_a_bad_checksum", Root::Corrupted)
            .complains("RSDT: bad checksum: its 40 bytes add up to")
            .complains("acpi: no valid root table (only this CPU will run)"),
        rootless("root_table_that_is_nowhere", Root::Missing)
            .complains(": RSDP: offset 0x10: the address is 0 (ignored)")
            .complains("acpi: no valid root table (only this CPU will run)"),
        sound("no_tables", Firmware::new()).alone(),
        {
            let left_out = json!({ "kind": "acpi_problem", "problem": "invalid", "table": "APIC" });
            let case = with_table("madt_with_a_bad_checksum", corrupted(good()));
            case.complains("MADT: bad checksum: its 88 bytes add up to 0x01, not 0 (ignored)")
                .shows("acpi json", left_out)
                .alone()
        },
        {
            let case = with_table("madt_of_4_gigabytes", claiming(good(), u32::MAX));
            case.complains("MADT: offset 0x4: the length field says 4294967295 bytes")
                .alone()
        },
        {
            let case = with_table("madt_shorter_than_a_header", claiming(good(), 20));
            case.complains("MADT: offset 0x4: the length field says 20 bytes")
                .alone()
        },
        {
            let case = with_table("madt_of_a_header", table(*b"APIC", 3, &[]));
            case.cpus(1, 1)
                .no_io_apic()
                .complains("MADT: offset 0x4: the length field says 36 bytes; at least 44")
        },
        {
            let case = with_table("madt_cut_in_an_entry", cut);
            case.no_io_apic()
                .complains("entry at offset 0x4c: type 1 of 12 bytes, but the table ends after 7")
        },
        {
            let firmware = Firmware::new().table(corrupted(good())).table(good());
            sound("second_madt_is_the_sound_one", firmware).complains("MADT: bad checksum")
        },
        {
            let firmware = Firmware::new().table(good()).table(madt(&cpus([0])));
            sound("second_madt_does_not_count", firmware)
        },
        {
            let firmware = Firmware::new()
                .dangling(0)
                .dangling(0xffff_fff0)
                .table(good());
            sound(
                "root_entries_that_lead_nowhere",
                firmware.dangling(0xd000_0000),
            )
            .complains("table at 0xfffffff0")
            .complains("table at 0xd0000000")
        },
    ]
}

/// Entries whose content does not match their type or length.
fn broken_entries() -> Vec<Case> {
    let between = |name, middle: Vec<u8>| {
        let mut entries = cpus([0, 1]);
        entries.push(middle);
        entries.extend(cpus([2, 3]));
        entries.push(io_apic(0, IO_APIC, 0));
        of(name, &entries)
    };
    let invalid = json!({ "kind": "madt_entry", "offset": 0x3c, "entry": "invalid" });
    vec![
        between("entry_of_length_0", raw(0, 0, &[]))
            .cpus(2, 2)
            .no_io_apic()
            .complains("entry at offset 0x3c: type 0 needs 8 bytes, its length field says 0")
            .shows("madt json", invalid.clone()),
        between("entry_of_length_1", raw(0x80, 1, &[]))
            .cpus(2, 2)
            .no_io_apic()
            .complains("entry at offset 0x3c: type 128 needs 2 bytes, its length field says 1"),
        between("entry_that_is_too_short", raw(0, 4, &[9, 9]))
            .complains("entry at offset 0x3c: type 0 needs 8 bytes, its length field says 4")
            .shows("madt json", invalid.clone()),
        between("entry_beyond_the_table", raw(9, 200, &[]))
            .cpus(2, 2)
            .no_io_apic()
            .complains("entry at offset 0x3c: type 9 of 200 bytes, but the table ends after 30"),
        between("entry_of_an_unknown_type", raw(0x7f, 6, &[1, 2, 3, 4])).shows(
            "madt json",
            json!({
                "kind": "madt_entry",
                "offset": 0x3c,
                "entry": "unknown",
                "type": 0x7f,
                "length": 6,
            }),
        ),
        with("trailing_byte", &[vec![0]]).complains("1 bytes are left, an entry has 2"),
    ]
}

fn cpu(number: u32, apic_id: u32, uid: Option<u32>, state: &str) -> Value {
    json!({ "kind": "cpu", "number": number, "apic_id": apic_id, "uid": uid, "state": state })
}

/// CPUs that are listed in unusual ways, or do not exist.
fn unusable_cpus() -> Vec<Case> {
    let mut reversed = cpus([3, 2, 1, 0]);
    reversed.push(io_apic(0, IO_APIC, 0));
    let mut boot_missing = cpus(1..4);
    boot_missing.push(io_apic(0, IO_APIC, 0));
    let x2apic: Vec<_> = (0..4).map(|id| local_x2apic(id, id)).collect();
    let mut x2apic_only = x2apic.clone();
    x2apic_only.push(io_apic(0, IO_APIC, 0));
    let some = [
        local_apic(0, 0),
        disabled(1, 1),
        local_apic(2, 2),
        disabled(3, 0),
        disabled(4, 0xff),
        io_apic(0, IO_APIC, 0),
    ];
    // More CPUs than the kernel can store, of which all except four do not exist.
    let crowd: Vec<_> = (4..1100)
        .map(|number| local_x2apic(number, number))
        .collect();
    vec![
        (4..1024).fold(
            with("more_cpus_than_can_be_kept", &crowd)
                .cpus(4, 1024)
                .complains("more than 1024 CPUs: 76 enabled and 0 others are left out")
                .complains("smp: 3 of 1023 CPUs ran the first instruction"),
            |case, cpu| {
                case.complains(format!("smp: CPU {cpu} (APIC ID {cpu:#04x}) did not start"))
            },
        ),
        of("boot_cpu_last", &reversed),
        of("boot_cpu_missing", &boot_missing)
            .complains("the boot CPU, APIC ID 0x00, is not listed as enabled (added)")
            .shows("cpus json", cpu(0, 0, None, "online")),
        of("x2apic_entries_alone", &x2apic_only),
        with("every_cpu_in_both_forms", &x2apic).shows(
            "madt json",
            json!({ "kind": "madt_problem", "problem": "cpu_in_both_forms", "is_note": true }),
        ),
        with("cpu_listed_twice", &[local_apic(9, 1)])
            .complains("APIC ID 0x01 is already listed (the entry with UID 9 is ignored)"),
        with("broadcast_as_a_cpu", &[local_apic(9, 0xff)])
            .complains("APIC ID 0xff is the broadcast ID (ignored)"),
        of("disabled_cpus", &some)
            .cpus(2, 2)
            .shows("cpus json", cpu(2, 1, Some(1), "disabled")),
        with(
            "cpus_that_are_not_there",
            &[local_apic(9, 77), local_x2apic(10, 5000)],
        )
        .cpus(4, 6)
        .complains("smp: 3 of 5 CPUs ran the first instruction")
        .complains("smp: CPU 4 (APIC ID 0x4d) did not start; last seen: no response")
        .complains("smp: CPU 5 (APIC ID 0x1388) did not start; last seen: no response")
        .shows("cpus json", cpu(5, 0x1388, Some(10), "dead: no response")),
    ]
}

/// Invalid I/O APICs, overrides and NMI pins.
fn unusable_inputs() -> Vec<Case> {
    vec![
        with("io_apic_at_an_odd_address", &[io_apic(1, 0xfec0_1001, 24)])
            .complains("an I/O APIC cannot be at 0xfec01001 (ignored)"),
        with("io_apic_listed_twice", &[io_apic(1, IO_APIC, 24)])
            .complains("an earlier one has registers or GSI (ignored)"),
        with("io_apic_that_is_not_there", &[io_apic(1, 0xd000_0000, 24)])
            .complains("I/O APIC 1 at 0xd0000000 does not respond (ignored)"),
        with(
            "local_apics_at_an_odd_address",
            &[local_apic_address(0xfee0_0001)],
        )
        .complains("the local APICs cannot be at 0xfee00001 (ignored)"),
        with(
            "overrides_that_cannot_be",
            &[
                interrupt_override(16, 20, 0),
                interrupt_override(9, 99, 0),
                interrupt_override(10, 20, 0x0a),
                interrupt_override(11, 21, 0),
                interrupt_override(11, 22, 0),
            ],
        )
        .complains("there is no ISA IRQ 16 to override (ignored)")
        .complains("(the bus default applies)")
        .complains("ISA IRQ 11 is already overridden (ignored)")
        .complains("ISA IRQ 9"),
        with("nmi_pins_that_cannot_be", &[nmi(0xff, 2), nmi(77, 1)])
            .complains("there is no pin LINT2 (ignored)")
            .complains("no CPU has UID 77 (ignored)"),
    ]
}

/// Reference clocks for calibration, from the best to the worst.
fn clocks() -> Vec<Case> {
    let clock = |name, tables: &[Vec<u8>], reference| {
        let firmware = Firmware::new().table(good());
        let firmware = tables.iter().cloned().fold(firmware, Firmware::table);
        sound(name, firmware).measured_against(reference)
    };
    let (by_hpet, by_pm_timer, by_pit) = ("hpet", "pm_timer", "pit");
    vec![
        clock("clock_hpet", &[hpet(HPET), fadt(PM_TIMER)], by_hpet),
        clock("clock_pm_timer", &[fadt(PM_TIMER)], by_pm_timer),
        clock("clock_pit", &[], by_pit),
        clock(
            "hpet_that_is_not_there",
            &[hpet(0xfed8_0000), fadt(PM_TIMER)],
            by_pm_timer,
        )
        .complains("HPET at 0xfed80000: capabilities 0x0 are impossible (not used)"),
        clock("pm_timer_that_is_not_there", &[fadt(0x1234)], by_pit)
            .complains("the counter does not count (not used)"),
        clock("fadt_that_is_cut", &[table(*b"FACP", 1, &[0; 20])], by_pit)
            .complains("FADT: offset 0x4: the length field says 56 bytes"),
        clock("hpet_that_is_cut", &[table(*b"HPET", 1, &[0; 4])], by_pit)
            .complains("HPET: offset 0x4: the length field says 40 bytes"),
    ]
}

//! The machine-check registers: switched on, read, and cleared.

use core::fmt;

use tocsin_logic::machine_check::{BankStatus, Capabilities, GlobalStatus, is_control_free};

use crate::hw::control::{self, Features, read_msr, write_msr};
use crate::hw::processor::cpuid;

/// MSR numbers (SDM vol. 3B, 17.3).
const MCG_CAP: u32 = 0x179;
const MCG_STATUS: u32 = 0x17a;
const MCG_CTL: u32 = 0x17b;
const MC0_CTL: u32 = 0x400;
const MC0_STATUS: u32 = 0x401;
const MC0_ADDR: u32 = 0x402;
const BANK_STRIDE: u32 = 4;

/// What the registers say, or `None` on a processor without them.
pub(super) fn global_status() -> Option<GlobalStatus> {
    if !Features::get().contains(Features::MCA) {
        return None;
    }
    // SAFETY: 1. CPUID reports MCA, and with it this register.
    Some(GlobalStatus(unsafe { read_msr(MCG_STATUS) }))
}

/// Has this CPU tell all its errors by #MC, in the order of the SDM (vol. 3B, 17.8). What firmware or an
/// earlier system has left in the banks outlives a reset: it is logged and cleared, or the first
/// machine check would be taken for that one. Once on each CPU, its IDT loaded.
pub(crate) fn set_up() {
    let capabilities = capabilities();
    if capabilities.has_control() {
        // SAFETY: 1. MCG_CAP says that the register is there. 2. All ones is what the SDM writes.
        unsafe { write_msr(MCG_CTL, u64::MAX) };
    }
    let signature = cpuid(1, 0).eax;
    for bank in (0..capabilities.banks()).filter(|&bank| is_control_free(bank, signature)) {
        // SAFETY: 1. The bank is there. 2. The SDM leaves the register to the system, and writes the same.
        unsafe { write_msr(MC0_CTL + bank * BANK_STRIDE, u64::MAX) };
    }
    for (bank, status, _) in banks() {
        log::warn!("machine check: bank {bank} has an error from before the start: {status}");
    }
    clear();
    control::enable_machine_checks();
}

/// Forgets the errors, and lets another machine check come: one that comes before shuts the processor
/// down (SDM vol. 3B, 17.3.1.2).
pub(super) fn clear() {
    for (bank, _, _) in banks() {
        // SAFETY: 1. The bank is there. 2. Zeros clear it, and nothing else may be written.
        unsafe { write_msr(MC0_STATUS + bank * BANK_STRIDE, 0) };
    }
    if global_status().is_some() {
        // SAFETY: 1. The register is there. 2. The banks have been read and cleared before.
        unsafe { write_msr(MCG_STATUS, 0) };
    }
}

fn capabilities() -> Capabilities {
    if !Features::get().contains(Features::MCA) {
        return Capabilities(0);
    }
    // SAFETY: 1. CPUID reports MCA, and with it this register.
    Capabilities(unsafe { read_msr(MCG_CAP) })
}

/// The banks that hold an error: number, status, and the address that belongs to it.
fn banks() -> impl Iterator<Item = (u32, BankStatus, Option<u64>)> {
    (0..capabilities().banks()).filter_map(|bank| {
        // SAFETY: 1. The bank is one of those that MCG_CAP counts.
        let status = BankStatus(unsafe { read_msr(MC0_STATUS + bank * BANK_STRIDE) });
        let address = status.address_valid().then(|| {
            // SAFETY: 1. As above; the register exists where ADDRV can be set.
            unsafe { read_msr(MC0_ADDR + bank * BANK_STRIDE) }
        });
        status.valid().then_some((bank, status, address))
    })
}

/// Whether the interrupted code can go on: the processor says that its state is sound, and
/// no bank has an uncorrected error.
pub(super) fn is_survivable() -> bool {
    global_status().is_some_and(GlobalStatus::restart_ip_valid)
        && banks().all(|(_, status, _)| !status.uncorrected())
}

/// Writes the registers for a report.
pub(super) fn write(out: &mut dyn fmt::Write) -> fmt::Result {
    let Some(status) = global_status() else {
        return writeln!(out, "  status      no machine-check registers");
    };
    writeln!(out, "  status      MCG_STATUS {status}")?;
    for (bank, status, address) in banks() {
        writeln!(out, "  bank {bank:<2}     {status}")?;
        if let Some(address) = address {
            writeln!(out, "              at physical address {address:#018x}")?;
        }
    }
    Ok(())
}

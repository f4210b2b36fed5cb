//! Reading the machine-check registers.

use core::fmt;

use tocsin_logic::machine_check::{BankStatus, GlobalStatus};

use crate::hw::control::{Features, read_msr};

/// MSR numbers (SDM vol. 3B, 17.3).
const MCG_CAP: u32 = 0x179;
const MCG_STATUS: u32 = 0x17a;
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

/// The banks that hold an error: number, status, and the address that belongs to it.
fn banks() -> impl Iterator<Item = (u32, BankStatus, Option<u64>)> {
    let count = if Features::get().contains(Features::MCA) {
        // SAFETY: 1. CPUID reports MCA, and with it this register; its low byte counts the banks.
        unsafe { read_msr(MCG_CAP) as u32 & 0xff }
    } else {
        0
    };
    (0..count).filter_map(|bank| {
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

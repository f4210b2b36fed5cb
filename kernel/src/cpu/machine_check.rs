//! The machine-check registers: enabling, reading and clearing.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayString;
use tocsin_logic::machine_check::{
    BankStatus, Capabilities, GlobalStatus, Severity, is_control_free,
};
use tocsin_logic::rate_limit::RateLimit;

use crate::cpu_local::current;
use crate::hw::control::{self, Features, read_msr, write_msr};
use crate::hw::processor::cpuid;
use crate::sync::IrqMutex;
use crate::time;

/// MSR numbers (SDM vol. 3B, 17.3).
const MCG_CAP: u32 = 0x179;
const MCG_STATUS: u32 = 0x17a;
const MCG_CTL: u32 = 0x17b;
const MC0_CTL: u32 = 0x400;
const MC0_STATUS: u32 = 0x401;
const MC0_ADDR: u32 = 0x402;
const BANK_STRIDE: u32 = 4;

/// Held while a polled error is taken and cleared.
static CLEARING: IrqMutex<()> = IrqMutex::new(());

/// The global status, or `None` on a processor without machine-check registers.
pub(crate) fn global_status() -> Option<GlobalStatus> {
    if !Features::get().contains(Features::MCA) {
        return None;
    }
    // SAFETY: CPUID reports MCA, and with it this register.
    Some(GlobalStatus(unsafe { read_msr(MCG_STATUS) }))
}

/// Enables the reporting of all errors of this CPU by #MC, in the order of the SDM (vol. 3B, 17.8).
/// Errors that firmware or an earlier system has left in the banks survive a reset: they are logged
/// and cleared, otherwise they would be attributed to the first machine check. Called once on each
/// CPU, after its IDT has been loaded.
pub(crate) fn set_up() {
    let capabilities = capabilities();
    if capabilities.has_control() {
        // SAFETY: MCG_CAP reports the register. The SDM prescribes all ones.
        unsafe { write_msr(MCG_CTL, u64::MAX) };
    }
    let signature = cpuid(1, 0).eax;
    for bank in (0..capabilities.banks()).filter(|&bank| is_control_free(bank, signature)) {
        // SAFETY: The bank exists. The SDM leaves the register to the system, and prescribes the
        // same value.
        unsafe { write_msr(MC0_CTL + bank * BANK_STRIDE, u64::MAX) };
    }
    for (bank, status, _) in banks() {
        log::warn!("machine check: bank {bank} has an error from before the start: {status}");
    }
    clear_banks();
    clear_status();
    control::enable_machine_checks();
}

fn clear_banks() {
    for (bank, _, _) in banks() {
        // SAFETY: The bank exists. Zeros clear it, and are the only valid value.
        unsafe { write_msr(MC0_STATUS + bank * BANK_STRIDE, 0) };
    }
}

/// Ends a machine check after which the code continues, and enables the next one: a machine check
/// before this shuts the processor down (SDM vol. 3B, 17.3.1.2). The errors in the banks are left
/// to [`poll`].
pub(crate) fn clear_status() {
    if global_status().is_some() {
        // SAFETY: The register exists. The banks have been read before.
        unsafe { write_msr(MCG_STATUS, 0) };
    }
}

fn capabilities() -> Capabilities {
    if !Features::get().contains(Features::MCA) {
        return Capabilities(0);
    }
    // SAFETY: CPUID reports MCA, and with it this register.
    Capabilities(unsafe { read_msr(MCG_CAP) })
}

/// The banks that hold an error: number, status, and its address, if valid.
fn banks() -> impl Iterator<Item = (u32, BankStatus, Option<u64>)> {
    (0..capabilities().banks()).filter_map(|bank| {
        // SAFETY: The bank is one of those that MCG_CAP counts.
        let status = BankStatus(unsafe { read_msr(MC0_STATUS + bank * BANK_STRIDE) });
        let address = status.address_valid().then(|| {
            // SAFETY: As above; the register exists where ADDRV can be set.
            unsafe { read_msr(MC0_ADDR + bank * BANK_STRIDE) }
        });
        status.valid().then_some((bank, status, address))
    })
}

/// Number of banks with separate counts; errors in further banks are counted for the last one.
pub(crate) const BANKS: usize = 32;

/// Maximum number of errors logged at once, and the time between later ones, in nanoseconds.
const BURST: u32 = 10;
const INTERVAL: u64 = 60_000_000_000;

static LIMIT: IrqMutex<RateLimit> = IrqMutex::new(RateLimit::new(BURST, INTERVAL));

/// The errors that polling has found on a CPU: corrected ones, those that need no action, and those
/// that were not enabled.
#[derive(Debug)]
pub struct Polled {
    counts: [AtomicU64; BANKS],
    /// The `IA32_MCi_STATUS` of the last error.
    last: [AtomicU64; BANKS],
}

impl Polled {
    const fn new() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; BANKS],
            last: [const { AtomicU64::new(0) }; BANKS],
        }
    }

    /// The banks in which errors were found: number, error count, and last status. Context: any.
    pub fn banks(&self) -> impl Iterator<Item = (usize, u64, BankStatus)> {
        let banks = self.counts.iter().zip(&self.last).enumerate();
        let banks = banks.map(|(bank, (count, last))| {
            let last = BankStatus(last.load(Ordering::Relaxed));
            (bank, count.load(Ordering::Relaxed), last)
        });
        banks.filter(|&(_, count, _)| count > 0)
    }

    fn note(&self, bank: u32, status: BankStatus) {
        let bank = (bank as usize).min(BANKS - 1);
        self.last[bank].store(status.0, Ordering::Relaxed);
        self.counts[bank].fetch_add(1, Ordering::Relaxed);
    }
}

crate::cpu_local! {
    /// The errors that polling has found on each CPU.
    pub static POLLED: Polled = Polled::new();
}

/// Reads this CPU's banks, and logs, counts and clears the errors that no machine check signals
/// (SDM vol. 3B, 17.9.3). The log is limited to a few errors and one per minute after that.
///
/// Context: any but NMI (on the CPU whose banks are read).
pub fn poll() {
    let polled = POLLED.of(current());
    let recovery = capabilities().has_recovery();
    for (bank, status, address) in banks() {
        if !status.is_for_polling(recovery) {
            continue;
        }
        // CPUs may share a bank, and are polled at the same times: only one of them counts the
        // error.
        let clearing = CLEARING.lock();
        // SAFETY: the bank exists.
        if unsafe { read_msr(MC0_STATUS + bank * BANK_STRIDE) } != status.0 {
            continue;
        }
        polled.note(bank, status);
        // SAFETY: The bank exists. Zeros clear it, and are the only valid value. An error that was
        // recorded since the read is lost, or has set OVER before.
        unsafe { write_msr(MC0_STATUS + bank * BANK_STRIDE, 0) };
        drop(clearing);
        let allowed = LIMIT.lock().allow(time::nanoseconds());
        if let Some(suppressed) = allowed {
            log(bank, status, address, status.severity(recovery), suppressed);
        }
    }
}

fn log(bank: u32, status: BankStatus, address: Option<u64>, severity: Severity, suppressed: u64) {
    let mut text = ArrayString::<128>::new();
    // A text that is too long is truncated.
    if let Some(address) = address {
        let _ = write!(text, ", at physical address {address:#x}");
    }
    if suppressed > 0 {
        let _ = write!(
            text,
            " ({suppressed} before it were not logged; `mce` has the counts)"
        );
    }
    log::warn!("machine check: bank {bank}: {severity} error: {status}{text}");
}

/// Whether the interrupted code can continue: the processor reports that its state is valid, and
/// every error is one that polling handles.
pub(crate) fn is_survivable() -> bool {
    let recovery = capabilities().has_recovery();
    global_status().is_some_and(GlobalStatus::restart_ip_valid)
        && banks().all(|(_, status, _)| status.is_for_polling(recovery))
}

/// Writes the registers for a report.
pub(crate) fn write(out: &mut dyn Write) -> fmt::Result {
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

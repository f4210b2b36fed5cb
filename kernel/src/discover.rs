//! Hardware discovery: reads the tables, validates the topology, and finds the controllers.

use spin::Once;
use tocsin_logic::acpi::fadt::Fadt;
use tocsin_logic::acpi::hpet::Hpet;
use tocsin_logic::acpi::{Dmar, Madt, Signature, fadt, hpet, mcfg};
use tocsin_logic::apic::ModeOption;
use tocsin_logic::apic::base::State;
use tocsin_logic::apic::calibration::Clock;
use tocsin_logic::apic::mode::{Choice, Mode, Situation, choose_mode};
use tocsin_logic::command_line::Options;
use tocsin_logic::devices::hpet::{CAPABILITIES, LENGTH as HPET_LENGTH};
use tocsin_logic::memory_map::Placement;
use tocsin_logic::topology::cpuid::IdLayout;
use tocsin_logic::topology::{IoApic, Problems, Topology};

use crate::acpi::Tables;
use crate::apic::{io, local};
use crate::boot::BootInfo;
use crate::hw::control::read_msr;
use crate::hw::mmio::Mmio;
use crate::hw::processor::{cpuid, cpuid_registers, physical_address_bits};
use crate::memory::paging::Use;
use crate::memory::probe::Probe;

/// Size of the local APIC's page, in bytes.
const PAGE: u64 = 4096;

/// The description of the machine, complete when `main` starts.
#[derive(Debug)]
pub struct Machine {
    /// The boot information from the loader.
    pub boot: &'static BootInfo,
    /// The ACPI tables, if there are any.
    pub tables: Option<Tables>,
    /// The CPUs and interrupt inputs that the MADT lists.
    pub topology: Topology,
    /// Problems found in the MADT.
    pub problems: Problems,
    /// The topology fields of APIC IDs.
    pub id_layout: IdLayout,
    /// The mode of the local APICs, with the reason.
    pub apic_mode: Choice,
    /// The FADT, if it is valid.
    pub fadt: Option<Fadt>,
    /// The HPET table, if it is valid.
    pub hpet: Option<Hpet>,
}

static MACHINE: Once<Machine> = Once::new();

/// The machine; `None` before it is discovered at boot.
///
/// Context: any.
pub fn machine() -> Option<&'static Machine> {
    MACHINE.get()
}

/// Reads the tables and finds the I/O APICs. Invalid entries are logged and ignored.
///
/// # Safety
///
/// Must be called once, on the boot CPU; needs about 96 KiB of stack.
pub(crate) unsafe fn discover(boot: &'static BootInfo) -> &'static Machine {
    let (options, _) = Options::parse(&boot.command_line);
    let mut placement = Placement::new(&boot.memory, physical_address_bits());
    if let Ok(base) = local::base_register() {
        placement.add("local APIC", base.address, PAGE);
    }
    let tables = find_tables(boot, &placement);
    let fadt = read_fadt(tables.as_ref());
    let hpet = read_hpet(tables.as_ref(), &mut placement);
    let (mut topology, mut problems) = read_madt(tables.as_ref(), options.maxcpus);
    let apic_mode = choose(&topology, tables.as_ref(), options.apic);
    topology.restrict_to(apic_mode.mode, &mut problems);
    // The placement lacks the ranges of the MCFG: they are checked against the I/O APICs that
    // respond.
    // SAFETY: Once, on the boot CPU, and nothing uses an I/O APIC.
    let io_apics = unsafe { io::probe(&topology, &placement) };
    let pins = |entry: &IoApic| {
        let address = u64::from(entry.address);
        let found = io_apics.iter().find(|found| found.address == address)?;
        // At most 120 pins, so the number fits.
        u8::try_from(found.pins).ok()
    };
    topology.set_pins(pins, &mut problems);
    io::install(io_apics, &topology);
    log_problems(&problems);
    let id_layout = IdLayout::detect(cpuid_registers);
    MACHINE.call_once(|| Machine {
        boot,
        tables,
        topology,
        problems,
        id_layout,
        apic_mode,
        fadt,
        hpet,
    })
}

fn find_tables(boot: &BootInfo, placement: &Placement<'_>) -> Option<Tables> {
    match Tables::find(boot, placement) {
        Ok(tables) => {
            for problem in &tables.problems {
                log::warn!("acpi: {problem}; left out");
            }
            Some(tables)
        }
        Err(problems) => {
            for problem in problems {
                log::warn!("acpi: {problem}; left out");
            }
            log::warn!("acpi: there is no sound root table; only this CPU will run");
            None
        }
    }
}

#[inline(never)]
fn read_madt(tables: Option<&Tables>, max_cpus: Option<u32>) -> (Topology, Problems) {
    let bsp = local::own_id();
    let alone = || (Topology::without_madt(bsp), Problems::default());
    let Some(tables) = tables else { return alone() };
    let Some(bytes) = tables.get(Signature::MADT) else {
        log::warn!("acpi: there is no MADT; only this CPU will run");
        return alone();
    };
    match Madt::parse(bytes) {
        Ok(madt) => Topology::from_madt(&madt, bsp, max_cpus),
        Err(error) => {
            log::warn!("acpi: {error}; only this CPU will run");
            alone()
        }
    }
}

fn read_fadt(tables: Option<&Tables>) -> Option<Fadt> {
    match fadt::parse(tables?.get(Signature::FADT)?) {
        Ok((fadt, problem)) => {
            if let Some(problem) = problem {
                log::warn!("acpi: {problem}; the PM timer is not used");
            }
            Some(fadt)
        }
        Err(error) => {
            log::warn!("acpi: {error}; left out");
            None
        }
    }
}

/// The HPET table, if an HPET is at its address; then the registers are in `placement`.
fn read_hpet(tables: Option<&Tables>, placement: &mut Placement<'_>) -> Option<Hpet> {
    let tables = tables?;
    let hpet = match hpet::parse(tables.get(Signature::HPET)?) {
        Ok(hpet) => hpet,
        Err(error) => {
            log::warn!("acpi: {error}; left out");
            return None;
        }
    };
    let address = hpet.address;
    if let Err(error) = placement.check(address, HPET_LENGTH) {
        log::warn!("acpi: HPET at {address:#x} cannot be {error}; not used");
        return None;
    }
    // An I/O APIC or configuration space may be there instead.
    // SAFETY: Firmware reports registers at this address, and neither the memory map nor an earlier
    // table contradicts this. Only the first register is read, which has no side effects in any of
    // these cases.
    let probe = unsafe { Probe::map(address, HPET_LENGTH, Use::Device) };
    let probe = probe
        .inspect_err(|error| {
            log::warn!("acpi: HPET at {address:#x} cannot be mapped: {error}; not used");
        })
        .ok()?;
    // SAFETY: The range stays mapped while `probe` lives, and is only read.
    let registers = unsafe { Mmio::new(probe.address(), HPET_LENGTH) };
    let capabilities = registers.read(CAPABILITIES);
    if Clock::hpet(capabilities).is_none() {
        log::warn!(
            "acpi: HPET at {address:#x}: capabilities {capabilities:#x} are impossible; not used"
        );
        return None;
    }
    let id = capabilities as u32;
    if id != hpet.hardware_id && is_in_config_space(tables, address) {
        log::warn!(
            "acpi: HPET at {address:#x}: in PCI configuration space, with ID {id:#x} instead of {:#x}; not used",
            hpet.hardware_id
        );
        return None;
    }
    probe.keep();
    placement.add("HPET", address, HPET_LENGTH);
    Some(hpet)
}

/// Whether the MCFG lists PCI configuration space at an address.
fn is_in_config_space(tables: &Tables, address: u64) -> bool {
    let Some(Ok(table)) = tables.get(Signature::MCFG).map(mcfg::parse) else {
        return false;
    };
    table.segments().flatten().any(|segment| {
        let (start, length) = segment.value.memory();
        (start..start.saturating_add(length)).contains(&address)
    })
}

/// Chooses the mode of the local APICs. If the command line requests a mode that is not available,
/// this is logged, and the kernel makes the choice.
fn choose(topology: &Topology, tables: Option<&Tables>, option: ModeOption) -> Choice {
    let dmar = tables.and_then(|tables| tables.get(Signature::DMAR));
    let opt_out = match dmar.map(Dmar::parse) {
        Some(Ok(table)) => table.opts_out_of_x2apic(),
        Some(Err(error)) => {
            log::warn!("acpi: {error}; left out");
            false
        }
        None => false,
    };
    let situation = |option| Situation {
        option,
        has_x2apic: cpuid(1, 0).ecx & 1 << 21 != 0,
        bsp: local::own_id(),
        highest: topology.highest_apic_id(),
        firmware_x2apic: local::base_register().is_ok_and(|base| base.state == State::X2Apic),
        locked: is_x2apic_locked(),
        opt_out,
    };
    choose_mode(&situation(option)).unwrap_or_else(|refusal| {
        log::warn!("apic: {refusal}; chosen as with apic=auto");
        choose_mode(&situation(ModeOption::Auto)).unwrap_or_else(|refusal| {
            log::warn!("apic: {refusal}");
            Choice {
                mode: Mode::XApic,
                reason: tocsin_logic::apic::mode::Reason::NoX2Apic,
                leaves_out_cpus: true,
            }
        })
    })
}

/// Whether the processor is locked in x2APIC mode (Intel, "`LEGACY_XAPIC_DISABLED`").
fn is_x2apic_locked() -> bool {
    const IA32_ARCH_CAPABILITIES: u32 = 0x10a;
    const IA32_XAPIC_DISABLE_STATUS: u32 = 0xbd;
    if cpuid(7, 0).edx & 1 << 29 == 0 {
        return false;
    }
    // SAFETY: CPUID reports the register.
    let capabilities = unsafe { read_msr(IA32_ARCH_CAPABILITIES) };
    // SAFETY: Bit 21 reports that the register exists.
    capabilities & 1 << 21 != 0 && unsafe { read_msr(IA32_XAPIC_DISABLE_STATUS) } & 1 != 0
}

fn log_problems(problems: &Problems) {
    for problem in problems.iter().filter(|problem| !problem.is_note()) {
        log::warn!("acpi: {problem}");
    }
    if problems.dropped() > 0 {
        log::warn!(
            "acpi: MADT: {} more problems are not kept",
            problems.dropped()
        );
    }
}

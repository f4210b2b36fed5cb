//! The signatures of tables and their descriptions.

use super::Text;
use core::fmt;

/// The signature of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 4]);

impl Signature {
    /// The root pointer, as errors name it. Its real signature has eight letters, and it is not a
    /// table.
    pub const RSDP: Self = Self(*b"RSDP");
    /// The root table with 32-bit addresses.
    pub const RSDT: Self = Self(*b"RSDT");
    /// The root table with 64-bit addresses.
    pub const XSDT: Self = Self(*b"XSDT");
    /// The MADT.
    pub const MADT: Self = Self(*b"APIC");
    /// The FADT.
    pub const FADT: Self = Self(*b"FACP");
    /// The HPET table.
    pub const HPET: Self = Self(*b"HPET");
    /// The MCFG table, of memory-mapped PCI configuration space.
    pub const MCFG: Self = Self(*b"MCFG");
    /// The DMAR table, of Intel's remapping hardware.
    pub const DMAR: Self = Self(*b"DMAR");

    /// Returns the common name of the table: MADT for `APIC`, FADT for `FACP`, otherwise the
    /// signature. A signature of four zero bytes is `????`.
    #[must_use]
    pub fn short_name(&self) -> impl fmt::Display + '_ {
        let Self(letters) = match *self {
            Self::MADT => Self(*b"MADT"),
            Self::FADT => Self(*b"FADT"),
            Self([0, 0, 0, 0]) => Self(*b"????"),
            other => other,
        };
        Text(letters)
    }

    /// Returns a short description of the table; `None` for an unknown signature. Signatures that
    /// begin with `OEM` belong to the manufacturer.
    #[must_use]
    pub fn describe(&self) -> Option<&'static str> {
        if self.0.starts_with(b"OEM") {
            return Some("the maker's own");
        }
        let index = KNOWN
            .binary_search_by_key(&&self.0, |(letters, _)| letters)
            .ok()?;
        Some(KNOWN[index].1)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text(self.0).fmt(f)
    }
}

/// The signatures that ACPI chapter 5 lists (tables 5.5 and 5.6), sorted.
pub(super) const KNOWN: [(&[u8; 4], &str); 74] = [
    (b"AEST", "Arm error sources"),
    (b"AGDI", "Arm diagnostic dump"),
    (b"APIC", "interrupt controllers and CPUs (MADT)"),
    (b"APMT", "Arm performance monitors"),
    (b"ASPT", "AMD secure processor"),
    (b"BDAT", "BIOS data"),
    (b"BERT", "boot errors"),
    (b"BGRT", "boot logo"),
    (b"BOOT", "simple boot flag"),
    (b"CCEL", "confidential-computing event log"),
    (b"CDIT", "component distances"),
    (b"CEDT", "CXL early discovery"),
    (b"CPEP", "corrected platform errors polling"),
    (b"CRAT", "component resources"),
    (b"CSRT", "core system resources"),
    (b"DBG2", "debug ports"),
    (b"DBGP", "debug port"),
    (b"DMAR", "DMA and interrupt remapping (VT-d)"),
    (b"DRTM", "dynamic root of trust"),
    (b"DSDT", "AML: the machine's devices"),
    (b"DTPR", "DMA protected ranges"),
    (b"ECDT", "embedded controller"),
    (b"EINJ", "error injection"),
    (b"ERST", "error records"),
    (b"ETDT", "event timer (obsolete)"),
    (b"FACP", "fixed hardware (FADT)"),
    (b"FACS", "firmware control"),
    (b"FPDT", "firmware performance"),
    (b"GTDT", "Arm timers"),
    (b"HEST", "hardware error sources"),
    (b"HMAT", "memory attributes"),
    (b"HPET", "high precision event timer"),
    (b"IBFT", "iSCSI boot firmware"),
    (b"IERS", "inline encryption"),
    (b"IORT", "Arm I/O remapping"),
    (b"IVRS", "I/O virtualisation (AMD IOMMU)"),
    (b"KEYP", "link encryption keys"),
    (b"LPIT", "low-power idle states"),
    (b"MCFG", "PCI configuration memory"),
    (b"MCHI", "management controller"),
    (b"MHSP", "Microsoft Pluton"),
    (b"MPAM", "Arm memory partitioning"),
    (b"MPST", "memory power states"),
    (b"MSCT", "maximum system characteristics"),
    (b"MSDM", "Microsoft licence"),
    (b"NBFT", "NVMe boot firmware"),
    (b"NFIT", "non-volatile memory"),
    (b"PCCT", "platform communication channels"),
    (b"PDTT", "platform debug triggers"),
    (b"PHAT", "platform health"),
    (b"PMTT", "memory topology"),
    (b"PPTT", "processor properties"),
    (b"PRMT", "platform run-time mechanism"),
    (b"PSDT", "AML: more devices (obsolete)"),
    (b"RASF", "RAS features"),
    (b"RHCT", "RISC-V hart capabilities"),
    (b"RSDT", "root table, 32-bit"),
    (b"SBST", "smart battery"),
    (b"SDEI", "software-delegated exceptions"),
    (b"SDEV", "secure devices"),
    (b"SLIC", "Microsoft licence (old)"),
    (b"SLIT", "distances between memory domains"),
    (b"SPCR", "serial console"),
    (b"SRAT", "memory domains of CPUs and memory"),
    (b"SSDT", "AML: more devices"),
    (b"STAO", "Xen status override"),
    (b"TCPA", "TPM 1.2"),
    (b"TPM2", "TPM 2.0"),
    (b"UEFI", "UEFI data"),
    (b"WAET", "Windows emulated devices"),
    (b"WDAT", "watchdog actions"),
    (b"WDRT", "watchdog resources"),
    (b"WPBT", "Windows platform binary"),
    (b"XSDT", "root table, 64-bit"),
];

//! The local APIC's registers: where each lies in either form.
//!
//! xAPIC: offsets in the 4 KiB page (SDM vol. 3A, table 12-1). x2APIC: MSRs 800h
//! to 83Fh (table 12-6), at 800h + offset / 16, save for what only one form has.

use core::fmt;

/// A register of the local APIC. 32 bits wide, but for the x2APIC's ICR of 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Register {
    /// Local APIC ID.
    Id,
    /// Version.
    Version,
    /// Task priority.
    Tpr,
    /// Arbitration priority. xAPIC only, and not in current CPUs.
    Apr,
    /// Processor priority.
    Ppr,
    /// End of interrupt; write only. The x2APIC takes 0 and nothing else.
    Eoi,
    /// Remote read. xAPIC only, and not in current CPUs.
    Rrd,
    /// Logical destination. In x2APIC mode read only.
    Ldr,
    /// Destination format. xAPIC only.
    Dfr,
    /// Spurious-interrupt vector.
    Svr,
    /// In service: 32 vectors each, from `32 * n`; n is 0 to 7.
    Isr(Part),
    /// Trigger mode, likewise.
    Tmr(Part),
    /// Interrupt request, likewise.
    Irr(Part),
    /// Error status. Write 0 before reading, which latches it.
    Esr,
    /// LVT entry for corrected machine checks.
    LvtCmci,
    /// Interrupt command. In xAPIC form the low half, whose write sends.
    Icr,
    /// The high half of the interrupt command. xAPIC only.
    IcrHigh,
    /// LVT entry of the timer.
    LvtTimer,
    /// LVT entry of the thermal sensor.
    LvtThermal,
    /// LVT entry of the performance counters.
    LvtPerformance,
    /// LVT entry of pin LINT0.
    LvtLint0,
    /// LVT entry of pin LINT1.
    LvtLint1,
    /// LVT entry of the APIC's own errors.
    LvtError,
    /// The timer's initial count.
    TimerInitial,
    /// The timer's current count; read only.
    TimerCurrent,
    /// The timer's divide configuration.
    TimerDivide,
    /// Self IPI; write only. x2APIC only.
    SelfIpi,
}

/// Which eighth of the 256 vectors: 0 to 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Part(u8);

impl Part {
    /// All eight, the lowest vectors first.
    pub const ALL: [Self; 8] = [
        Self(0),
        Self(1),
        Self(2),
        Self(3),
        Self(4),
        Self(5),
        Self(6),
        Self(7),
    ];

    /// The part with this number, or `None` above 7.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < 8 { Some(Self(number)) } else { None }
    }

    /// The part that a vector is in; its bit there is `vector % 32`.
    #[must_use]
    pub const fn of(vector: u8) -> Self {
        Self(vector >> 5)
    }

    /// Its number, 0 to 7.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Register {
    /// The MSR of the x2APIC's first register.
    pub const MSR_BASE: u32 = 0x800;

    /// The registers that stand alone: all but ISR, TMR and IRR.
    pub const SINGLE: [Self; 24] = [
        Self::Id,
        Self::Version,
        Self::Tpr,
        Self::Apr,
        Self::Ppr,
        Self::Eoi,
        Self::Rrd,
        Self::Ldr,
        Self::Dfr,
        Self::Svr,
        Self::Esr,
        Self::LvtCmci,
        Self::Icr,
        Self::IcrHigh,
        Self::LvtTimer,
        Self::LvtThermal,
        Self::LvtPerformance,
        Self::LvtLint0,
        Self::LvtLint1,
        Self::LvtError,
        Self::TimerInitial,
        Self::TimerCurrent,
        Self::TimerDivide,
        Self::SelfIpi,
    ];

    /// The offset that the register has, or would have, in the xAPIC's page.
    #[inline]
    const fn offset(self) -> u16 {
        match self {
            Self::Id => 0x20,
            Self::Version => 0x30,
            Self::Tpr => 0x80,
            Self::Apr => 0x90,
            Self::Ppr => 0xa0,
            Self::Eoi => 0xb0,
            Self::Rrd => 0xc0,
            Self::Ldr => 0xd0,
            Self::Dfr => 0xe0,
            Self::Svr => 0xf0,
            Self::Isr(part) => 0x100 + 0x10 * part.0 as u16,
            Self::Tmr(part) => 0x180 + 0x10 * part.0 as u16,
            Self::Irr(part) => 0x200 + 0x10 * part.0 as u16,
            Self::Esr => 0x280,
            Self::LvtCmci => 0x2f0,
            Self::Icr => 0x300,
            Self::IcrHigh => 0x310,
            Self::LvtTimer => 0x320,
            Self::LvtThermal => 0x330,
            Self::LvtPerformance => 0x340,
            Self::LvtLint0 => 0x350,
            Self::LvtLint1 => 0x360,
            Self::LvtError => 0x370,
            Self::TimerInitial => 0x380,
            Self::TimerCurrent => 0x390,
            Self::TimerDivide => 0x3e0,
            Self::SelfIpi => 0x3f0,
        }
    }

    /// The offset in the xAPIC's page, in bytes; `None` if only the x2APIC has
    /// the register.
    #[inline]
    #[must_use]
    pub const fn xapic_offset(self) -> Option<u16> {
        match self {
            Self::SelfIpi => None,
            _ => Some(self.offset()),
        }
    }

    /// The number of the x2APIC's MSR; `None` if only the xAPIC has the register.
    #[inline]
    #[must_use]
    pub const fn x2apic_msr(self) -> Option<u32> {
        match self {
            Self::Apr | Self::Rrd | Self::Dfr | Self::IcrHigh => None,
            _ => Some(Self::MSR_BASE + (self.offset() >> 4) as u32),
        }
    }

    /// The SDM's short name; of ISR, TMR and IRR without the part.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "ID",
            Self::Version => "version",
            Self::Tpr => "TPR",
            Self::Apr => "APR",
            Self::Ppr => "PPR",
            Self::Eoi => "EOI",
            Self::Rrd => "RRD",
            Self::Ldr => "LDR",
            Self::Dfr => "DFR",
            Self::Svr => "SVR",
            Self::Isr(_) => "ISR",
            Self::Tmr(_) => "TMR",
            Self::Irr(_) => "IRR",
            Self::Esr => "ESR",
            Self::LvtCmci => "LVT CMCI",
            Self::Icr => "ICR",
            Self::IcrHigh => "ICR high",
            Self::LvtTimer => "LVT timer",
            Self::LvtThermal => "LVT thermal",
            Self::LvtPerformance => "LVT performance",
            Self::LvtLint0 => "LVT LINT0",
            Self::LvtLint1 => "LVT LINT1",
            Self::LvtError => "LVT error",
            Self::TimerInitial => "timer initial count",
            Self::TimerCurrent => "timer current count",
            Self::TimerDivide => "timer divide",
            Self::SelfIpi => "self IPI",
        }
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Isr(part) | Self::Tmr(part) | Self::Irr(part) => {
                write!(f, "{}{}", self.name(), part.0)
            }
            _ => f.pad(self.name()),
        }
    }
}

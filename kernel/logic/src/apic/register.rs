//! The registers of the local APIC and their locations in both modes.
//!
//! xAPIC: offsets in the 4 KiB page (SDM vol. 3A, table 12-1). x2APIC: MSRs 800h to 83Fh (table
//! 12-6), at 800h + offset / 16, except for registers that only one mode has.

use core::fmt;

/// A register of the local APIC. All are 32 bits wide, except the 64-bit ICR of the x2APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Register {
    /// Local APIC ID.
    Id,
    /// Version.
    Version,
    /// Task priority.
    Tpr,
    /// Arbitration priority. xAPIC only, and absent from current CPUs.
    Apr,
    /// Processor priority.
    Ppr,
    /// End of interrupt; write-only. In x2APIC mode only the value 0 may be written.
    Eoi,
    /// Remote read. xAPIC only, and absent from current CPUs.
    Rrd,
    /// Logical destination. Read-only in x2APIC mode.
    Ldr,
    /// Destination format. xAPIC only.
    Dfr,
    /// Spurious-interrupt vector.
    Svr,
    /// In-service register: 32 vectors for each part n (0 to 7), starting at `32 * n`.
    Isr(Part),
    /// Trigger mode register, with the same parts.
    Tmr(Part),
    /// Interrupt request register, with the same parts.
    Irr(Part),
    /// Error status. Software writes 0 before it reads; the write latches the status.
    Esr,
    /// LVT entry for corrected machine checks (CMCI).
    LvtCmci,
    /// Interrupt command. In xAPIC mode the low half; writing it sends the IPI.
    Icr,
    /// The high half of the interrupt command register. xAPIC only.
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
    /// LVT entry for errors of the APIC itself.
    LvtError,
    /// The timer's initial count.
    TimerInitial,
    /// The timer's current count; read-only.
    TimerCurrent,
    /// The timer's divide configuration.
    TimerDivide,
    /// Self IPI; write-only. x2APIC only.
    SelfIpi,
}

/// A part of the ISR, TMR or IRR: one eighth of the 256 vectors, 0 to 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Part(u8);

impl Part {
    /// All eight parts, in ascending order of vectors.
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

    /// Returns the part with this number, or `None` above 7.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < 8 { Some(Self(number)) } else { None }
    }

    /// Returns the part that contains a vector; the vector's bit in it is `vector % 32`.
    #[must_use]
    pub const fn of(vector: u8) -> Self {
        Self(vector >> 5)
    }

    /// Returns the number, 0 to 7.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Register {
    /// The MSR of the x2APIC's first register.
    pub const MSR_BASE: u32 = 0x800;

    /// The registers without parts: all except ISR, TMR and IRR.
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

    /// The offset that the register has, or would have, in the xAPIC page.
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

    /// Returns the offset in the xAPIC page, in bytes; `None` if only the x2APIC has the register.
    #[inline]
    #[must_use]
    pub const fn xapic_offset(self) -> Option<u16> {
        match self {
            Self::SelfIpi => None,
            _ => Some(self.offset()),
        }
    }

    /// Returns the number of the x2APIC MSR; `None` if only the xAPIC has the register.
    #[inline]
    #[must_use]
    pub const fn x2apic_msr(self) -> Option<u32> {
        match self {
            Self::Apr | Self::Rrd | Self::Dfr | Self::IcrHigh => None,
            _ => Some(Self::MSR_BASE + (self.offset() >> 4) as u32),
        }
    }

    /// Returns the short name that the SDM uses; for ISR, TMR and IRR without the part.
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

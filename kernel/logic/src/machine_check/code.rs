//! MCACOD, the architectural error code (SDM vol. 3B, 17.9, tables 17-9 to 17-15).

use core::fmt;

/// An MCA error code, by its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// No error.
    None,
    /// Unclassified error.
    Unclassified,
    /// Parity error in the microcode ROM.
    MicrocodeRomParity,
    /// BINIT# from another CPU.
    External,
    /// The functional redundancy check found a difference between the two CPUs.
    RedundancyCheck,
    /// Internal parity error.
    InternalParity,
    /// SMM code execution outside its ranges.
    SmmCodeAccess,
    /// Internal timer error.
    InternalTimer,
    /// I/O error.
    Io,
    /// Unclassified internal error; the ten low bits.
    Internal(u16),
    /// Generic cache hierarchy error.
    Cache {
        /// The level of the cache.
        level: Level,
        /// Whether later corrected errors of this kind are filtered.
        filtered: bool,
    },
    /// TLB error.
    Tlb {
        /// Instruction, data or both.
        transaction: Transaction,
        /// The level of the TLB.
        level: Level,
        /// Whether later corrected errors of this kind are filtered.
        filtered: bool,
    },
    /// Memory controller error.
    Memory {
        /// Whether the memory is used as a cache (extended memory).
        extended: bool,
        /// The operation of the controller.
        transaction: MemoryTransaction,
        /// The channel; `None` if it is unknown.
        channel: Option<u8>,
        /// Whether later corrected errors of this kind are filtered.
        filtered: bool,
    },
    /// Cache error with the request that caused it.
    CacheRequest {
        /// The request.
        request: Request,
        /// Instruction, data or both.
        transaction: Transaction,
        /// The level of the cache.
        level: Level,
        /// Whether later corrected errors of this kind are filtered.
        filtered: bool,
    },
    /// Bus or interconnect error.
    Bus {
        /// The role of this CPU.
        participation: Participation,
        /// Whether the request timed out.
        timeout: bool,
        /// The request.
        request: Request,
        /// Memory, I/O or other.
        space: Space,
        /// The level in the hierarchy.
        level: Level,
        /// Whether later corrected errors of this kind are filtered.
        filtered: bool,
    },
    /// None of the forms that the architecture defines.
    Unknown(u16),
}

macro_rules! field {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal, $meaning:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = $meaning] $variant,)*
        }

        impl $name {
            /// The values in the order of their codes.
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            fn from_bits(bits: u16) -> Option<Self> {
                Self::ALL.get(usize::from(bits)).copied()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self {
                    $(Self::$variant => $text,)*
                })
            }
        }
    };
}

field! {
    /// LL: the level in the hierarchy (table 17-12).
    Level {
        L0 = "L0", "Level 0.";
        L1 = "L1", "Level 1.";
        L2 = "L2", "Level 2.";
        Generic = "LG", "Any, or not known.";
    }
}
field! {
    /// TT: the kind of transaction (table 17-11).
    Transaction {
        Instruction = "I", "Instruction.";
        Data = "D", "Data.";
        Generic = "G", "Either, or not known.";
    }
}
field! {
    /// RRRR: the request (table 17-13).
    Request {
        Generic = "ERR", "Any, or not known.";
        Read = "RD", "Read, of any kind.";
        Write = "WR", "Write, of any kind.";
        DataRead = "DRD", "Data read.";
        DataWrite = "DWR", "Data write.";
        InstructionFetch = "IRD", "Instruction fetch.";
        Prefetch = "PREFETCH", "Prefetch.";
        Eviction = "EVICT", "Eviction.";
        Snoop = "SNOOP", "Snoop.";
    }
}
field! {
    /// PP: the role of this CPU in a bus transaction (table 17-14).
    Participation {
        Source = "SRC", "It made the request.";
        Responder = "RES", "It answered the request.";
        Observer = "OBS", "It saw the error as a third party.";
        Generic = "GEN", "Not known.";
    }
}
field! {
    /// II: the target of a bus transaction (table 17-14).
    Space {
        Memory = "M", "Memory.";
        Reserved = "II01", "Not assigned.";
        Io = "IO", "I/O.";
        Other = "OTHER", "Another kind of transaction.";
    }
}
field! {
    /// MMM: the operation of a memory controller (table 17-15).
    MemoryTransaction {
        Generic = "GEN", "Not known.";
        Read = "RD", "Reading.";
        Write = "WR", "Writing.";
        AddressCommand = "AC", "Sending an address or a command.";
        Scrub = "MS", "Scrubbing.";
    }
}

impl ErrorCode {
    /// Decodes MCACOD.
    #[must_use]
    pub fn decode(code: u16) -> Self {
        Self::simple(code)
            .or_else(|| Self::compound(code))
            .unwrap_or(Self::Unknown(code))
    }

    fn simple(code: u16) -> Option<Self> {
        Some(match code {
            0x0000 => Self::None,
            0x0001 => Self::Unclassified,
            0x0002 => Self::MicrocodeRomParity,
            0x0003 => Self::External,
            0x0004 => Self::RedundancyCheck,
            0x0005 => Self::InternalParity,
            0x0006 => Self::SmmCodeAccess,
            0x0400 => Self::InternalTimer,
            0x0e0b => Self::Io,
            0x0401..=0x07ff => Self::Internal(code & 0x3ff),
            _ => return None,
        })
    }

    /// The compound codes. All of them include bit 12, F.
    fn compound(code: u16) -> Option<Self> {
        let filtered = code & 1 << 12 != 0;
        let form = code & !(1 << 12);
        let level = Level::from_bits(form & 3)?;
        let transaction = Transaction::from_bits(form >> 2 & 3);
        let request = Request::from_bits(form >> 4 & 0xf);
        Some(match form {
            0x000c..=0x000f => Self::Cache { level, filtered },
            0x0010..=0x001f => Self::Tlb {
                transaction: transaction?,
                level,
                filtered,
            },
            0x0080..=0x00ff | 0x0280..=0x02ff => Self::Memory {
                extended: form & 0x200 != 0,
                transaction: MemoryTransaction::from_bits(form >> 4 & 7)?,
                channel: Some(form as u8 & 0xf).filter(|&channel| channel != 0xf),
                filtered,
            },
            0x0100..=0x01ff => Self::CacheRequest {
                request: request?,
                transaction: transaction?,
                level,
                filtered,
            },
            0x0800..=0x0fff => Self::Bus {
                participation: Participation::from_bits(form >> 9 & 3)?,
                timeout: form & 1 << 8 != 0,
                request: request?,
                space: Space::from_bits(form >> 2 & 3)?,
                level,
                filtered,
            },
            _ => return None,
        })
    }

    const fn filtered(self) -> bool {
        match self {
            Self::Cache { filtered, .. }
            | Self::Tlb { filtered, .. }
            | Self::Memory { filtered, .. }
            | Self::CacheRequest { filtered, .. }
            | Self::Bus { filtered, .. } => filtered,
            _ => false,
        }
    }
}

/// Displays compound codes by the names that the SDM constructs, such as
/// `BUSLG_SRC_ERR_M_NOTIMEOUT_ERR`.
impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::None => f.write_str("no error"),
            Self::Unclassified => f.write_str("unclassified error"),
            Self::MicrocodeRomParity => f.write_str("microcode ROM parity error"),
            Self::External => f.write_str("external error (BINIT#)"),
            Self::RedundancyCheck => f.write_str("functional redundancy check error"),
            Self::InternalParity => f.write_str("internal parity error"),
            Self::SmmCodeAccess => f.write_str("SMM handler code access violation"),
            Self::InternalTimer => f.write_str("internal timer error"),
            Self::Io => f.write_str("I/O error"),
            Self::Internal(bits) => write!(f, "internal unclassified error {bits:#05x}"),
            Self::Cache { level, .. } => write!(f, "generic cache hierarchy error, {level}"),
            Self::Tlb {
                transaction, level, ..
            } => write!(f, "{transaction}TLB{level}_ERR"),
            Self::Memory {
                extended,
                transaction,
                channel,
                ..
            } => {
                f.write_str(if extended { "EXT_MEM_" } else { "" })?;
                write!(f, "{transaction}_CHANNEL")?;
                match channel {
                    Some(channel) => write!(f, "{channel}_ERR"),
                    None => f.write_str("?_ERR"),
                }
            }
            Self::CacheRequest {
                request,
                transaction,
                level,
                ..
            } => {
                write!(f, "{transaction}CACHE{level}_{request}_ERR")
            }
            Self::Bus {
                participation,
                timeout,
                request,
                space,
                level,
                ..
            } => {
                let timeout = if timeout { "TIMEOUT" } else { "NOTIMEOUT" };
                write!(
                    f,
                    "BUS{level}_{participation}_{request}_{space}_{timeout}_ERR"
                )
            }
            Self::Unknown(code) => write!(f, "unknown MCA error code {code:#06x}"),
        }?;
        if self.filtered() {
            f.write_str(" (later corrected errors not reported)")?;
        }
        Ok(())
    }
}

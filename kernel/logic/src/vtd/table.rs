//! Root and context tables: the way from a source ID to its page tables (3.4, 9.1, 9.3).

use core::fmt;

use super::{Capability, Command, DomainId, Levels, Memory, PAGE, SourceId};

/// The address bits of an entry.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// P.
const PRESENT: u64 = 1;

/// The size of an entry in bytes.
const ENTRY: u64 = 16;

/// A context entry, of legacy mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Physical address of the top-level page table.
    pub page_table: u64,
    /// The number of levels.
    pub levels: Levels,
    /// The domain.
    pub domain: DomainId,
    /// Whether the function may also send translation requests and translated requests.
    pub device_tlb: bool,
    /// FPD: faults of the function are not recorded.
    pub silent: bool,
}

/// A violation of the layout, for which a unit blocks requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// A reserved bit is 1.
    Reserved,
    /// A field has a reserved value.
    Field,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reserved => "a reserved bit is set",
            Self::Field => "a field has a reserved value",
        })
    }
}

impl core::error::Error for Invalid {}

impl Context {
    /// The two words of the entry.
    #[must_use]
    pub const fn encode(self) -> [u64; 2] {
        let low = self.page_table & ADDRESS
            | (self.device_tlb as u64) << 2
            | (self.silent as u64) << 1
            | PRESENT;
        let high = (self.domain.0 as u64) << 8 | self.levels.field() as u64;
        [low, high]
    }

    /// Reads an entry; `Ok(None)` if it is not present.
    ///
    /// # Errors
    ///
    /// [`Invalid`], if a unit rejects it.
    pub const fn decode([low, high]: [u64; 2]) -> Result<Option<Self>, Invalid> {
        if low & PRESENT == 0 {
            return Ok(None);
        }
        if low & !(ADDRESS | 0xf) != 0 || high & !0x00ff_ff7f != 0 {
            return Err(Invalid::Reserved);
        }
        let device_tlb = match low >> 2 & 3 {
            0 => false,
            1 => true,
            _ => return Err(Invalid::Field),
        };
        let Some(levels) = Levels::from_field(high as u8 & 7) else {
            return Err(Invalid::Field);
        };
        Ok(Some(Self {
            page_table: low & ADDRESS,
            levels,
            domain: DomainId((high >> 8) as u16),
            device_tlb,
            silent: low & 2 != 0,
        }))
    }
}

/// The word of a root entry for this context table. The second word is 0.
#[must_use]
pub const fn root_entry(context_table: u64) -> u64 {
    context_table & ADDRESS | PRESENT
}

/// Reads a root entry: the address of the context table; `Ok(None)` if it is not present.
///
/// # Errors
///
/// [`Invalid::Reserved`].
pub const fn context_table([low, high]: [u64; 2]) -> Result<Option<u64>, Invalid> {
    if low & PRESENT == 0 {
        return Ok(None);
    }
    if low & !(ADDRESS | PRESENT) != 0 || high != 0 {
        return Err(Invalid::Reserved);
    }
    Ok(Some(low & ADDRESS))
}

/// The reason why a context entry was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError<E> {
    /// There is no memory for a table.
    NoMemory,
    /// A command failed. The table has been changed, but the unit may still use the old entry.
    Command(E),
}

impl<E: fmt::Display> fmt::Display for TableError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory => f.write_str("there is no memory for a table"),
            Self::Command(error) => error.fmt(f),
        }
    }
}

impl<E: core::error::Error> core::error::Error for TableError<E> {}

impl<E> From<E> for TableError<E> {
    fn from(error: E) -> Self {
        Self::Command(error)
    }
}

/// The address of the root entry of a source.
const fn root_address(root: u64, source: SourceId) -> u64 {
    root + source.bus() as u64 * ENTRY
}

/// Reads the context entry of a source, as it is in memory.
pub fn context<M: Memory>(memory: &M, root: u64, source: SourceId) -> Option<Context> {
    let words = |address| [memory.read(address), memory.read(address + 8)];
    let table = context_table(words(root_address(root, source))).ok()??;
    Context::decode(words(table + u64::from(source.devfn()) * ENTRY)).ok()?
}

/// Sets or removes the context entry of a source, and makes the unit use it: when this returns, no
/// request is translated by the old entry.
///
/// # Errors
///
/// [`TableError`].
pub fn set_context<M: Memory>(
    memory: &mut M,
    capability: Capability,
    root: u64,
    source: SourceId,
    context: Option<Context>,
) -> Result<(), TableError<M::Error>> {
    let address = root_address(root, source);
    let table = match memory.read(address) & ADDRESS {
        0 if context.is_none() => return Ok(()),
        0 => {
            let table = memory.allocate().ok_or(TableError::NoMemory)?;
            memory.write(address, root_entry(table));
            table
        }
        table => table,
    };
    let entry = table + u64::from(source.devfn()) * ENTRY;
    let old = [memory.read(entry), memory.read(entry + 8)];
    // Not present while half of it is new (6.5.3.3).
    if old[0] & PRESENT != 0 {
        memory.write(entry, 0);
    }
    let [low, high] = context.map_or([0, 0], Context::encode);
    memory.write(entry + 8, high);
    memory.write(entry, low);
    let old_domain = DomainId((old[1] >> 8) as u16);
    let was_present = old[0] & PRESENT != 0;
    if was_present {
        memory.execute(&[
            Command::Context(source, old_domain),
            Command::Domain(old_domain),
        ])?;
    } else if capability.caching_mode() {
        // Entries that are not present are cached with domain 0 (6.1).
        memory.execute(&[
            Command::Context(source, DomainId(0)),
            Command::Domain(DomainId(0)),
        ])?;
    }
    Ok(())
}

/// The number of context entries of a table.
pub const CONTEXTS: u64 = PAGE / ENTRY;

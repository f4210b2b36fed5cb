//! A unit with caches that are as large as the specification permits: an entry stays until a
//! command invalidates it. A request through an entry that differs from the tables in memory is an
//! error of the driver, which a real unit would not report.

use crate::vtd::irte::{self, Irte};
use crate::vtd::mapping::{Mapped, Tables};
use crate::vtd::table::{self, Context};
use crate::vtd::{Capability, Command, DomainId, Memory, PAGE, SourceId};
use std::collections::{BTreeMap, HashMap};
use std::vec::Vec;

/// Domain 0 tags the entries that are cached as not present.
const ABSENT: DomainId = DomainId(0);

/// The unit, its tables in memory, and its caches.
pub(super) struct Unit {
    pub(super) capability: Capability,
    pub(super) root: u64,
    pub(super) interrupts: irte::Table,
    /// Whether commands are executed. Otherwise they are lost, as by a driver that forgets them.
    pub(super) is_attentive: bool,
    /// The number of tables that can still be allocated.
    pub(super) left: usize,
    words: HashMap<u64, u64>,
    next_table: u64,
    contexts: HashMap<SourceId, (DomainId, Option<Context>)>,
    translations: BTreeMap<(DomainId, u64), Option<Mapped>>,
    entries: HashMap<u16, Option<Irte>>,
    /// All commands, in order.
    pub(super) commands: Vec<Command>,
}

impl Unit {
    pub(super) fn new(capability: u64) -> Self {
        Self {
            capability: Capability(capability),
            root: 0x1000,
            interrupts: irte::Table {
                address: 0x10_0000,
                entries: 256,
                extended: true,
            },
            is_attentive: true,
            left: usize::MAX,
            words: HashMap::new(),
            next_table: 0x20_0000,
            contexts: HashMap::new(),
            translations: BTreeMap::new(),
            entries: HashMap::new(),
            commands: Vec::new(),
        }
    }

    /// A domain with empty page tables, for this function.
    pub(super) fn attach(&mut self, source: SourceId, domain: u16) -> Tables {
        let tables = Tables {
            root: self.allocate().expect("memory"),
            levels: self.capability.levels().expect("a number of levels"),
            domain: DomainId(domain),
        };
        self.set_context(source, Some(&tables));
        tables
    }

    pub(super) fn set_context(&mut self, source: SourceId, tables: Option<&Tables>) {
        let context = tables.map(|tables| Context {
            page_table: tables.root,
            levels: tables.levels,
            domain: tables.domain,
            device_tlb: false,
            silent: false,
        });
        let (capability, root) = (self.capability, self.root);
        table::set_context(self, capability, root, source, context).expect("memory for a table");
    }

    /// Whether entries that are not present are cached.
    fn caches_absent(&self) -> bool {
        self.capability.caching_mode()
    }

    /// The physical address that an access reaches; `None` if it is blocked.
    pub(super) fn access(&mut self, source: SourceId, address: u64, write: bool) -> Option<u64> {
        let context = self.context(source)?;
        let tables = Tables {
            root: context.page_table,
            levels: context.levels,
            domain: context.domain,
        };
        let key = (context.domain, address / PAGE);
        let now = tables.translate(self, address);
        let cached = *self.translations.get(&key).unwrap_or(&now);
        assert_eq!(
            cached, now,
            "stale translation of {address:#x} for {source}"
        );
        if now.is_some() || self.caches_absent() {
            self.translations.insert(key, now);
        }
        let page = now?;
        let permitted = if write {
            page.rights.writes()
        } else {
            page.rights.reads()
        };
        permitted.then_some(page.physical + (address - page.address))
    }

    fn context(&mut self, source: SourceId) -> Option<Context> {
        let now = table::context(self, self.root, source);
        let (_, cached) = *self.contexts.get(&source).unwrap_or(&(ABSENT, now));
        assert_eq!(cached, now, "stale context entry of {source}");
        if now.is_some() || self.caches_absent() {
            let domain = now.map_or(ABSENT, |it| it.domain);
            self.contexts.insert(source, (domain, now));
        }
        now
    }

    /// The entry by which a message is delivered; `None` if it is blocked.
    pub(super) fn interrupt(&mut self, source: SourceId, index: u16) -> Option<Irte> {
        let now = self.interrupts.read(self, index);
        let cached = *self.entries.get(&index).unwrap_or(&now);
        assert_eq!(cached, now, "stale interrupt entry {index}");
        if now.is_some() || self.caches_absent() {
            self.entries.insert(index, now);
        }
        now.filter(|it| it.accepts.accepts(source))
    }

    fn run(&mut self, command: Command) {
        match command {
            Command::AllContexts => self.contexts.clear(),
            Command::Context(source, domain) => {
                self.contexts
                    .retain(|&of, &mut (tag, _)| of != source || tag != domain);
            }
            Command::AllDomains => self.translations.clear(),
            Command::Domain(domain) => self.translations.retain(|&(of, _), _| of != domain),
            Command::Pages {
                domain,
                address,
                mask,
                ..
            } => {
                assert!(
                    address.is_multiple_of(PAGE << mask),
                    "a block that is not aligned"
                );
                let pages = address / PAGE..(address / PAGE) + (1 << mask);
                self.translations
                    .retain(|&(of, page), _| of != domain || !pages.contains(&page));
            }
            Command::AllInterrupts => self.entries.clear(),
            Command::Interrupts { index, mask } => {
                self.entries.retain(|&of, _| of >> mask != index >> mask);
            }
            Command::DeviceTlb { .. } | Command::Wait { .. } => {}
        }
    }
}

impl Memory for Unit {
    type Error = core::convert::Infallible;

    fn read(&self, address: u64) -> u64 {
        assert!(address.is_multiple_of(8));
        self.words.get(&address).copied().unwrap_or(0)
    }

    fn write(&mut self, address: u64, value: u64) {
        assert!(address.is_multiple_of(8));
        self.words.insert(address, value);
    }

    fn allocate(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        self.next_table += PAGE;
        Some(self.next_table)
    }

    fn execute(&mut self, commands: &[Command]) -> Result<(), Self::Error> {
        for &command in commands {
            self.commands.push(command);
            if self.is_attentive {
                self.run(command);
            }
        }
        Ok(())
    }
}

//! Tests of `page_tables`.

use super::*;
use std::collections::HashMap;

/// Tables by physical address; reading another one is an error.
struct Memory(HashMap<u64, Vec<u8>>);

impl Memory {
    fn set(&mut self, table: u64, index: usize, entry: u64) {
        let bytes = self.0.entry(table).or_insert_with(|| vec![0; 4096]);
        bytes[index * 8..][..8].copy_from_slice(&entry.to_le_bytes());
    }

    fn walk(&self) -> Result<Vec<Mapping>, String> {
        let mut found = Vec::new();
        let mut read = |table| self.0.get(&table).cloned().ok_or(format!("{table:#x}"));
        walk_table(&mut read, 0x1000, 4, 0, ALL, &mut found)?;
        Ok(found)
    }
}

#[test]
fn rights_are_those_of_all_levels() {
    let mut memory = Memory(HashMap::new());
    let (p, w, u) = (PRESENT, WRITABLE, USER);
    memory.set(0x1000, 511, 0x2000 | p | w);
    memory.set(0x2000, 510, 0x3000 | p | w | u);
    memory.set(0x3000, 1, 0x4000 | p);
    memory.set(
        0x3000,
        2,
        0x0060_0000 | p | w | LARGE | NO_EXECUTE | 1 << 12,
    );
    memory.set(0x4000, 0, 0x0020_0000 | p | w);
    memory.set(0x4000, 1, 0x0020_1000 | p | w);
    memory.set(0x4000, 2, 0x0030_0000 | p | w | NO_EXECUTE);
    let rights = |write, execute| Rights {
        write,
        execute,
        user: false,
    };
    let mapping = |start, size, physical, rights| Mapping {
        start,
        size,
        physical,
        rights,
    };
    assert_eq!(
        memory.walk().unwrap(),
        [
            mapping(
                0xffff_ffff_8020_0000,
                0x2000,
                0x20_0000,
                rights(false, true)
            ),
            mapping(
                0xffff_ffff_8020_2000,
                0x1000,
                0x30_0000,
                rights(false, false)
            ),
            mapping(
                0xffff_ffff_8040_0000,
                0x20_0000,
                0x60_0000,
                rights(true, false)
            ),
        ]
    );
    let first = memory.walk().unwrap()[0];
    assert!(first.contains(0xffff_ffff_8020_1fff) && !first.contains(0xffff_ffff_8020_2000));
    assert!(first.maps(0x20_1fff) && !first.maps(0x20_2000) && !first.maps(0));
}

#[test]
fn a_gigabyte_is_one_page() {
    let mut memory = Memory(HashMap::new());
    memory.set(0x1000, 0, 0x2000 | PRESENT | USER);
    memory.set(0x2000, 3, 0xc000_0000 | PRESENT | USER | LARGE);
    let mapping = memory.walk().unwrap()[0];
    assert_eq!((mapping.start, mapping.size), (0xc000_0000, 1 << 30));
    assert!(mapping.rights.user && mapping.rights.execute && !mapping.rights.write);
    memory.set(0x1000, 1, 0x9000 | PRESENT);
    assert_eq!(memory.walk(), Err("0x9000".to_owned()));
}

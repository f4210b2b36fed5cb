//! The table that `sources` prints: the interrupts that each source has raised, and those received.

use std::sync::LazyLock;

use regex::Regex;

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The source and its mode, such as `PIT one-shot`.
    pub what: String,
    /// The CPU that handled the interrupts.
    pub cpu: u32,
    /// The vector on that CPU.
    pub vector: u8,
    /// Number of interrupts raised; an estimate if the row has a `~`.
    pub raised: u64,
    /// Number of interrupts received with a cause in the device.
    pub received: u64,
    /// Number of interrupts received without a cause.
    pub empty: u64,
    /// The input: `GSI 2, pin 2 of I/O APIC 0, active high, edge (...)`.
    pub arrives: String,
}

/// The rows in the output of `sources`.
#[must_use]
pub fn rows(text: &str) -> Vec<Row> {
    static ROW: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = r"(?m)^  (\S.*?) +(\d+)  +0x([0-9a-f]{2})  +~?(\d+)  +(\d+)  +(\d+)  +[0-9.]+ [num]?s  (.*?)\r?$";
        Regex::new(pattern).expect("the pattern is part of this program")
    });
    let number = |text: &str| text.parse().unwrap_or(u64::MAX);
    let rows = ROW.captures_iter(text).map(|row| Row {
        what: row[1].to_owned(),
        cpu: row[2].parse().unwrap_or(u32::MAX),
        vector: u8::from_str_radix(&row[3], 16).unwrap_or_default(),
        raised: number(&row[4]),
        received: number(&row[5]),
        empty: number(&row[6]),
        arrives: row[7].to_owned(),
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_rows_and_nothing_else() {
        let text = "  source                     CPU  vector  raised  received  empty      time  arrives at\r\n  \
                    PIT masked                   1  0x50      ~2         1      0    2.8 ms  GSI 2, pin 2\r\n  \
                    HPET 0 message one-shot     12  0x51      20        20      3      12 s  message of HPET comparator 0\n  \
                    com2: this machine has no COM2: no 16550 answers at port 0x2f8\n";
        let found = rows(text);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0],
            Row {
                what: "PIT masked".to_owned(),
                cpu: 1,
                vector: 0x50,
                raised: 2,
                received: 1,
                empty: 0,
                arrives: "GSI 2, pin 2".to_owned(),
            }
        );
        assert_eq!(
            (found[1].cpu, found[1].vector, found[1].empty),
            (12, 0x51, 3)
        );
    }
}

//! Interrupt counts of the kernel (`irqs`) and of QEMU (its delivery log).

use std::collections::BTreeMap;

/// Number of deliveries of each vector from 32 up, on all CPUs together.
pub type Counts = BTreeMap<u8, u64>;

/// The sums of the table that `irqs` prints.
///
/// # Errors
///
/// If a row lacks a sum.
pub fn counted_by_kernel(text: &str) -> Result<Counts, String> {
    let table = text
        .lines()
        .skip_while(|line| !line.trim_start().starts_with("vector  class "));
    let Some(columns) = table
        .clone()
        .next()
        .map(|header| header.matches("CPU ").count())
    else {
        return Err(format!("no table of interrupts in:\n{text}"));
    };
    let mut counts = Counts::new();
    for line in table.skip(1) {
        let Some((vector, rest)) = line
            .trim_start()
            .strip_prefix("0x")
            .and_then(|row| row.split_once(' '))
        else {
            break;
        };
        let vector = u8::from_str_radix(vector, 16).map_err(|e| format!("{line}: {e}"))?;
        // After the class come the CPUs that have a column, then all CPUs.
        let sum = rest.split_whitespace().nth(1 + columns);
        let sum = sum.and_then(|sum| sum.parse().ok());
        counts.insert(vector, sum.ok_or(format!("no sum in {line:?}"))?);
    }
    Ok(counts)
}

/// The vectors that QEMU delivered, in the order of its log, made with `-d int`. They include those
/// that the 8259s delivered to firmware.
pub fn vectors_by_qemu(log: &str) -> impl Iterator<Item = u8> {
    let vectors = log
        .lines()
        .filter_map(|line| line.split_once("Servicing hardware INT=0x"));
    vectors.filter_map(|(_, vector)| u8::from_str_radix(vector.trim(), 16).ok())
}

/// Number of deliveries of each vector in QEMU's log, made with `-d int`.
#[must_use]
pub fn delivered_by_qemu(log: &str) -> Counts {
    let mut counts = Counts::new();
    for vector in vectors_by_qemu(log) {
        *counts.entry(vector).or_default() += 1;
    }
    counts
}

/// The kernel's counts, if they match QEMU's deliveries. `text` contains the table of `irqs`, and
/// `log` is QEMU's.
///
/// # Errors
///
/// If there is no table, or the counts differ; names a vector for which they do.
pub fn counted_by_both(text: &str, log: &str) -> Result<Counts, String> {
    let counted = counted_by_kernel(text)?;
    let mut delivered = delivered_by_qemu(log);
    // Deliveries before the counting began, and vectors below 32, are not in the table.
    delivered.retain(|&vector, _| vector >= 32);
    let count = |counts: &Counts, vector| counts.get(vector).copied().unwrap_or_default();
    for vector in counted.keys().chain(delivered.keys()) {
        let (by_kernel, by_qemu) = (count(&counted, vector), count(&delivered, vector));
        if by_kernel != by_qemu {
            return Err(format!(
                "vector {vector:#04x}: the kernel counted {by_kernel}, QEMU delivered {by_qemu}"
            ));
        }
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_sums_of_the_table() {
        let text = "  vectors that had a line        167\ntocsin> irqs\n  vector  class      CPU 0      CPU 1   all CPUs\n  \
                    0x0020      2         40         45         85\n  \
                    0x00f0     15          0          2          2  nobody answers now\ntocsin> ";
        let expected = Counts::from([(0x20, 85), (0xf0, 2)]);
        assert_eq!(counted_by_kernel(text), Ok(expected));
        assert!(counted_by_kernel("nothing").is_err());
    }

    #[test]
    fn both_must_agree() {
        let text = "  vector  class      CPU 0   all CPUs\n  0x0020      2          2          2\n";
        let line = "Servicing hardware INT=0x";
        let log = format!("{line}08\n{line}20\n{line}20\n");
        assert_eq!(counted_by_both(text, &log), Ok(Counts::from([(0x20, 2)])));
        for (more, vector) in [("20", "0x20"), ("21", "0x21")] {
            let error = counted_by_both(text, &format!("{log}{line}{more}\n")).unwrap_err();
            assert!(error.starts_with(&format!("vector {vector}: ")), "{error}");
        }
        let error = counted_by_both(text, "").unwrap_err();
        assert_eq!(error, "vector 0x20: the kernel counted 2, QEMU delivered 0");
    }

    #[test]
    fn reads_what_the_log_names() {
        let log = "0: v=20\nServicing hardware INT=0x20\nServicing hardware INT=0xf0\nServicing hardware INT=0x20\n";
        let vectors: Vec<u8> = vectors_by_qemu(log).collect();
        assert_eq!(vectors, [0x20, 0xf0, 0x20]);
        assert_eq!(delivered_by_qemu(log), Counts::from([(0x20, 2), (0xf0, 1)]));
    }
}

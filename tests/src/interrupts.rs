//! Interrupt counts of the kernel (`irqs json`) and of QEMU (its delivery log).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::records;

/// Number of deliveries of each vector from 32 up, on all CPUs together.
pub type Counts = BTreeMap<u8, u64>;

/// A record of `irqs json`, of kind `irq`.
#[derive(Debug, Deserialize)]
pub struct Irq {
    /// The vector.
    pub vector: u8,
    /// The number of interrupts of each CPU.
    pub cpus: Vec<CpuCount>,
    /// The number of interrupts of all CPUs.
    pub count: u64,
    /// `kernel`, `lines` or `none`.
    pub owner: String,
}

/// The number of interrupts of a CPU.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct CpuCount {
    /// The kernel's CPU number.
    pub cpu: u32,
    /// The number of interrupts.
    pub count: u64,
}

/// The sums of all CPUs, from the output of `irqs json`.
///
/// # Errors
///
/// If there is no record, or a sum is not that of the CPUs.
pub fn counted_by_kernel(text: &str) -> Result<Counts, String> {
    let mut counts = Counts::new();
    for irq in records::all::<Irq>(text, "irq")? {
        if irq.count != irq.cpus.iter().map(|cpu| cpu.count).sum::<u64>() {
            return Err(format!("the sum is wrong: {irq:?}"));
        }
        counts.insert(irq.vector, irq.count);
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

/// The kernel's counts, if they match QEMU's deliveries. `text` contains the output of `irqs json`,
/// and `log` is QEMU's.
///
/// # Errors
///
/// If there is no record, or the counts differ; names a vector for which they do.
pub fn counted_by_both(text: &str, log: &str) -> Result<Counts, String> {
    let counted = counted_by_kernel(text)?;
    let mut delivered = delivered_by_qemu(log);
    // Deliveries before the counting began, and vectors below 32, are not in the records.
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

    /// A record of a vector that CPU 0 and CPU 1 counted.
    fn irq(vector: u8, cpus: [u64; 2], count: u64) -> String {
        let [first, second] = cpus;
        format!(
            "@json {{\"kind\":\"irq\",\"vector\":{vector},\"cpus\":[{{\"cpu\":0,\"count\":{first}}},\
             {{\"cpu\":1,\"count\":{second}}}],\"count\":{count},\"owner\":\"none\"}}\n"
        )
    }

    #[test]
    fn reads_the_sums() {
        let text = format!(
            "tocsin> irqs json\n{}{}",
            irq(0x20, [40, 45], 85),
            irq(0xf0, [0, 2], 2)
        );
        let expected = Counts::from([(0x20, 85), (0xf0, 2)]);
        assert_eq!(counted_by_kernel(&text), Ok(expected));
        assert!(counted_by_kernel("nothing").is_err());
        let error = counted_by_kernel(&irq(0x20, [1, 2], 2)).unwrap_err();
        assert!(error.starts_with("the sum is wrong"), "{error}");
    }

    #[test]
    fn both_must_agree() {
        let text = &irq(0x20, [2, 0], 2);
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

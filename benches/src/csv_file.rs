//! Figures as comma-separated values, one row each, for spreadsheets and scripts.

#[cfg(test)]
mod tests;

use crate::results::Results;

const HEAD: [&str; 16] = [
    "clock", "name", "param", "variant", "apic", "cpus", "unit", "samples", "rounds", "overhead",
    "min", "p50", "p90", "p99", "p99_9", "max",
];

/// The whole file.
pub fn of(results: &Results) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing to memory cannot fail, and all rows are as long as the head.
    let fits = "memory takes every row";
    writer.write_record(HEAD).expect(fits);
    for figure in &results.figures {
        let key = &figure.key;
        let mut row = vec![
            key.clock.to_string(),
            key.name.clone(),
            key.params(),
            key.variant.clone(),
            key.apic.clone(),
            key.cpus.to_string(),
            figure.unit.clone(),
            figure.samples.to_string(),
            figure.rounds.len().to_string(),
            figure.overhead.to_string(),
        ];
        row.extend(figure.summary.values().map(|value| value.to_string()));
        writer.write_record(row).expect(fits);
    }
    let bytes = writer.into_inner().expect(fits);
    String::from_utf8(bytes).expect("fields are text")
}

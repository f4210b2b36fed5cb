//! Tests of `csv_file`.

use super::*;
use crate::fixtures;

#[test]
fn every_metric_has_a_row_of_its_own() {
    let mut results = fixtures::results();
    results.peers = fixtures::peers();
    let text = of(&results);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let head = reader.headers().unwrap().clone();
    let at = |name: &str| head.iter().position(|known| known == name).unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let (own, others) = rows.split_at(results.metrics.len());
    for (row, metric) in own.iter().zip(&results.metrics) {
        assert_eq!(
            (&row[at("kernel")], &row[at("name")]),
            ("tocsin", metric.key.name.as_str())
        );
        assert_eq!(row[at("p50")].parse::<u64>().unwrap(), metric.summary.p50);
        assert_eq!(row[at("max")].parse::<u64>().unwrap(), metric.summary.max);
    }
    let values: Vec<_> = others
        .iter()
        .map(|row| ["kernel", "name", "cpus", "p50", "mean", "beside"].map(|name| &row[at(name)]))
        .collect();
    assert_eq!(
        values,
        [
            [
                "kvm-unit-tests",
                "x2apic_self_ipi_sti_nop",
                "4",
                "",
                "8000",
                "self_ipi.round_trip"
            ],
            ["Linux", "irq_work", "4", "9000", "", "self_ipi.round_trip"],
        ]
    );
}

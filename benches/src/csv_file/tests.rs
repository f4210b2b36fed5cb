//! Tests of `csv_file`.

use super::*;
use crate::fixtures;

#[test]
fn every_figure_has_a_row_of_its_own() {
    let results = fixtures::results();
    let text = of(&results);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), results.figures.len());
    for (row, figure) in rows.iter().zip(&results.figures) {
        assert_eq!(&row[1], figure.key.name);
        assert_eq!(row[11].parse::<u64>().unwrap(), figure.summary.p50);
    }
}

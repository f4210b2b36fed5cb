//! Tests of `series`.

use super::*;

#[test]
fn a_series_is_summed_up() {
    let series = Series::of(&[5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
    assert!((series.median - 3.0).abs() < 1e-9);
    assert!((series.spread - 2.0).abs() < 1e-9);
    assert!((series.least - 1.0).abs() < 1e-9 && (series.most - 5.0).abs() < 1e-9);
    assert!((series.all[0] - 5.0).abs() < 1e-9);
    let series = Series::of(&[1.0, 2.0]).unwrap();
    assert!((series.median - 1.5).abs() < 1e-9 && (series.spread - 0.5).abs() < 1e-9);
    let series = Series::of(&[7.0]).unwrap();
    assert!((series.median - 7.0).abs() < 1e-9 && series.spread.abs() < 1e-9);
    assert_eq!(Series::of(&[]), None);
}

//! Tests of `figures`.

use super::*;

#[test]
fn a_series_is_summed_up() {
    let figures = Figures::of(&[5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
    assert!((figures.median - 3.0).abs() < 1e-9);
    assert!((figures.spread - 2.0).abs() < 1e-9);
    assert!((figures.least - 1.0).abs() < 1e-9 && (figures.most - 5.0).abs() < 1e-9);
    assert!((figures.all[0] - 5.0).abs() < 1e-9);
    let figures = Figures::of(&[1.0, 2.0]).unwrap();
    assert!((figures.median - 1.5).abs() < 1e-9 && (figures.spread - 0.5).abs() < 1e-9);
    let figures = Figures::of(&[7.0]).unwrap();
    assert!((figures.median - 7.0).abs() < 1e-9 && figures.spread.abs() < 1e-9);
    assert_eq!(Figures::of(&[]), None);
}

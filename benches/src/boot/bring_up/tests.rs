//! Tests of `bring_up`.

use super::*;

fn close(left: Option<f64>, right: f64) -> bool {
    left.is_some_and(|left| (left - right).abs() < 1e-9)
}

#[test]
fn durations_have_units() {
    assert!(close(in_milliseconds("11.9 ms"), 11.9));
    assert!(close(in_milliseconds("850 ns"), 0.00085));
    assert!(close(in_milliseconds("2 us"), 0.002));
    assert!(close(in_milliseconds("3.0 s"), 3000.0));
    assert_eq!(in_milliseconds("12"), None);
    assert_eq!(in_milliseconds("one ms"), None);
    assert_eq!(in_milliseconds("1 h"), None);
}

#[test]
fn counts_are_compared_by_their_medians() {
    let times = OTHERS.map(|others| vec![f64::from(others), 1.0, 1000.0]);
    let rows = rows(&times);
    assert_eq!(rows.len(), OTHERS.len());
    assert!(close(ratio(&rows), 16.0));
    assert_eq!(ratio(&rows[..2]), None);
}

//! Tests of `columns`.

use super::*;

#[test]
fn columns_are_as_wide_as_their_cells() {
    let rows = [
        ["name", "unit", "value", "none"],
        ["a long one", "us", "1", ""],
        ["b", "", "1234567", ""],
    ]
    .map(|row| row.map(str::to_owned).to_vec());
    assert_eq!(
        aligned(&rows, &["name", "unit"]),
        "name        unit    value\n\
         a long one  us          1\n\
         b                 1234567\n"
    );
    assert_eq!(aligned(&[], &[]), "");
}

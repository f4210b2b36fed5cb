//! Tests of `test`.

use super::*;

#[test]
fn result_lines_are_counted() {
    let line = "test result: FAILED. 10 passed; 1 failed; 2 ignored; 0 measured; \
                3 filtered out; finished in 1.30s";
    let counts = Counts {
        passed: 10,
        failed: 1,
        skipped: 2,
    };
    assert_eq!(counts_in(line), Some(counts));
    assert_eq!(counts_in("test result: ok"), None);
    assert_eq!(counts_in("running 3 tests"), None);
}

//! Parser for the monitor's machine-readable records: lines that consist of `@json ` and an object.

#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;
use serde_json::Value;

const MARK: &str = "@json ";

/// The records of this kind in the output of a command whose last argument is `json`, in order.
///
/// # Errors
///
/// A record is not JSON or lacks a member of `T`.
pub fn any<T: DeserializeOwned>(output: &str, kind: &str) -> Result<Vec<T>, String> {
    let mut found = Vec::new();
    for line in output.lines().filter_map(|line| line.strip_prefix(MARK)) {
        let of_line = |error: serde_json::Error| format!("{error}: {line}");
        let record: Value = serde_json::from_str(line).map_err(of_line)?;
        if record["kind"] == kind {
            found.push(serde_json::from_value(record).map_err(of_line)?);
        }
    }
    Ok(found)
}

/// As [`any`], with at least one record.
///
/// # Errors
///
/// As [`any`]; or there is no record of this kind.
pub fn all<T: DeserializeOwned>(output: &str, kind: &str) -> Result<Vec<T>, String> {
    let found = any(output, kind)?;
    if found.is_empty() {
        return Err(format!("there is no record of kind {kind:?} in:\n{output}"));
    }
    Ok(found)
}

/// The only record of this kind.
///
/// # Errors
///
/// As [`all`]; or there are several.
pub fn one<T: DeserializeOwned>(output: &str, kind: &str) -> Result<T, String> {
    let mut records = all(output, kind)?;
    match (records.pop(), records.len()) {
        (Some(record), 0) => Ok(record),
        _ => Err(format!(
            "there are several records of kind {kind:?} in:\n{output}"
        )),
    }
}

/// Whether a record has all members of the object `expected`, which include its kind. Of a member
/// that is an object, only the listed members count.
///
/// # Errors
///
/// Those of [`all`].
pub fn contain(output: &str, expected: &Value) -> Result<bool, String> {
    let kind = expected["kind"].as_str().unwrap_or_default();
    let records: Vec<Value> = all(output, kind)?;
    Ok(records.iter().any(|record| includes(record, expected)))
}

fn includes(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => expected
            .iter()
            .all(|(name, value)| found.get(name).is_some_and(|found| includes(found, value))),
        _ => found == expected,
    }
}

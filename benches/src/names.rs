//! The metrics' names, the groups in which the kernel measures them, and the selection of metrics.
//!
//! They are known before a machine is booted, so that a misspelt name is reported immediately.

#[cfg(test)]
mod tests;

use tocsin_tools::metrics::GROUPS;
use tocsin_tools::settings::BadSetting;

use crate::error::BenchError;

/// Whether `name` selects this metric of this group: it is the group's name, or a prefix of the
/// metric's.
fn asks(name: &str, group: &str, metric: &str) -> bool {
    group == name || metric.starts_with(name)
}

/// The group that measures a metric.
fn group_of(metric: &str) -> &str {
    let known = GROUPS.iter().find(|(_, metrics)| metrics.contains(&metric));
    let prefix = || metric.split('.').next().unwrap_or_default();
    known.map_or_else(prefix, |&(group, _)| group)
}

/// Whether one of `names` selects a metric, or `names` is empty.
pub fn is_selected(metric: &str, names: &[String]) -> bool {
    names.is_empty()
        || names
            .iter()
            .any(|name| asks(name, group_of(metric), metric))
}

/// The groups that measure the metrics selected by `names`, each once, in the order of the names.
pub fn groups(names: &[String]) -> Vec<String> {
    let mut groups: Vec<String> = Vec::new();
    for name in names {
        for &(group, metrics) in GROUPS {
            let is_selected = metrics.iter().any(|metric| asks(name, group, metric));
            if is_selected && !groups.iter().any(|known| known == group) {
                groups.push(group.to_owned());
            }
        }
    }
    groups
}

/// The names in a variable or option, which are passed on the kernel's command line in quotes.
///
/// # Errors
///
/// One of them is neither a group nor a prefix of a metric.
pub fn parse(variable: &'static str, value: &str) -> Result<Vec<String>, BenchError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._".contains(c);
    let names = value.split([',', ' ']).filter(|name| !name.is_empty());
    let names: Vec<_> = names.map(str::to_owned).collect();
    if !names.iter().all(|name| name.chars().all(plain)) {
        let accepted = "give groups or prefixes of metrics, such as self_ipi or ipi,call.wait";
        return Err(BadSetting::new(variable, value, "no metric has such a name", accepted).into());
    }
    match names
        .iter()
        .find(|name| groups(&[(*name).clone()]).is_empty())
    {
        None => Ok(names),
        Some(name) => Err(BenchError::Name {
            setting: format!("{variable}={value}"),
            name: name.clone(),
            known: known(),
        }),
    }
}

/// All groups and their metrics, one group per line.
fn known() -> String {
    let lines = GROUPS
        .iter()
        .map(|(group, metrics)| format!("  {group:<12}{}", metrics.join(" ")));
    lines.collect::<Vec<_>>().join("\n")
}

//! Names of Linux kernels, derived from their releases.

#[cfg(test)]
mod tests;

/// Parts of a release that do not distinguish the kernels of one run.
const COMMON: [&str; 2] = ["amd64", "generic"];

/// The names of kernels with these releases: the version and the flavour, as `Linux 6.12 rt`; the
/// whole release for kernels that this does not distinguish.
pub fn names(releases: &[String]) -> Vec<String> {
    let short: Vec<_> = releases.iter().map(|release| short(release)).collect();
    let is_unique = |name: &String| short.iter().filter(|other| *other == name).count() == 1;
    let pairs = releases.iter().zip(&short);
    let names = pairs.map(|(release, name)| {
        if is_unique(name) {
            name.clone()
        } else {
            format!("Linux {release}")
        }
    });
    names.collect()
}

/// The version's first two numbers, and the flavour.
fn short(release: &str) -> String {
    let mut parts = release.split('-');
    let version = parts.next().unwrap_or_default();
    let numbers: Vec<_> = version.split(['.', '+']).take(2).collect();
    let is_flavour =
        |part: &&str| part.chars().all(|c| c.is_ascii_alphabetic()) && !COMMON.contains(part);
    let flavours = parts.filter(is_flavour);
    let words = ["Linux".to_owned(), numbers.join(".")].into_iter();
    let words = words.chain(flavours.map(str::to_owned));
    words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

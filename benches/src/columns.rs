//! Tables for the terminal, with columns as wide as their contents.

#[cfg(test)]
mod tests;

/// Lays out rows, the first of which is the header: `left` names the left-aligned columns, all
/// others are right-aligned. A column without contents is omitted.
pub fn aligned(rows: &[Vec<String>], left: &[&str]) -> String {
    let Some((head, body)) = rows.split_first() else {
        return String::new();
    };
    let is_used = |at: usize| body.iter().any(|row| !row[at].is_empty());
    let columns: Vec<_> = (0..head.len())
        .filter(|&at| at == 0 || is_used(at))
        .map(|at| {
            let widths = rows.iter().map(|row| row[at].chars().count());
            (
                at,
                widths.max().unwrap_or_default(),
                left.contains(&head[at].as_str()),
            )
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let cells = columns
            .iter()
            .map(|&(at, width, is_left)| match (&row[at], is_left) {
                (cell, true) => format!("{cell:<width$}"),
                (cell, false) => format!("{cell:>width$}"),
            });
        out += cells.collect::<Vec<_>>().join("  ").trim_end();
        out.push('\n');
    }
    out
}

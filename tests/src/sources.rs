//! The records of `sources json`: the interrupts that each source has raised, and those received.

use serde::Deserialize;
use serde_json::Value;

use crate::records;

/// A record of kind `source_run`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SourceRun {
    /// The source, such as `pit`.
    pub source: String,
    /// The number of the HPET's comparator.
    pub comparator: Option<u8>,
    /// The trigger mode of the comparator's input, or `message`.
    pub trigger: Option<String>,
    /// The mode, such as `one_shot`.
    pub mode: String,
    /// The rate of a periodic source.
    pub hertz: Option<u32>,
    /// The CPU that handled the interrupts.
    pub cpu: u32,
    /// The vector on that CPU.
    pub vector: u8,
    /// Number of interrupts raised.
    pub raised: u64,
    /// Whether that number is an estimate.
    pub is_estimate: bool,
    /// Number of interrupts received with a cause in the device.
    pub received: u64,
    /// Number of interrupts received without a cause.
    pub unclaimed: u64,
    /// The route of the pin; `None` for messages.
    pub route: Option<Route>,
}

/// The route of a pin's interrupts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Route {
    /// The GSI.
    pub gsi: u32,
    /// The index of the I/O APIC.
    pub io_apic: usize,
    /// The pin.
    pub pin: u8,
    /// `high` or `low`.
    pub polarity: String,
    /// `edge` or `level`.
    pub trigger: String,
    /// The source of polarity and trigger mode, such as `override`.
    pub mode_source: String,
}

impl SourceRun {
    /// The source, the comparator with its trigger mode, and the mode.
    #[must_use]
    pub fn name(&self) -> String {
        let comparator = self.comparator.map(|number| number.to_string());
        let hertz = self.hertz.map(|hertz| hertz.to_string());
        let parts = [
            Some(&self.source),
            comparator.as_ref(),
            self.trigger.as_ref(),
            Some(&self.mode),
            hertz.as_ref(),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().map(String::as_str).collect();
        parts.join(" ")
    }
}

/// The runs in the output of `sources json`.
///
/// # Errors
///
/// There is none, or a problem.
pub fn runs(output: &str) -> Result<Vec<SourceRun>, String> {
    let problems: Vec<Value> = records::any(output, "source_problem")?;
    if let Some(problem) = problems.first() {
        return Err(format!("{problem} in:\n{output}"));
    }
    records::all(output, "source_run")
}

#[cfg(test)]
mod tests {
    use super::runs;

    const RUN: &str = r#"@json {"kind":"source_run","source":"hpet","comparator":2,"trigger":"edge","mode":"one_shot","hertz":null,"cpu":1,"vector":80,"raised":2,"is_estimate":false,"received":2,"unclaimed":0,"duration_ns":9,"route":null}"#;

    #[test]
    fn runs_are_named() {
        let runs = runs(RUN).unwrap();
        assert_eq!(runs[0].name(), "hpet 2 edge one_shot");
        assert_eq!(runs[0].route, None);
    }

    #[test]
    fn problems_are_errors() {
        let problem = r#"@json {"kind":"source_problem","description":"it is late"}"#;
        let error = runs(&format!("{RUN}\n{problem}")).unwrap_err();
        assert!(error.contains("it is late"), "{error}");
        assert!(runs("").is_err());
    }
}

//! Parser for the kernel's fault reports.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

/// A report of an exception.
#[derive(Debug, Default)]
pub struct Report {
    /// The reporting CPU.
    pub cpu: u32,
    /// Mnemonic and name, such as `#DE divide error`.
    pub title: String,
    /// The vector.
    pub vector: u8,
    /// The address of the instruction in the report.
    pub at: Code,
    /// Error code and its meaning.
    pub error_code: Option<(u64, String)>,
    /// CR2 and a description of that address.
    pub address: Option<(u64, String)>,
    /// The exception's own status register.
    pub status: Option<String>,
    /// Further lines of a machine check, by bank.
    pub banks: Vec<String>,
    /// The current stack.
    pub stack: String,
    /// All registers by name, including `rflags`, `cr0` and `cr4`.
    pub registers: BTreeMap<String, u64>,
    /// The names of the bits that are set in `rflags`, `cr0` and `cr4`.
    pub bits: BTreeMap<String, Vec<String>>,
    /// The backtrace.
    pub backtrace: Vec<Code>,
    /// The state of other CPUs: `stopped`, `silent` or `also`, and the rest of the line.
    pub others: Vec<(String, String)>,
    /// Whether the CPU stopped after the report.
    pub stopped: bool,
}

/// A code address, such as `0xffffffff80200000  name+0x10`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Code {
    /// The address.
    pub address: u64,
    /// The function and the offset in it, if the kernel found them.
    pub symbol: Option<(String, u64)>,
}

impl Code {
    fn parse(text: &str) -> Option<Self> {
        static CODE: LazyLock<Regex> =
            LazyLock::new(|| regex(r"^0x([0-9a-f]{16})(?:  (.+)\+0x([0-9a-f]+))?$"));
        let parts = CODE.captures(text)?;
        let symbol = match (parts.get(2), parts.get(3)) {
            (Some(name), Some(offset)) => Some((name.as_str().to_owned(), hex(offset.as_str())?)),
            _ => None,
        };
        let address = hex(&parts[1])?;
        Some(Self { address, symbol })
    }

    /// Whether it is in a function whose path ends with this text.
    #[must_use]
    pub fn is_in(&self, function: &str) -> bool {
        self.symbol
            .as_ref()
            .is_some_and(|(name, _)| name == function || name.ends_with(&format!("::{function}")))
    }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is part of this program")
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

/// Splits `0x0003: text` into number and text.
fn number_and_text(text: &str) -> Option<(u64, String)> {
    let (number, text) = text.split_once(": ")?;
    let number = number.strip_suffix(" (CR2)").unwrap_or(number);
    Some((hex(number.strip_prefix("0x")?)?, text.to_owned()))
}

impl Report {
    /// The first report of an exception in `output`.
    ///
    /// # Errors
    ///
    /// There is none, or a line in it has an invalid form.
    pub fn parse(output: &str) -> Result<Self, String> {
        static TITLE: LazyLock<Regex> =
            LazyLock::new(|| regex(r"^#### CPU (\d+): (.+) \(vector (\d+)\) #+$"));
        let mut lines = output.lines().skip_while(|line| !TITLE.is_match(line));
        let title = lines.next().ok_or("there is no fault report")?;
        let parts = TITLE.captures(title).ok_or("there is no fault report")?;
        let mut report = Self {
            cpu: parts[1]
                .parse()
                .map_err(|_| format!("bad CPU number: {title}"))?,
            title: parts[2].to_owned(),
            vector: parts[3]
                .parse()
                .map_err(|_| format!("bad vector: {title}"))?,
            ..Self::default()
        };
        // The CPU may print more after its report; all lines of the report are indented.
        let mut lines = lines.peekable();
        while let Some(line) = lines.next_if(|line| line.starts_with(' ')) {
            report
                .take(line)
                .ok_or_else(|| format!("not understood: {line:?}"))?;
        }
        let stopped = format!("#### CPU {} stopped #", report.cpu);
        report.stopped = lines.next().is_some_and(|line| line.starts_with(&stopped));
        Ok(report)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        static FIELD: LazyLock<Regex> =
            LazyLock::new(|| regex(r"^  ([a-z]+(?: [a-z0-9]+)?)\s{2,}(.*)$"));
        static FRAME: LazyLock<Regex> = LazyLock::new(|| regex(r"^\s+(\d+)  (0x.+)$"));
        static VALUE: LazyLock<Regex> = LazyLock::new(|| regex(r"([a-z0-9]+) +0x([0-9a-f]+)"));
        if let Some(frame) = FRAME.captures(line) {
            if frame[1].parse::<usize>().ok()? != self.backtrace.len() {
                return None;
            }
            self.backtrace.push(Code::parse(&frame[2])?);
            return Some(());
        }
        let field = FIELD
            .captures(line)
            .map(|field| (field[1].to_owned(), field[2].to_owned()));
        let name = field.as_ref().map_or("", |(name, _)| name.as_str());
        let text = field.as_ref().map_or("", |(_, text)| text.as_str());
        match name {
            "at" => self.at = Code::parse(text)?,
            "error code" => self.error_code = Some(number_and_text(text)?),
            "address" => self.address = Some(number_and_text(text)?),
            "stopped" | "silent" | "also" => self.others.push((name.to_owned(), text.to_owned())),
            "status" => self.status = Some(text.to_owned()),
            "stack" => text.clone_into(&mut self.stack),
            _ if name.starts_with("bank ") => self.banks.push(format!("{name} {text}")),
            "rflags" | "cr0" | "cr4" if text.len() > 18 && !text.contains("  ") => {
                let (value, bits) = text.split_once(' ')?;
                self.registers
                    .insert(name.to_owned(), hex(value.strip_prefix("0x")?)?);
                let bits = bits.split(' ').map(str::to_owned).collect();
                self.bits.insert(name.to_owned(), bits);
            }
            _ if VALUE.is_match(line) => {
                for value in VALUE.captures_iter(line) {
                    self.registers.insert(value[1].to_owned(), hex(&value[2])?);
                }
            }
            // "backtrace", and lines about its end or about a bank.
            _ => {}
        }
        Some(())
    }

    /// The value of a register.
    ///
    /// # Errors
    ///
    /// The report does not contain it.
    pub fn register(&self, name: &str) -> Result<u64, String> {
        let value = self.registers.get(name).copied();
        value.ok_or_else(|| format!("the report does not show {name}"))
    }
}

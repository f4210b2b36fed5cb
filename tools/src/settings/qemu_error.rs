//! Finds the variables that caused an error message of QEMU.
//!
//! QEMU names its options and objects, not the variable that was set. The words of a message
//! identify the variable; for a message with none of these words, every variable is listed.

/// A variable and its value, as passed to the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The variable, such as `SMP`.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

/// A variable, the words (in lower case) that identify it in a message, and the remedy.
const VARIABLES: &[(&str, &[&str], &str)] = &[
    (
        "MACHINE",
        &["machine type", "-machine.", "by machine '"],
        "`qemu-system-x86_64 -machine help` lists the machines",
    ),
    (
        "CPU",
        &["cpu model", "_64-cpu.", "cpu feature"],
        "`qemu-system-x86_64 -cpu help` lists the models and their features",
    ),
    (
        "SMP",
        &["smp", "cpu topology", "invalid cpu", "maxcpus", "apic id"],
        "give a number of CPUs, or counts whose product it is, as SMP=6,sockets=2,cores=3",
    ),
    (
        "MEM",
        &["memory", " ram", ".ram", "initrd is too large", "phys-bits"],
        "give at least what the kernel needs and at most what the host has, as MEM=512M",
    ),
    ("ACCEL", &["accel", "kvm"], "ACCEL=tcg works everywhere"),
    ("GDB", &["gdb"], "give a free port or a path for a socket"),
];

impl Setting {
    /// A variable with its value.
    #[must_use]
    pub fn new(name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        Self { name, value }
    }

    /// Explains that QEMU exited with `message` before the machine ran: the variables of `all` to
    /// which the message refers, QEMU's own text, and the remedy.
    #[must_use]
    pub fn explain(all: &[Self], message: &str) -> String {
        let lower = message.to_lowercase();
        let mut named = Vec::new();
        let mut advice = Vec::new();
        for setting in all {
            if setting.name == "QEMU_ARGS" {
                if setting.has_option_of(&lower) {
                    named.push(setting);
                    advice.push("QEMU's manual describes its options");
                }
                continue;
            }
            if setting.name == "QEMU" {
                // QEMU's own messages begin with its name.
                if !setting.value.is_empty() && !lower.contains("qemu") {
                    named.push(setting);
                    advice.push("name a QEMU for x86-64, or leave QEMU unset");
                }
                continue;
            }
            let known = VARIABLES.iter().find(|(name, ..)| *name == setting.name);
            if let Some((_, words, what)) = known
                && words.iter().any(|word| lower.contains(word))
            {
                named.push(setting);
                advice.push(what);
            }
        }
        if named.is_empty() {
            named.extend(all.iter().filter(|setting| !setting.value.is_empty()));
            advice.push("check these variables");
        }
        let shown = |setting: &&Self| format!("{}={}", setting.name, setting.value);
        let shown: Vec<String> = named.iter().map(shown).collect();
        let words = match message.trim() {
            "" => "it ended without a message",
            words => words,
        };
        let (shown, advice) = (shown.join(" "), advice.join("; "));
        format!("{shown}: QEMU does not start: {words}; {advice}")
    }

    /// Whether QEMU's message begins with an option of this value, as in `-device edu: ...` and
    /// `-foo: invalid option`.
    fn has_option_of(&self, message: &str) -> bool {
        let words = shell_words::split(&self.value.to_lowercase()).unwrap_or_default();
        let alone = words.iter().map(|word| format!("{word}:"));
        let pairs = words.windows(2).map(|pair| pair.join(" "));
        alone
            .chain(pairs)
            .any(|option| option.starts_with('-') && message.contains(&option))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// QEMU 10's messages, and the variables to which each refers.
    #[test]
    fn messages_are_about_variables() {
        let all = [
            ("SMP", "4"),
            ("MEM", "1M"),
            ("MACHINE", "q35"),
            ("CPU", "max"),
            ("ACCEL", "tcg"),
            ("QEMU_ARGS", "-no-reboot -device nosuch"),
            ("QEMU", ""),
        ]
        .map(|(name, value)| Setting::new(name, value));
        let q = "qemu-system-x86_64: ";
        for (message, variables) in [
            (
                "unsupported machine type: \"toaster\"\nUse -machine help",
                "MACHINE=q35",
            ),
            (
                "Property 'pc-q35-10.0-machine.foo' not found",
                "MACHINE=q35",
            ),
            ("unable to find CPU model 'nosuch'", "CPU=max"),
            ("Property 'max-x86_64-cpu.nosuch' not found", "CPU=max"),
            (
                "Invalid CPU topology: product of the hierarchy must match maxcpus: sockets (1)",
                "SMP=4",
            ),
            (
                "Invalid SMP CPUs 300. The max CPUs supported by machine 'pc-i440fx-10.0' is 255",
                "SMP=4 MACHINE=q35",
            ),
            ("Parameter 'smp.foo' is unexpected", "SMP=4"),
            (
                "cannot set up guest memory 'pc.ram': Cannot allocate memory",
                "MEM=1M",
            ),
            (
                "initrd is too large, cannot support.(max: 884735, need 1245248)",
                "MEM=1M",
            ),
            (
                "-device nosuch: 'nosuch' is not a valid device model name",
                "QEMU_ARGS=-no-reboot -device nosuch",
            ),
            (
                "something new",
                "SMP=4 MEM=1M MACHINE=q35 CPU=max ACCEL=tcg QEMU_ARGS=-no-reboot -device nosuch",
            ),
        ] {
            let output = Setting::explain(&all, &format!("{q}{message}\n"));
            let begin = format!("{variables}: QEMU does not start: {q}{message}; ");
            assert!(output.starts_with(&begin), "{output}");
        }
        let other = [Setting::new("SMP", "4"), Setting::new("QEMU", "cat")];
        for (message, words) in [
            ("", "it ended without a message"),
            ("cat: invalid option\n", "cat: invalid option"),
        ] {
            let output = Setting::explain(&other, message);
            let begin = format!("QEMU=cat: QEMU does not start: {words}; name a QEMU");
            assert!(output.starts_with(&begin), "{output}");
        }
    }
}

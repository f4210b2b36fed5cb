//! The environment variables that describe a machine, for every command that boots one.
//!
//! They are checked here, not by clap, because its messages name options, but users set variables.

use tocsin_logic::command_line::MAX_LENGTH;

use super::{Accel, BadSetting, BootWay, Memory, Setting};
use crate::Machine;

/// All of a machine but its CPUs, whose usual number depends on what it is for. Each is a
/// variable of the environment too.
#[derive(Debug, Clone, clap::Args)]
pub struct MachineArgs {
    /// Memory, as 512M or 8G
    #[arg(long, env = "MEM", default_value = "512M")]
    mem: String,
    /// QEMU's -machine value
    #[arg(long, env = "MACHINE", default_value = "q35")]
    machine: String,
    /// QEMU's -cpu value
    #[arg(long, env = "CPU", default_value = "max")]
    cpu: String,
    /// auto, tcg or kvm
    #[arg(long, env = "ACCEL", default_value = "auto")]
    accel: String,
    /// Kernel command line
    #[arg(long, env = "APPEND", default_value = "", allow_hyphen_values = true)]
    pub append: String,
    /// More arguments for QEMU, quoted as for a shell
    #[arg(
        long = "qemu-args",
        env = "QEMU_ARGS",
        default_value = "",
        allow_hyphen_values = true
    )]
    extra: String,
}

impl MachineArgs {
    /// The machine, with one CPU.
    ///
    /// # Errors
    ///
    /// A value is invalid.
    pub fn machine(&self, way: BootWay) -> Result<Machine, BadSetting> {
        Ok(Machine::new(way)
            .memory(Memory::parse(&self.mem)?)
            .board(nonempty("MACHINE", &self.machine)?)
            .cpu(nonempty("CPU", &self.cpu)?)
            .accel(Accel::parse(&self.accel)?)
            .append(command_line(&self.append)?)
            .args(split_words("QEMU_ARGS", &self.extra)?))
    }

    /// The variables that affect the start of QEMU, with their values.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        [
            ("MEM", &self.mem),
            ("MACHINE", &self.machine),
            ("CPU", &self.cpu),
            ("ACCEL", &self.accel),
            ("QEMU_ARGS", &self.extra),
        ]
        .map(|(name, value)| Setting::new(name, value))
        .into()
    }
}

/// Checks that the kernel can store the whole command line.
fn command_line(value: &str) -> Result<&str, BadSetting> {
    if value.len() <= MAX_LENGTH {
        return Ok(value);
    }
    let begin: String = value.chars().take(40).collect();
    let reason = format!(
        "that is {} bytes long; the kernel keeps {MAX_LENGTH}",
        value.len()
    );
    let accepted = "shorten it, or type the commands at the prompt (standard input, a line each)";
    Err(BadSetting::new(
        "APPEND",
        &format!("{begin}..."),
        &reason,
        accepted,
    ))
}

/// Splits a variable with several arguments by a shell's quoting rules.
fn split_words(name: &'static str, value: &str) -> Result<Vec<String>, BadSetting> {
    shell_words::split(value).map_err(|e| {
        let accepted = "quote it as for a shell";
        BadSetting::new(name, value, &e.to_string(), accepted)
    })
}

/// Checks a variable that must not be empty, such as `MACHINE` and `CPU`.
fn nonempty(name: &'static str, value: &str) -> Result<String, BadSetting> {
    if value.is_empty() {
        let accepted = "leave it out for the default";
        return Err(BadSetting::new(name, value, "that is empty", accepted));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        machine: MachineArgs,
    }

    fn parse(options: &[&str]) -> Result<Machine, BadSetting> {
        let line = ["run", "--accel", "tcg"].iter().chain(options);
        Only::parse_from(line).machine.machine(BootWay::Direct)
    }

    #[test]
    fn a_machine_is_as_described() {
        let machine = parse(&["--mem", "1G", "--machine", "pc"]).unwrap();
        assert_eq!(machine.describe(), "pc, 1 CPU, 1 GiB, TCG");
    }

    #[test]
    fn a_bad_value_names_its_variable() {
        for (option, value, says) in [
            ("--mem", "x", "MEM=x: "),
            ("--machine", "", "MACHINE=: that is empty"),
            ("--cpu", "", "CPU=: that is empty"),
            ("--qemu-args", "-d 'a", "QEMU_ARGS=-d 'a: "),
        ] {
            let why = parse(&[option, value]).unwrap_err().to_string();
            assert!(why.starts_with(says), "{why}");
        }
        let long = "x".repeat(MAX_LENGTH);
        assert!(parse(&["--append", &long]).is_ok());
        let why = parse(&["--append", &(long + "x")]).unwrap_err().to_string();
        let says = format!(
            "APPEND={}...: that is {} bytes long; the kernel keeps {MAX_LENGTH}; ",
            "x".repeat(40),
            MAX_LENGTH + 1
        );
        assert!(why.starts_with(&says), "{why}");
        let words = split_words("QEMU_ARGS", "-d 'a b'").unwrap();
        assert_eq!(words, ["-d", "a b"]);
    }
}

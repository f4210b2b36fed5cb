//! Programs that must not compile: each uses one item of the library on which memory safety
//! depends.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tocsin_tools::workspace;

use crate::Result;

/// The error that the compiler must report.
#[derive(Clone, Copy, Debug)]
pub enum Refusal {
    /// E0133: it is `unsafe`. In an `unsafe` block it compiles.
    Unsafe,
    /// The item, method or field is private.
    Private,
    /// E0308: the type differs from the required one.
    Type,
    /// E0277: the type lacks a required trait.
    Bound,
}

use Refusal::{Bound, Private, Type, Unsafe};

/// Name, expected rejection, and the program's only statement.
type Case = (&'static str, Refusal, &'static str);

pub const CASES: &[Case] = &[
    // Interrupt commands and EOIs.
    ("eoi", Unsafe, "tocsin::apic::local().end_of_interrupt()"),
    (
        "init",
        Unsafe,
        "tocsin::apic::local().send(Icr::init(Destination::Physical(ApicId(1))))",
    ),
    (
        "start_up",
        Unsafe,
        "tocsin::apic::local().send(Icr::start_up(0x7000, Destination::Physical(ApicId(1))).unwrap())",
    ),
    (
        "self_ipi",
        Private,
        "tocsin::apic::local().send_to_self(Vector(17))",
    ),
    (
        "redirection_entry",
        Unsafe,
        "tocsin::apic::io::Input::take(Gsi(4)).unwrap().set(Rte::MASKED)",
    ),
    (
        "io_apic_eoi",
        Private,
        "tocsin::apic::io::Input::take(Gsi(4)).unwrap().end_register()",
    ),
    // Vectors.
    ("exception_ipi", Type, "tocsin::ipi::send(Vector(17), 1)"),
    (
        "exception_ipi_to_self",
        Type,
        "tocsin::ipi::send_to_self(Vector(17))",
    ),
    (
        "forged_vector",
        Private,
        "tocsin::ipi::vectors::ReservedVector(Vector(17))",
    ),
    (
        "timer_vector",
        Unsafe,
        "tocsin::hooks::prepare_timer(Vector(17))",
    ),
    (
        "line_vector",
        Unsafe,
        "|line: &tocsin::line::Line| line.divert(Vector(17))",
    ),
    // Handlers.
    ("register", Private, "tocsin::cpu::handlers::register"),
    (
        "install",
        Private,
        "tocsin::cpu::handlers::INTERRUPTS.here().install(Vector(0x60), handler, 0)",
    ),
    (
        "exchange",
        Unsafe,
        "tocsin::cpu::handlers::INTERRUPTS.here().exchange(Vector(0x60), handler)",
    ),
    (
        "begin_removal",
        Private,
        "tocsin::cpu::handlers::INTERRUPTS.here().begin_removal(Vector(0x60))",
    ),
    (
        "end_removal",
        Private,
        "tocsin::cpu::handlers::INTERRUPTS.here().end_removal(Vector(0x60))",
    ),
    ("entry_code", Unsafe, "tocsin::hooks::set_measured(0, 0)"),
    // Access for the benchmarks.
    (
        "hooks_install",
        Unsafe,
        "tocsin::hooks::install(tocsin::cpu::current(), Vector(0x60), handler, 0)",
    ),
    (
        "hooks_begin_removal",
        Unsafe,
        "tocsin::hooks::begin_removal(tocsin::cpu::current(), Vector(0x60))",
    ),
    (
        "hooks_end_removal",
        Unsafe,
        "tocsin::hooks::end_removal(tocsin::cpu::current(), Vector(0x60))",
    ),
    (
        "hooks_register",
        Unsafe,
        "tocsin::hooks::register(Vector(0x51), handler)",
    ),
    (
        "hooks_send",
        Unsafe,
        "tocsin::hooks::send(Vector(0x60), Destination::All)",
    ),
    (
        "hooks_send_to_self",
        Unsafe,
        "tocsin::hooks::send_to_self(Vector(0x60))",
    ),
    (
        "hooks_send_to",
        Unsafe,
        "tocsin::hooks::send_to(Vector(0x60), tocsin::ipi::Targets::All)",
    ),
    (
        "hooks_send_in_turn",
        Unsafe,
        "tocsin::hooks::send_to_others_in_turn(Vector(0x60))",
    ),
    (
        "hooks_free",
        Unsafe,
        "tocsin::hooks::free(tocsin::cpu::current(), Vector(0x60))",
    ),
    (
        "hooks_message",
        Unsafe,
        "tocsin::hooks::message_target(Vector(0x60), 1, ApicId(0))",
    ),
    (
        "hooks_nmi_call",
        Unsafe,
        "tocsin::hooks::request_nmi_call(tocsin::cpu::current(), in_nmi, 0)",
    ),
    ("hooks_record", Unsafe, "tocsin::hooks::record(None)"),
    (
        "hooks_shootdown",
        Unsafe,
        "tocsin::hooks::set_forget_everywhere(|_| ())",
    ),
    (
        "hooks_jobs",
        Unsafe,
        "tocsin::hooks::give(core::iter::empty(), |_| tocsin::ipi::jobs::NOTHING)",
    ),
    (
        "function_at_an_address",
        Unsafe,
        "tocsin::fn_cell::from_address::<fn()>(core::ptr::null_mut())",
    ),
    (
        "slot_registers",
        Unsafe,
        "tocsin::pci::find(0, 0).unwrap().claim().unwrap().write_half(4, 0)",
    ),
    ("nmi_call", Unsafe, "tocsin::ipi::nmi::call(1, in_nmi, 0)"),
    // The CPU.
    (
        "priority",
        Private,
        "tocsin::hw::control::set_priority_class",
    ),
    ("control_registers", Private, "tocsin::hw::control::set_up"),
    ("msr", Unsafe, "tocsin::hw::control::write_msr(0x1b, 0)"),
    (
        "registers",
        Unsafe,
        "tocsin::hw::mmio::Mmio::new(0xffff_8000_0010_0000, 8)",
    ),
    ("probe", Unsafe, "tocsin::trap::fixup::write(0x10_0000, 0)"),
    // Per-CPU variables.
    ("per_cpu_area", Private, "tocsin::cpu::PerCpu::new(7)"),
    ("per_cpu_offset", Private, "tocsin::cpu::current().offset"),
    (
        "per_cpu_variable",
        Unsafe,
        "tocsin::cpu_local::CpuLocal::new(7_u32)",
    ),
    (
        "per_cpu_cell",
        Bound,
        "{ const fn shared<T: Sync>() {} shared::<tocsin::cpu_local::CpuLocal<core::cell::Cell<u32>>>() }",
    ),
    // Memory.
    ("map_new", Private, "tocsin::memory::paging::map_new"),
    (
        "map",
        Unsafe,
        "tocsin::memory::mapping::map(0x1000..0x2000, 0x10_0000, Use::Data)",
    ),
    (
        "unmap",
        Unsafe,
        "tocsin::memory::mapping::unmap(0x1000..0x2000)",
    ),
    (
        "protect",
        Unsafe,
        "tocsin::memory::mapping::protect(0x1000..0x2000, Use::Code)",
    ),
    (
        "map_physical",
        Unsafe,
        "tocsin::memory::paging::map_physical(0x10_0000, 8, Use::Device)",
    ),
    (
        "free_frame",
        Unsafe,
        "tocsin::memory::frames::free(0x10_0000, 4096)",
    ),
    ("stacks", Private, "tocsin::memory::stacks::allocate"),
    // Devices.
    (
        "bus_master",
        Unsafe,
        "tocsin::pci::find(1, 2).unwrap().claim().unwrap().enable_bus_master()",
    ),
    (
        "message",
        Type,
        "tocsin::line::Messages::set(&mut tocsin::pci::find(1, 2).unwrap().claim().unwrap().msi().unwrap(), \
         &Message { address: 0xfee0_0000, data: 0xe0 })",
    ),
    (
        "forged_message",
        Private,
        "tocsin::line::MessageTarget::new(Vector(0xe0), 1, ApicId(0))",
    ),
    (
        "registers_of_a_bus_master",
        Private,
        "tocsin_monitor::drivers::edu::Edu::claim().unwrap().device()",
    ),
];

/// The code of every program before its statement. Only the statement may be invalid.
const HEADER: &str = "\
#![no_std]
#![allow(unused)]
use tocsin_logic::acpi::Gsi;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::apic::msi::Message;
use tocsin_logic::apic::{ApicId, Icr, Rte};
use tocsin_logic::vector::Vector;
use tocsin::memory::paging::Use;
extern \"C\" fn handler(_: usize, _: u8) {}
extern \"C\" fn in_nmi(_: usize) {}
";

/// A compiler with the kernel's library, built like the kernel itself.
pub struct Compiler {
    rustc: PathBuf,
    /// Names and files of the libraries that programs use.
    libraries: Vec<(String, PathBuf)>,
    /// The directories of the dependencies of these libraries.
    folders: BTreeSet<PathBuf>,
    directory: TempDir,
}

/// An error: its code, if it has one, its line, and the message.
type Error = (Option<String>, u64, String);

impl Compiler {
    /// Builds the library, unless it is already built. `None` if Rust's own library is built with
    /// the kernel: then only Cargo can use it.
    pub fn new() -> Result<Option<Self>> {
        let setup = std::fs::read_to_string(workspace().join("target/setup/env"))?;
        let value = |name: &str| {
            let line = setup.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim_matches('\'').to_owned())
        };
        if value("KERNEL_MODE=").as_deref() != Some("target") {
            return Ok(None);
        }
        let directory = tempfile::tempdir()?;
        let mut build = Command::new(workspace().join("tools/build-kernel.sh"));
        build.args(["build", "--lib", "--message-format", "json"]);
        build.env("IMAGE", directory.path().join("kernel.elf"));
        let output = build.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err("the kernel's library does not build".into());
        }
        let output = String::from_utf8(output.stdout)?;
        let artifacts = output
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut libraries = Vec::new();
        let mut folders = BTreeSet::new();
        for artifact in artifacts {
            let files = artifact["filenames"].as_array().into_iter().flatten();
            for file in files.filter_map(|file| file.as_str().map(PathBuf::from)) {
                // The libraries of procedural macros are built for the host, in another directory.
                folders.extend(file.parent().map(PathBuf::from));
                let name = artifact["target"]["name"].as_str().unwrap_or_default();
                if ["tocsin", "tocsin_logic", "tocsin_monitor"].contains(&name)
                    && file
                        .extension()
                        .is_some_and(|extension| extension == "rlib")
                {
                    libraries.push((name.to_owned(), file));
                }
            }
        }
        let rustc = PathBuf::from(value("KERNEL_BIN=").ok_or("no KERNEL_BIN")?).join("rustc");
        Ok(Some(Self {
            rustc,
            libraries,
            folders,
            directory,
        }))
    }

    /// The errors in a program.
    fn errors(&self, name: &str, program: &str) -> Result<Vec<Error>> {
        let file = self.directory.path().join(format!("{name}.rs"));
        std::fs::write(&file, program)?;
        let mut rustc = Command::new(&self.rustc);
        rustc.args(["--edition=2024", "--crate-type=lib", "--emit=metadata"]);
        rustc.args(["--target=x86_64-unknown-none", "--error-format=json"]);
        rustc.args([
            "-Cpanic=abort",
            "-Crelocation-model=static",
            "-Ccode-model=kernel",
        ]);
        rustc.arg("--out-dir").arg(self.directory.path());
        for folder in &self.folders {
            rustc.arg(format!("-Ldependency={}", folder.display()));
        }
        for (name, library) in &self.libraries {
            rustc.arg(format!("--extern={name}={}", library.display()));
        }
        let output = rustc.arg(&file).current_dir(workspace()).output()?;
        let printed = String::from_utf8(output.stderr)?;
        let messages = printed
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let errors = messages.filter(|message| message["level"] == "error");
        let errors = errors.filter_map(|error| {
            // The last error, `aborting due to ...`, has no line.
            let mut spans = error["spans"].as_array()?.iter();
            let line = spans.find(|span| span["is_primary"] == true)?["line_start"].as_u64()?;
            let code = error["code"]["code"].as_str().map(str::to_owned);
            Some((code, line, error["message"].as_str()?.to_owned()))
        });
        let errors: Vec<_> = errors.collect();
        if errors.is_empty() && !output.status.success() {
            return Err(format!("{}: {printed}", self.rustc.display()).into());
        }
        Ok(errors)
    }

    /// Checks that the statement is rejected, with only the expected error.
    pub fn check(&self, (name, refusal, statement): Case) -> Result {
        let program = |deny, statement: &str| {
            format!("{deny}{HEADER}pub fn program() {{\nlet _ = {{ {statement} }};\n}}\n")
        };
        let line = HEADER.lines().count() as u64 + 3;
        let errors = self.errors(name, &program("#![deny(unsafe_code)]\n", statement))?;
        let [(code, at, message)] = errors.as_slice() else {
            return Err(format!("one error is expected, not {errors:#?}").into());
        };
        let is_expected = match refusal {
            Unsafe => code.as_deref() == Some("E0133"),
            Private => message.contains("private"),
            Type => code.as_deref() == Some("E0308"),
            Bound => code.as_deref() == Some("E0277"),
        };
        if !is_expected || *at != line {
            return Err(format!("{refusal:?} in line {line} is expected, not {errors:#?}").into());
        }
        if matches!(refusal, Unsafe) {
            // There is no other error.
            let errors = self.errors(name, &program("", &format!("unsafe {{ {statement} }}")))?;
            if !errors.is_empty() {
                return Err(format!("in an unsafe block: {errors:#?}").into());
            }
        }
        Ok(())
    }
}

//! The description of a machine, and the only code that builds QEMU's command line.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::firmware::Firmware;
use crate::settings::{Accel, BootWay, GdbEndpoint, Memory, Smp};

/// I/O port and width of the device through which the kernel exits QEMU.
const EXIT_DEVICE: &str = "isa-debug-exit,iobase=0xf4,iosize=4";

/// A machine that is described but not running. Start with [`Machine::new`].
#[derive(Debug, Clone)]
pub struct Machine {
    pub(crate) qemu: PathBuf,
    pub(crate) way: BootWay,
    pub(crate) image: PathBuf,
    pub(crate) module: Option<PathBuf>,
    pub(crate) append: String,
    board: String,
    pub(crate) smp: Smp,
    pub(crate) memory: Memory,
    cpu: String,
    accel: Accel,
    icount: Option<String>,
    single: bool,
    log: Vec<String>,
    extra: Vec<String>,
    reboots: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) gdb: Option<GdbEndpoint>,
    /// Commands of QEMU's monitor that run before the first instruction.
    pub(crate) first: Vec<String>,
}

/// The boot files of the machine, on the host.
#[derive(Debug, Clone)]
pub(crate) enum Media {
    /// A kernel for QEMU's `-kernel`, and its first module (Linux's initramfs).
    Kernel {
        kernel: PathBuf,
        module: Option<PathBuf>,
        append: String,
    },
    /// A CD with BIOS firmware.
    Cd { iso: PathBuf },
    /// A CD with UEFI firmware, whose variables are already a copy.
    UefiCd { iso: PathBuf, firmware: Firmware },
}

/// The connections of COM1 and QEMU's control channel. Numbers are inherited file descriptors.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wiring {
    /// COM1 and QMP each on a socket.
    Sockets { serial: i32, qmp: i32 },
    /// COM1 and QEMU's monitor share the terminal; QMP on a socket.
    Terminal { qmp: i32 },
}

impl Machine {
    /// A q35 with 1 CPU and 512 MiB that boots the kernel image in `target/image`.
    ///
    /// QEMU is the value of the environment variable `QEMU`, or `qemu-system-x86_64`.
    #[must_use]
    pub fn new(way: BootWay) -> Self {
        let qemu = std::env::var_os("QEMU").filter(|qemu| !qemu.is_empty());
        let image = crate::workspace().join("target/image/tocsin.elf");
        Self {
            qemu: qemu.map_or_else(|| "qemu-system-x86_64".into(), PathBuf::from),
            way,
            image: image.clone(),
            module: Some(image),
            append: String::new(),
            board: "q35".to_owned(),
            smp: Smp::default(),
            memory: Memory::default(),
            cpu: "max".to_owned(),
            accel: Accel::best(),
            icount: None,
            single: false,
            log: vec!["cpu_reset".to_owned()],
            extra: Vec::new(),
            reboots: false,
            timeout: None,
            gdb: None,
            first: Vec::new(),
        }
    }

    /// Sets the boot method.
    #[must_use]
    pub fn by(mut self, way: BootWay) -> Self {
        self.way = way;
        self
    }

    /// Sets the QEMU program.
    #[must_use]
    pub fn qemu(mut self, qemu: impl Into<PathBuf>) -> Self {
        self.qemu = qemu.into();
        self
    }

    /// Sets the kernel image, which is also its own first module.
    #[must_use]
    pub fn image(mut self, image: impl Into<PathBuf>) -> Self {
        self.image = image.into();
        self.module = Some(self.image.clone());
        self
    }

    /// Sets the first module for a direct boot, or none; must be called after setting the image.
    #[must_use]
    pub fn module(mut self, module: Option<PathBuf>) -> Self {
        self.module = module;
        self
    }

    /// Sets the kernel command line.
    #[must_use]
    pub fn append(mut self, append: impl Into<String>) -> Self {
        self.append = append.into();
        self
    }

    /// Sets QEMU's `-machine`, such as `pc` or `q35,kernel-irqchip=split`.
    #[must_use]
    pub fn board(mut self, board: impl Into<String>) -> Self {
        self.board = board.into();
        self
    }

    /// Sets the CPUs.
    #[must_use]
    pub fn smp(mut self, smp: Smp) -> Self {
        self.smp = smp;
        self
    }

    /// Sets the memory size.
    #[must_use]
    pub fn memory(mut self, memory: Memory) -> Self {
        self.memory = memory;
        self
    }

    /// Sets QEMU's `-cpu`.
    #[must_use]
    pub fn cpu(mut self, cpu: impl Into<String>) -> Self {
        self.cpu = cpu.into();
        self
    }

    /// Disables a feature of the CPU model set so far, such as `x2apic`.
    #[must_use]
    pub fn without_feature(mut self, feature: &str) -> Self {
        self.cpu = format!("{},-{feature}", self.cpu);
        self
    }

    /// Sets the accelerator.
    #[must_use]
    pub fn accel(mut self, accel: Accel) -> Self {
        self.accel = accel;
        self
    }

    /// Counts instructions instead of time (QEMU's `-icount`); TCG only.
    #[must_use]
    pub fn icount(mut self, icount: impl Into<String>) -> Self {
        self.icount = Some(icount.into());
        self.accel = Accel::Tcg;
        self
    }

    /// Makes TCG translate each instruction separately, so that the execution log lists single
    /// instructions.
    #[must_use]
    pub fn single_instructions(mut self) -> Self {
        self.single = true;
        self.accel = Accel::Tcg;
        self
    }

    /// Adds an item to QEMU's log, such as `int`; read the log with `Session::log`.
    #[must_use]
    pub fn log(mut self, item: impl Into<String>) -> Self {
        self.log.push(item.into());
        self
    }

    /// Adds a command for QEMU's monitor that runs before the machine starts.
    #[must_use]
    pub fn first(mut self, line: impl Into<String>) -> Self {
        self.first.push(line.into());
        self
    }

    /// Adds arguments for QEMU, after all others.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.extra.extend(args.into_iter().map(Into::into));
        self
    }

    /// Makes a reset restart the machine; otherwise it exits QEMU.
    #[must_use]
    pub fn reboots(mut self) -> Self {
        self.reboots = true;
        self
    }

    /// Sets QEMU's time limit for starting the machine and for replies, instead of the default for
    /// its CPUs.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes the machine wait for gdb, which starts and stops it.
    #[must_use]
    pub fn stopped_for_gdb(mut self, endpoint: GdbEndpoint) -> Self {
        self.gdb = Some(endpoint);
        self
    }

    /// QEMU's `-cpu`.
    #[must_use]
    pub fn cpu_model(&self) -> &str {
        &self.cpu
    }

    /// The additional arguments for QEMU.
    #[must_use]
    pub fn added(&self) -> &[String] {
        &self.extra
    }

    /// The kernel image.
    #[must_use]
    pub fn image_path(&self) -> &Path {
        &self.image
    }

    /// A display name: `q35, 4 CPUs, 512 MiB, TCG`.
    #[must_use]
    pub fn describe(&self) -> String {
        let board = self.board.split(',').next().unwrap_or_default();
        let (smp, memory) = (self.smp.describe(), self.memory.describe());
        format!("{board}, {smp}, {memory}, {}", self.accel.describe())
    }

    /// QEMU's arguments. `log` is the file for QEMU's own log.
    pub(crate) fn arguments(&self, media: &Media, wiring: Wiring, log: &Path) -> Vec<OsString> {
        let mut line = Arguments(Vec::new());
        let single = if self.single {
            ",one-insn-per-tb=on"
        } else {
            ""
        };
        // Without QEMU's defaults there is no network card, whose boot ROM would only delay the
        // boot.
        line.flag("-nodefaults").option("-display", "none");
        line.option("-machine", &self.board)
            .option("-accel", format!("{}{single}", self.accel))
            .option("-cpu", &self.cpu)
            .option("-smp", self.smp.to_string())
            .option("-m", self.memory.to_string())
            .option("-device", EXIT_DEVICE);
        match wiring {
            Wiring::Sockets { serial, qmp } => {
                line.option("-chardev", format!("socket,id=com1,fd={serial}"));
                line.option("-serial", "chardev:com1").control(qmp);
            }
            Wiring::Terminal { qmp } => {
                line.option("-serial", "mon:stdio").control(qmp);
            }
        }
        if !self.reboots {
            line.flag("-no-reboot");
        }
        // The session starts it when it can receive its exit status.
        line.flag("-S");
        if let Some(endpoint) = &self.gdb {
            line.option("-gdb", endpoint.for_qemu());
        }
        if let Some(icount) = &self.icount {
            line.option("-icount", icount);
        }
        line.option("-d", self.log.join(",")).option("-D", log);
        match media {
            Media::Kernel {
                kernel,
                module,
                append,
            } => {
                line.option("-kernel", kernel);
                // On a microvm, QEMU loads a module over the firmware's ACPI tables, so the kernel
                // runs without its symbols.
                let fits = !self.board.starts_with("microvm");
                if let Some(module) = module.as_ref().filter(|_| fits) {
                    line.option("-initrd", module);
                }
                if !append.is_empty() {
                    line.option("-append", append);
                }
            }
            Media::Cd { iso } => {
                line.display_adapter()
                    .drive("if=ide,media=cdrom,readonly=on,format=raw", iso);
            }
            Media::UefiCd { iso, firmware } => {
                line.display_adapter();
                let Firmware { code, vars } = firmware;
                // The firmware writes to an image that contains its variables.
                let access = if vars.is_some() { ",readonly=on" } else { "" };
                line.drive(&format!("if=pflash,unit=0,format=raw{access}"), code);
                if let Some(vars) = vars {
                    line.drive("if=pflash,unit=1,format=raw", vars);
                }
                line.drive("if=ide,media=cdrom,readonly=on,format=raw", iso);
            }
        }
        line.0.extend(self.extra.iter().map(OsString::from));
        line.0
    }
}

/// A command line under construction.
struct Arguments(Vec<OsString>);

impl Arguments {
    fn flag(&mut self, flag: &str) -> &mut Self {
        self.0.push(flag.into());
        self
    }

    fn option(&mut self, option: &str, value: impl Into<OsString>) -> &mut Self {
        self.0.extend([option.into(), value.into()]);
        self
    }

    fn control(&mut self, fd: i32) -> &mut Self {
        self.option("-chardev", format!("socket,id=qmp,fd={fd}"))
            .option("-mon", "chardev=qmp,mode=control")
    }

    /// Boot loaders and firmware draw on a display; the kernel needs none.
    fn display_adapter(&mut self) -> &mut Self {
        self.option("-vga", "std")
    }

    fn drive(&mut self, options: &str, file: &Path) -> &mut Self {
        let mut value = OsString::from(options);
        value.push(",file=");
        value.push(escaped(file));
        self.option("-drive", value)
    }
}

/// A path in one of QEMU's option lists, where commas are doubled.
pub(crate) fn escaped(path: &Path) -> OsString {
    match path.to_str() {
        Some(path) => path.replace(',', ",,").into(),
        None => path.into(),
    }
}

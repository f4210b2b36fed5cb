//! A distribution's Linux kernel, with an initramfs that measures and powers off.
//!
//! A program measures what an unmodified kernel exposes to programs; each such metric includes a
//! system call, which its description states. A small module measures what only the kernel can
//! measure; it is built if the kernel's headers are available.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use tocsin_tools::{Machine, workspace};

use super::initramfs::Archive;
use super::{Meaning, Measured, Runs, bz_image, guest};
use crate::error::BenchError;
use crate::record::Clock;

/// Prefix of a line from the measuring program or module.
const MARK: &str = "tocsin-peer: ";

const MEMBARRIER: &str = "the membarrier system call that interrupts one other CPU and waits, less the same call \
     with nobody to interrupt";

/// The tests, on any machine.
const TESTS: &[Meaning] = &[
    Meaning {
        test: "irq_work",
        beside: "self_ipi.round_trip",
        param: None,
        statistic: "median",
        unit: None,
        what: "irq_work_queue on the own CPU until its function has run (module)",
    },
    Meaning {
        test: "irq_work_entry",
        beside: "self_ipi.to_handler",
        param: None,
        statistic: "median",
        unit: None,
        what: "irq_work_queue on the own CPU to its function's first line (module)",
    },
    Meaning {
        test: "smp_call_function_single_async",
        beside: "ipi.one_way",
        param: Some(("target", "polling")),
        statistic: "median",
        unit: None,
        what: "a call on another CPU, whose thread spins in user mode, to the function's first line (module)",
    },
    Meaning {
        test: "smp_call_function_single",
        beside: "call.wait",
        param: None,
        statistic: "median",
        unit: None,
        what: "a call on another CPU with wait (module)",
    },
    Meaning {
        test: "membarrier_1",
        beside: "call.wait",
        param: None,
        statistic: "median",
        unit: None,
        what: MEMBARRIER,
    },
    Meaning {
        test: "hrtimer",
        beside: "timer.queue",
        param: Some(("load", "idle")),
        statistic: "median",
        unit: None,
        what: "a timer's deadline to its function's first line, in interrupt context (module)",
    },
    Meaning {
        test: "nanosleep",
        beside: "timer.queue",
        param: Some(("load", "idle")),
        statistic: "median",
        unit: None,
        what: "clock_nanosleep's deadline to the thread that slept (as cyclictest): a wake-up and a switch more than ours",
    },
    Meaning {
        test: "int80",
        beside: "exception.int_n",
        param: None,
        statistic: "median",
        unit: None,
        what: "INT 0x80 from user mode with no such system call, and back: a change of privilege more than ours",
    },
];

/// To all other CPUs; the corresponding parameter of this kernel is the number of all CPUs.
const WIDE: &[Meaning] = &[
    Meaning {
        test: "smp_call_function_many",
        beside: "broadcast.all",
        param: None,
        statistic: "median",
        unit: None,
        what: "a call on all other CPUs with wait (module)",
    },
    Meaning {
        test: "membarrier_all",
        beside: "broadcast.all",
        param: None,
        statistic: "median",
        unit: None,
        what: "the membarrier system call that interrupts all other CPUs and waits, less the same call with nobody to interrupt",
    },
    Meaning {
        test: "mprotect",
        beside: "tlb.shootdown",
        param: None,
        statistic: "median",
        unit: None,
        what: "mprotect of one page while all other CPUs use the address space: the system call and the shootdown",
    },
    Meaning {
        test: "bring_up",
        beside: "bringup.cpus",
        param: None,
        statistic: "one boot",
        unit: Some("nanoseconds"),
        what: "from `smp: Bringing up secondary CPUs` to `smp: Brought up` in the kernel's log",
    },
];

struct Linux {
    kernel: PathBuf,
    initramfs: PathBuf,
}

/// The kernel in `LINUX_KERNEL`, or the reason why there is none.
///
/// # Errors
///
/// A variable is set and does not name a kernel or its headers; or the initramfs cannot be created.
pub fn find() -> Result<Result<Box<dyn Runs>, String>, BenchError> {
    let Some(kernel) = super::variable("LINUX_KERNEL") else {
        let why = "not measured: LINUX_KERNEL=... names a bzImage, as /boot/vmlinuz-...".to_owned();
        return Ok(Err(why));
    };
    let bad = |why: String| {
        let why = format!("LINUX_KERNEL={}: {why}", kernel.display());
        BenchError::Peer { peer: "Linux", why }
    };
    let image = std::fs::read(&kernel).map_err(|e| bad(e.to_string()))?;
    let release = bz_image::release(&image)
        .ok_or_else(|| bad("that is no bzImage; give one, as /boot/vmlinuz-...".to_owned()))?;
    let headers = super::variable("LINUX_HEADERS");
    if let Some(headers) = &headers {
        guest::check(headers, &release)?;
    }
    let mut archive = Archive::default();
    archive.directory("dev");
    let init = guest::init()?;
    archive.program(
        "init",
        &std::fs::read(&init).map_err(BenchError::file("read", &init))?,
    );
    if let Some(headers) = headers {
        let module = guest::module(&headers)?;
        let content = std::fs::read(&module).map_err(BenchError::file("read", &module))?;
        archive.program("peer.ko", &content);
    }
    let initramfs = workspace().join("target/bench/peers/initramfs.cpio");
    std::fs::write(&initramfs, archive.finish()).map_err(BenchError::file("write", &initramfs))?;
    Ok(Ok(Box::new(Linux { kernel, initramfs })))
}

impl Linux {
    /// The machine with the kernel and this addition to its command line, which the program also
    /// receives.
    fn booted(&self, machine: Machine, more: &str) -> Machine {
        // The measurement reads the TSC; the watchdog would mark QEMU's as unstable, or disturb it.
        let append = format!("console=ttyS0 quiet panic=-1 tsc=reliable nowatchdog{more}");
        let machine = machine.image(&self.kernel).append(append);
        machine.module(Some(self.initramfs.clone()))
    }
}

impl Runs for Linux {
    fn name(&self) -> &'static str {
        "Linux"
    }

    fn machine(&self, machine: Machine, clock: Clock) -> Machine {
        // The program's spinning threads yield when one host thread runs all CPUs in turn.
        self.booted(
            machine,
            match clock {
                Clock::Cycles => "",
                Clock::Instructions => " spin_pause=1",
            },
        )
    }

    fn starting(&self, machine: Machine) -> Option<Machine> {
        Some(self.booted(machine, " bring_up_only=1"))
    }

    fn read(&self, text: &str) -> Result<Vec<Measured>, String> {
        read(text)
    }

    fn meanings(&self) -> Vec<Meaning> {
        [TESTS, WIDE].concat()
    }

    fn version(&self, text: &str) -> String {
        let said = text
            .lines()
            .find_map(|line| line.split_once(MARK)?.1.strip_prefix("version "));
        said.unwrap_or("unknown version").trim().to_owned()
    }
}

/// Parses lines such as `tocsin-peer: irq_work 10000 210 215 220 231 260 9000`: the test, its
/// samples, and the percentiles from the minimum to the maximum. The median is used.
fn read(text: &str) -> Result<Vec<Measured>, String> {
    let mut measured = Vec::new();
    let (mut ended, mut log) = (false, Vec::new());
    for line in text.lines() {
        let Some((_, said)) = line.split_once(MARK) else {
            continue;
        };
        let words: Vec<_> = said.split_whitespace().collect();
        match words[..] {
            ["end"] => ended = true,
            ["trouble", ..] => return Err(said.to_owned()),
            ["log", time, "smp:", word, ..] => log.push((word, time)),
            [name, _samples, _min, median, _p90, _p99, _p99_9, _max] => {
                let value = median
                    .parse()
                    .map_err(|_| format!("{said:?} is no figure"))?;
                measured.push(Measured {
                    test: name.to_owned(),
                    value,
                });
            }
            _ => {}
        }
    }
    let time = |word| {
        let (_, time) = log.iter().find(|(known, _)| *known == word)?;
        time.parse::<f64>().ok()
    };
    if let (Some(from), Some(to)) = (time("Bringing"), time("Brought")) {
        measured.push(Measured {
            test: "bring_up".to_owned(),
            value: (to - from) * 1000.0,
        });
    }
    if !ended {
        return Err("it did not measure to the end".to_owned());
    }
    Ok(measured)
}

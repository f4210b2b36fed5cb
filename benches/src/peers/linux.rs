//! A distribution's Linux kernel, with an initramfs that measures and powers off.
//!
//! A program measures what an unmodified kernel exposes to programs; each such metric includes a
//! system call, which its description states. A small module measures what only the kernel can
//! measure; it is built if the kernel's headers are available.

mod meanings;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use tocsin_tools::{Machine, workspace};

use super::initramfs::Archive;
use super::value::Spread;
use super::{Meaning, Measured, Runs, bz_image, guest, release};
use crate::error::BenchError;
use crate::record::Clock;

/// Prefix of a line from the measuring program or module.
const MARK: &str = "tocsin-peer: ";

struct Linux {
    name: String,
    kernel: PathBuf,
    initramfs: PathBuf,
}

/// A kernel that takes part, before its initramfs is created.
struct Found {
    kernel: PathBuf,
    release: String,
    headers: Option<PathBuf>,
}

/// The kernels in `LINUX_KERNEL`, or the reason why there is none.
///
/// # Errors
///
/// A variable is set and does not name kernels or their headers; or an initramfs cannot be created.
pub fn find() -> Result<Result<Vec<Box<dyn Runs>>, String>, BenchError> {
    let kernels = super::variables("LINUX_KERNEL");
    if kernels.is_empty() {
        let why =
            "not measured: LINUX_KERNEL=... names a bzImage, as /boot/vmlinuz-..., or several \
                   with colons"
                .to_owned();
        return Ok(Err(why));
    }
    let mut found = kernels
        .into_iter()
        .map(kernel)
        .collect::<Result<Vec<_>, _>>()?;
    for headers in super::variables("LINUX_HEADERS") {
        let own = guest::release(&headers)?;
        let fits =
            |found: &&mut Found| found.headers.is_none() && guest::is_alike(&own, &found.release);
        let Some(kernel) = found.iter_mut().find(fits) else {
            let releases: Vec<_> = found.iter().map(|found| found.release.as_str()).collect();
            let why = format!(
                "those are of {own}, and LINUX_KERNEL is {}; give the headers of that, or none",
                releases.join(", ")
            );
            return Err(guest::bad_headers(&headers, &why));
        };
        kernel.headers = Some(headers);
    }
    let releases: Vec<_> = found.iter().map(|found| found.release.clone()).collect();
    let init = guest::init()?;
    let named = release::names(&releases).into_iter().zip(found);
    let built = named.enumerate().map(|(number, (name, found))| {
        let built: Box<dyn Runs> = Box::new(found.build(name, number, &init)?);
        Ok(built)
    });
    built.collect::<Result<Vec<_>, _>>().map(Ok)
}

/// Checks that this is a kernel.
fn kernel(kernel: PathBuf) -> Result<Found, BenchError> {
    let bad = |why: String| {
        let why = format!("LINUX_KERNEL={}: {why}", kernel.display());
        BenchError::Peer { peer: "Linux", why }
    };
    let image = std::fs::read(&kernel).map_err(|e| bad(e.to_string()))?;
    let release = bz_image::release(&image)
        .ok_or_else(|| bad("that is no bzImage; give one, as /boot/vmlinuz-...".to_owned()))?;
    Ok(Found {
        kernel,
        release,
        headers: None,
    })
}

impl Found {
    /// Creates the kernel's initramfs, with the module if there are headers for it. `number`
    /// distinguishes the kernels of a run.
    fn build(self, name: String, number: usize, init: &Path) -> Result<Linux, BenchError> {
        let dir = workspace().join(format!("target/bench/peers/linux-{number}"));
        std::fs::create_dir_all(&dir).map_err(BenchError::file("make", &dir))?;
        let mut archive = Archive::default();
        archive.directory("dev");
        archive.directory("proc");
        let mut program = |name: &str, path: &Path| {
            let content = std::fs::read(path).map_err(BenchError::file("read", path))?;
            archive.program(name, &content);
            Ok::<_, BenchError>(())
        };
        program("init", init)?;
        if let Some(headers) = &self.headers {
            program("peer.ko", &guest::module(headers, &dir)?)?;
        }
        let initramfs = dir.join("initramfs.cpio");
        std::fs::write(&initramfs, archive.finish())
            .map_err(BenchError::file("write", &initramfs))?;
        Ok(Linux {
            name,
            kernel: self.kernel,
            initramfs,
        })
    }
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
    fn name(&self) -> &str {
        &self.name
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
        meanings::MEANINGS.to_vec()
    }

    fn version(&self, text: &str) -> String {
        let output = text
            .lines()
            .find_map(|line| line.split_once(MARK)?.1.strip_prefix("version "));
        output.unwrap_or("unknown version").trim().to_owned()
    }
}

/// Parses lines such as `tocsin-peer: irq_work 10000 210 215 220 231 260 9000`: the test, its
/// samples, and the percentiles from the minimum to the maximum. The median is the value.
fn read(text: &str) -> Result<Vec<Measured>, String> {
    let mut measured = Vec::new();
    let (mut ended, mut log) = (false, Vec::new());
    for line in text.lines() {
        let Some((_, output)) = line.split_once(MARK) else {
            continue;
        };
        let words: Vec<_> = output.split_whitespace().collect();
        match words[..] {
            ["end"] => ended = true,
            ["trouble", ..] => return Err(output.to_owned()),
            ["log", time, "smp:", word, ..] => log.push((word, time)),
            [name, samples, min, median, _p90, p99, _p99_9, max] => {
                let bad = || format!("{output:?} is no metric");
                let number = |word: &str| word.parse().map_err(|_| bad());
                measured.push(Measured {
                    test: name.to_owned(),
                    value: number(median)?,
                    spread: Some(Spread {
                        samples: samples.parse().map_err(|_| bad())?,
                        min: number(min)?,
                        p99: number(p99)?,
                        max: number(max)?,
                    }),
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
            spread: None,
        });
    }
    if !ended {
        return Err("it did not measure to the end".to_owned());
    }
    Ok(measured)
}

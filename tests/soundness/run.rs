//! Cases that the library rejects at run time: those of the example kernel `rejected`.

use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use tocsin_tools::settings::{Accel, BootWay, Smp};
use tocsin_tools::{Machine, Outcome, Session, workspace};

use crate::Result;

/// Time limit: far more than any case takes, even if two machines share a slow host.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Cases after which the kernel continues: the name, and the expected messages in order.
const RETURNED: &[(&str, &[&str])] = &[
    (
        "vectors",
        &[
            "0x11: vectors: 0x11: reserved for the processor's exceptions",
            "0xd0: vectors: 0xd0: reserved for the kernel",
            "0xf1: vectors: 0xf1: reserved for the kernel",
            "a line's: vectors: 0x60: in use on CPU 1",
            "a reserved one: vectors: 0x61: in use on CPU 0",
        ],
    ),
    (
        "exhausted",
        &[
            "a line: CPU 0: no vector of class 6 is free",
            "a vector: vectors: class 6: no vector is free on all CPUs",
        ],
    ),
    ("ipi", &["CPU 99: CPU 99 is not online"]),
    (
        "guard",
        &[
            "guard: memory: 0xffffe0000008f000: guard page of CPU 1's thread stack",
            "stack: memory: 0xffffe00000090000: CPU 1's thread stack",
            "image: memory: 0xffffffff80200000: kernel image",
            "direct map: memory: 0xffff810000000000: direct map of physical address 0x10000000000",
            "first page: memory: 0x0000000000000000: null page",
        ],
    ),
    ("claim", &["0000:00:1f.2: bus master when it was claimed"]),
    ("dma", &["transfer to 0x"]),
    (
        "table",
        &[
            "all: pci: 0000:00:02.0: BAR 1: 0x0 to 0x1f is the MSI-X table or its pending bits",
            "table: pci: 0000:00:02.0: BAR 1: 0x10 to 0x17 is the MSI-X table",
            "pending bits: pci: 0000:00:02.0: BAR 1: 0x800 to 0x807 is the MSI-X table",
            "beyond: pci: 0000:00:02.0: BAR 1: no part from 0x808 up to 0x1008",
            "odd: pci: 0000:00:02.0: BAR 1: no part from 0x44 up to 0x50",
        ],
    ),
    (
        "registers",
        &[
            "HPET: function 0000:00:01.0: BAR 0 has registers that are the kernel's",
            "config: function 0000:00:1f.2: BAR 5 has registers that are the kernel's",
        ],
    ),
];

/// Cases that end in a panic which names the rule.
const STOPPED: &[(&str, &[&str])] = &[(
    "bench",
    &["context: bench::run: called in a handler of class 2"],
)];

pub fn trials() -> Vec<Trial> {
    let trial = |&(name, lines): &(&'static str, &'static [&'static str]), status| {
        Trial::test(format!("soundness::run::{name}"), move || {
            run(name, lines, status).map_err(|error| Failed::from(error.to_string()))
        })
    };
    let returned = RETURNED.iter().map(|case| trial(case, 0));
    let stopped = STOPPED
        .iter()
        .map(|case| trial(case, tocsin_logic::exit::STOPPED));
    returned.chain(stopped).collect()
}

fn run(name: &str, lines: &[&str], status: u8) -> Result {
    let image = workspace().join("target/image/rejected.elf");
    if !image.exists() {
        return Err("not built; EXAMPLE=rejected tools/build-kernel.sh does it".into());
    }
    let machine = Machine::new(BootWay::Direct)
        .accel(Accel::Tcg)
        .smp(Smp::parse("3")?)
        .args(["-device", "edu", "-device", "virtio-rng-pci,vectors=2"])
        .append(name)
        .image(image);
    let mut session = Session::start(&machine)?;
    for line in lines {
        session.expect(line, TIMEOUT)?;
    }
    session.expect_exit(Outcome::Kernel(status), TIMEOUT)?;
    Ok(())
}

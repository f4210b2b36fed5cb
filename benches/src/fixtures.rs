//! Records as the kernel writes them, for tests: of two rounds in cycles and one in
//! instructions.

use crate::host::Host;
use crate::record::Boot;
use crate::results::Results;

pub const CYCLES: &str = include_str!("fixtures/cycles.txt");
const CYCLES_2: &str = include_str!("fixtures/cycles-2.txt");
pub const INSTRUCTIONS: &str = include_str!("fixtures/instructions.txt");

pub fn host() -> Host {
    Host {
        machine: "q35, 4 CPUs, 512 MiB, TCG".to_owned(),
        processor: "2 x A <fast> & \"good\" one".to_owned(),
        qemu: "QEMU emulator version 10.0.2".to_owned(),
        compiler: "rustc 1.95.0".to_owned(),
        kernel: "0.1.0 (abc)".to_owned(),
        image_bytes: 1 << 20,
        began: 1_780_000_000,
    }
}

/// Two rounds in cycles and one in instructions.
pub fn results() -> Results {
    let boots = [CYCLES, CYCLES_2, INSTRUCTIONS].map(|text| Boot::parse(text).unwrap());
    Results::new(host(), &boots)
}

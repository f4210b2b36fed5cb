//! A kernel that counts its CPUs.
#![no_std]
#![no_main]

tocsin::main!(kernel);

fn kernel(machine: &'static tocsin::Machine) -> ! {
    tocsin::println!("{} CPUs in the MADT", machine.topology.cpus().len());
    loop {
        tocsin::hw::processor::enable_and_halt();
    }
}

//! The Tocsin kernel: the library and its monitor, nothing more.

#![no_std]
#![no_main]

tocsin::main!(main);

fn main(machine: &'static tocsin::Machine) -> ! {
    tocsin_monitor::show_machine(machine);
    tocsin_monitor::run(machine)
}

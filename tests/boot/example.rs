//! The kernels in `kernel/examples` and `kernel/monitor/examples`, which `make test` also builds.

use libtest_mimic::Trial;
use tocsin_logic::exit;
use tocsin_tools::{Machine, Outcome, workspace};

use crate::{Result, TIMEOUT, ensure, machine, trial, with};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("example::smallest", smallest),
        trial("example::commands", commands),
        trial("example::own", own),
        trial("example::typewriter", typewriter),
    ]
}

/// A machine with three CPUs and the kernel of this example.
fn example(name: &str) -> Result<Machine> {
    let image = workspace().join(format!("target/image/{name}.elf"));
    if !image.exists() {
        return Err(format!("not built; EXAMPLE={name} tools/build-kernel.sh does it").into());
    }
    Ok(machine(3)?.image(image))
}

/// The library prints the boot log, and no tables.
fn smallest() -> Result {
    with(&example("smallest")?, |session| {
        session.expect("3 CPUs in the MADT", TIMEOUT)?;
        let printed = session.transcript().tail(usize::MAX);
        ensure!(
            !printed.contains("ready:"),
            "tables are printed:\n{printed}"
        );
        Ok(())
    })
}

/// The kernel's own logger prints, its own panic handler is called, and its allocator has served
/// the library.
fn own() -> Result {
    with(&example("own")?, |session| {
        session.expect("own log: 3 CPUs in the MADT", TIMEOUT)?;
        session.expect("own panic handler", TIMEOUT)?;
        session.expect("the end", TIMEOUT)?;
        session.expect_exit(Outcome::Kernel(exit::STOPPED), TIMEOUT)?;
        let printed = session.transcript().tail(usize::MAX);
        ensure!(!printed.contains("cpu0 "), "the library logs:\n{printed}");
        Ok(())
    })
}

/// The kernel's own command is listed and executed, and the monitor's commands exist.
fn commands() -> Result {
    with(&example("commands")?, |session| {
        session.wait_prompt(TIMEOUT)?;
        for (line, says) in [
            ("help", "hello                print the number of CPUs"),
            ("help hello", "print the number of CPUs"),
            ("hello", "3 CPUs in the MADT"),
            ("hello again", "extra argument `again`"),
            ("cpus", "online"),
        ] {
            let reply = session.command(line, TIMEOUT)?;
            ensure!(reply.contains(says), "{line}: no {says:?} in:\n{reply}");
        }
        Ok(())
    })
}

/// Typed text is printed, and each key has caused an interrupt.
fn typewriter() -> Result {
    with(&example("typewriter")?, |session| {
        session.expect("Type, on CPU 2; Ctrl-D ends it.", TIMEOUT)?;
        for word in ["one", "two", "three"] {
            session.send_line(word)?;
            session.expect(word, TIMEOUT)?;
        }
        session.send_line("\x04")?;
        session.expect(" interrupts", TIMEOUT)?;
        session.expect_exit(Outcome::Kernel(0), TIMEOUT)?;
        Ok(())
    })
}

//! The kernels in `kernel/examples`, which `make test` builds too.

use libtest_mimic::Trial;
use tocsin_tools::{Outcome, workspace};

use crate::{PATIENCE, Result, machine, trial, with};

pub fn trials() -> Vec<Trial> {
    vec![trial("example::typewriter", typewriter)]
}

/// What is typed is printed, and each key has interrupted.
fn typewriter() -> Result {
    let image = workspace().join("target/image/typewriter.elf");
    if !image.exists() {
        return Err("not built; EXAMPLE=typewriter tools/build-kernel.sh does it".into());
    }
    let machine = machine(3)?.image(image);
    with(&machine, |session| {
        session.expect("Type, on CPU 2; Ctrl-D ends it.", PATIENCE)?;
        for word in ["one", "two", "three"] {
            session.send_line(word)?;
            session.expect(word, PATIENCE)?;
        }
        session.send_line("\x04")?;
        session.expect(" interrupts", PATIENCE)?;
        session.expect_exit(Outcome::Kernel(0), PATIENCE)?;
        Ok(())
    })
}

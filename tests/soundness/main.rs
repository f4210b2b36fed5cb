//! Safe code cannot corrupt memory: programs that must not compile, and programs that the library
//! must reject at run time, one for each item on which memory safety depends. And the examples of
//! the documentation, which must compile.

mod cases;
mod compile;
mod examples;
mod run;

use std::error::Error;
use std::sync::Arc;

use cases::CASES;
use compile::Compiler;
use libtest_mimic::{Arguments, Failed, Trial};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = run::trials();
    let compiler = Compiler::new().map(|compiler| compiler.map(Arc::new));
    let is_skipped = matches!(compiler, Ok(None));
    if is_skipped {
        println!("soundness::compile: skipped: Rust's own library is built with the kernel");
    }
    let compiler = compiler.map_err(|error| error.to_string());
    trials.extend(CASES.iter().map(|&case| {
        let compiler = compiler.clone();
        let test = move || {
            let compiler = compiler.map_err(Failed::from)?;
            let compiler = compiler.ok_or("skipped")?;
            compiler
                .check(case)
                .map_err(|error| Failed::from(error.to_string()))
        };
        Trial::test(format!("soundness::compile::{}", case.0), test).with_ignored_flag(is_skipped)
    }));
    match examples::all() {
        Ok(examples) => trials.extend(examples.into_iter().map(|(name, program)| {
            let compiler = compiler.clone();
            let title = format!("documentation::{name}");
            let test = move || {
                let compiler = compiler.map_err(Failed::from)?;
                let compiler = compiler.ok_or("skipped")?;
                let accepted = compiler.accept(&name, &program);
                accepted.map_err(|error| Failed::from(error.to_string()))
            };
            Trial::test(title, test).with_ignored_flag(is_skipped)
        })),
        Err(error) => {
            let failed = Failed::from(error.to_string());
            trials.push(Trial::test("documentation", move || Err(failed)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

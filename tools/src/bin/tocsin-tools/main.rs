//! The `tocsin-tools` command, which the Makefile calls.

mod feed;
mod run;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Host tools of the Tocsin kernel.
#[derive(Parser)]
#[command(name = "tocsin-tools", version, about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the kernel under QEMU, and end with the kernel's status
    Run(run::Args),
    /// Run the host's tests and the matrix of machines, and count
    Test(test::Args),
    /// Write an ELF file without its debug sections, segments unchanged
    Strip {
        /// The linked kernel
        input: PathBuf,
        /// The image to write
        output: PathBuf,
    },
}

fn main() -> ExitCode {
    match Args::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Strip { input, output } => strip(&input, &output),
    }
}

fn strip(input: &std::path::Path, output: &std::path::Path) -> ExitCode {
    match tocsin_tools::strip::strip(input, output) {
        Ok(done) => {
            if done.written {
                tocsin_tools::outln!(
                    "{}: {} KiB ({} KiB with debug information)",
                    output.display(),
                    done.after.div_ceil(1024),
                    done.before.div_ceil(1024)
                );
            }
            ExitCode::SUCCESS
        }
        Err(e) => {
            tocsin_tools::errln!("tocsin-tools strip: {e}");
            ExitCode::FAILURE
        }
    }
}

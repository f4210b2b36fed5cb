//! The `tocsin-tools` command, which the Makefile calls.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Host tools of the Tocsin kernel.
#[derive(Parser)]
#[command(version, about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
        Command::Strip { input, output } => match tocsin_tools::strip::strip(&input, &output) {
            Ok(done) => {
                if done.written {
                    println!(
                        "{}: {} KiB ({} KiB with debug information)",
                        output.display(),
                        done.after.div_ceil(1024),
                        done.before.div_ceil(1024)
                    );
                }
                ExitCode::SUCCESS
            }
            Err(e) => {
                eprintln!("tocsin-tools strip: {e}");
                ExitCode::FAILURE
            }
        },
    }
}

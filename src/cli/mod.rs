//! The command line program: one file per subcommand.
//!
//! Data goes to standard output, everything else to standard error. Exit codes are those of
//! [`ExitStatus`].

pub mod commands;
mod connection;
mod exit;
mod picture;
mod printer;
mod progress;
mod video;

use std::process::ExitCode;

use clap::Parser;

pub use commands::Command;
pub use exit::ExitStatus;
pub use picture::write_png;
pub use printer::{Format, Printer};
pub use progress::Progress;
pub use video::VideoArgs;

/// Judges and plans robot policies in an imagined world before they touch the robot.
#[derive(Debug, Parser)]
#[command(name = "rehearse", version, max_term_width = 100, propagate_version = true)]
struct Arguments {
    /// Print results only: no progress, no notes
    #[arg(long, short, global = true)]
    quiet: bool,

    #[command(subcommand)]
    command: Command,
}

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    let Arguments { quiet, command } = Arguments::parse();
    let printer = Printer::new(quiet);
    match command.run(&printer) {
        Ok(status) => status.into(),
        Err(error) => {
            printer.error(&error);
            ExitStatus::of(&error).into()
        }
    }
}

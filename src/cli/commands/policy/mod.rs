//! `rehearse policy`.

mod check;
mod serve;

use clap::Subcommand;

use crate::cli::{ExitStatus, Printer};

/// Subcommands of `rehearse policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Serve a policy that needs no other program: noise, a constant, a log played back
    #[command(subcommand)]
    Serve(serve::ServeCommand),
    /// Ask a policy what it is, let it act on one observation, and measure how fast it answers
    Check(check::CheckArgs),
}

impl PolicyCommand {
    /// Does it.
    ///
    /// # Errors
    /// Whatever keeps it from being done.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        match self {
            Self::Serve(command) => command.run(printer),
            Self::Check(arguments) => arguments.run(printer),
        }
    }
}

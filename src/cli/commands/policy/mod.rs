//! `rehearse policy`.

mod check;
mod clone;
mod serve;

use clap::Subcommand;

use crate::cli::{ExitStatus, Printer};

/// Subcommands of `rehearse policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Serve a policy that needs no other program: cloned, noise, a constant, a log played back
    #[command(subcommand)]
    Serve(serve::ServeCommand),
    /// Train a small policy that does as the logs did: image and state to a chunk of actions
    Clone(clone::CloneArgs),
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
            Self::Clone(arguments) => arguments.run(printer),
            Self::Check(arguments) => arguments.run(printer),
        }
    }
}

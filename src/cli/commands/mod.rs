//! The subcommands.

pub mod logs;

use clap::Subcommand;

use super::{ExitStatus, Printer};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at, check and convert robot logs (LeRobotDataset)
    #[command(subcommand)]
    Logs(logs::LogsCommand),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever keeps it from being done, with what to do next.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        match self {
            Self::Logs(command) => command.run(printer),
        }
    }
}

//! `rehearse judge`.

mod check;

use clap::Subcommand;

use crate::cli::{ExitStatus, Printer};

/// Subcommands of `rehearse judge`.
#[derive(Debug, Subcommand)]
pub enum JudgeCommand {
    /// Score a judge against a labelled log: confusion, AUC, calibration, error rates
    Check(check::CheckArgs),
}

impl JudgeCommand {
    /// Does it.
    ///
    /// # Errors
    /// Whatever keeps it from being done.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        match self {
            Self::Check(arguments) => arguments.run(printer),
        }
    }
}

//! `rehearse logs`: look at, check and convert robot logs.

mod check;
mod convert;
mod inspect;
#[cfg(feature = "rerun")]
mod view;

use clap::Subcommand;

use crate::cli::{ExitStatus, Printer};

/// What to do with a log.
#[derive(Debug, Subcommand)]
pub enum LogsCommand {
    /// Say what is in a log: rig, cameras, episodes, tasks, success per policy
    Inspect(inspect::InspectArgs),
    /// Find every problem of a log at once; exit code 1 if there is any
    Check(check::CheckArgs),
    /// Write a log anew as v3.0: from v2.1, resized, or a part of it
    Convert(convert::ConvertArgs),
    /// Show an episode in rerun
    #[cfg(feature = "rerun")]
    View(view::ViewArgs),
}

impl LogsCommand {
    /// Does it.
    ///
    /// # Errors
    /// Whatever keeps it from being done, with what to do next.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        match self {
            Self::Inspect(args) => args.run(printer),
            Self::Check(args) => args.run(printer),
            Self::Convert(args) => args.run(printer),
            #[cfg(feature = "rerun")]
            Self::View(args) => args.run(printer),
        }
    }
}

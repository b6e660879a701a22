//! `rehearse merge`.

use std::path::PathBuf;

use clap::Args;

use super::report;
use crate::cli::{ExitStatus, Format, Printer};
use crate::run::merge;

/// Arguments of `rehearse merge`.
///
/// Example: `rehearse merge run part-1 part-2 part-3 part-4`
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The run directory to make
    out: PathBuf,
    /// The run directories of all parts
    #[arg(required = true)]
    parts: Vec<PathBuf>,
}

impl MergeArgs {
    /// Joins the parts.
    ///
    /// # Errors
    /// If a part is missing, doubled, unfinished or of another run.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let Self { out, parts } = self;
        let table = merge(&out, &parts)?;
        printer.note(&format!("{} trials in {}", table.trials().len(), out.display()));
        report::make(&out, None, Format::Table, printer)?;
        Ok(ExitStatus::Success)
    }
}

//! `rehearse logs check`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use rehearse_scenarios::log::check;
use serde_json::json;

use crate::cli::{ExitStatus, Format, Printer};

/// Arguments of `rehearse logs check`.
///
/// Example: `rehearse logs check examples/logs/droid`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The log's folder
    dir: PathBuf,
    /// Form of the result: `table`, one problem a line, or `json`
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl CheckArgs {
    /// Prints every problem of the log.
    ///
    /// # Errors
    /// If another format is asked for, or standard output is gone.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let Self { dir, format } = self;
        let as_json = match format {
            Format::Table => false,
            Format::Json => true,
            Format::Csv | Format::Markdown => {
                bail!("`logs check` prints `--format table` or `--format json`")
            }
        };
        let problems: Vec<String> =
            check(&dir).into_iter().map(|problem| problem.message).collect();
        if as_json {
            let report = json!({ "format": 1, "log": dir, "problems": problems });
            printer.data(&serde_json::to_string_pretty(&report)?)?;
        } else if problems.is_empty() {
            printer.note(&format!("{}: no problem found", dir.display()));
        } else {
            printer.data(&problems.join("\n"))?;
        }
        Ok(if problems.is_empty() { ExitStatus::Success } else { ExitStatus::Failure })
    }
}

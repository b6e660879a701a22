//! `rehearse report`.

use std::path::{Path, PathBuf};

use clap::Args;
use rehearse_scoring::report::{Column, Table, Value};

use super::tables::print;
use crate::cli::{ExitStatus, Format, Printer};
use crate::run::report::{Report, write};

/// Arguments of `rehearse report`.
///
/// Example: `rehearse report run --real trials.csv`
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The run directory
    run: PathBuf,
    /// Results on the robot: CSV or Parquet; those of the suite's log if not stated
    #[arg(long, value_name = "FILE")]
    real: Option<PathBuf>,
    /// Form of what is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl ReportArgs {
    /// Writes `report.json` and `report.html` into the run directory, and prints the numbers.
    ///
    /// # Errors
    /// If the run directory or the real results cannot be read, or nothing can be written.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        make(&self.run, self.real.as_deref(), self.format, printer)?;
        Ok(ExitStatus::Success)
    }
}

/// Writes and prints the report of a run.
pub(super) fn make(
    run: &Path,
    real: Option<&Path>,
    format: Format,
    printer: &Printer,
) -> anyhow::Result<()> {
    let report = Report::of(run, real)?;
    write(run, &report)?;
    print(printer, format, &report, &[table(&report)?])?;
    printer.note(&format!("read on: {}", run.join("report.html").display()));
    Ok(())
}

fn table(report: &Report) -> anyhow::Result<Table> {
    let mut columns = vec![
        Column::text("policy", "policy"),
        Column::number("rank", "rank"),
        Column::number("rate", "success"),
        Column::interval("interval", "interval"),
        Column::number("decided", "decided"),
        Column::number("all", "all"),
        Column::number("void", "void"),
        Column::number("unsure", "unsure"),
        Column::number("beats_next", "beats next"),
    ];
    let graded = report.policies.iter().any(|policy| policy.progress.is_some());
    if graded {
        columns.push(Column::number("progress", "progress"));
        columns.push(Column::interval("progress_interval", "progress interval"));
    }
    let mut table = Table::new(&format!("Suite {}", report.suite), columns);
    for policy in &report.policies {
        let place = report.ranking.iter().find(|beats| beats.standing.policy == policy.name);
        let share = |share: Option<f64>| share.map_or(Value::Missing, Value::percent);
        let mut row = vec![
            Value::text(&policy.name),
            place.map_or(Value::Missing, |beats| Value::Count(beats.standing.rank.into())),
            share(policy.rate),
            Value::interval(policy.interval),
            Value::Count(policy.trials),
            Value::Count(policy.trials + policy.void + policy.unsure),
            Value::Count(policy.void),
            Value::Count(policy.unsure),
            share(place.and_then(|beats| beats.beats_next)),
        ];
        if graded {
            row.push(share(policy.progress.map(|progress| progress.value)));
            row.push(Value::interval(policy.progress.map(|progress| progress.interval)));
        }
        table.push(row)?;
    }
    if let Some(agreement) = &report.agreement {
        let r = agreement.pearson.value.map_or("-".to_owned(), |r| format!("{r:.3}"));
        table.note(format!(
            "against real results of {} policies: Pearson r {r}, MMRV {:.3}",
            agreement.policies, agreement.mmrv.value
        ));
    }
    table.warn(&report.warnings);
    Ok(table)
}

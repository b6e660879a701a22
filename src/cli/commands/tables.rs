//! What the commands on trial tables share: finding, reading and printing tables.

use std::path::Path;

use anyhow::{Context as _, bail};
use rehearse_calibration::pairs::Pairs;
use rehearse_scoring::report::{self, Table as Report, render};
use rehearse_scoring::trial::{
    AggregateTable, Limits, Reading, Table, Trial, TrialTable, Verdict, read,
};
use rehearse_scoring::warning::Advice;
use serde::Serialize;

use crate::cli::{Format, Printer};

/// Reads the trial table at `path`: a CSV or Parquet file, a run's directory, or a robot log's.
pub(super) fn read_table(path: &Path, printer: &Printer) -> anyhow::Result<Reading> {
    let file = if path.is_dir() {
        let tables = ["trials.parquet", "trials.csv", "meta/trials.csv"];
        match tables.map(|table| path.join(table)).into_iter().find(|table| table.is_file()) {
            Some(table) => table,
            None => bail!(
                "no trial table in this directory (looked for {}): {}",
                tables.join(", "),
                path.display()
            ),
        }
    } else {
        path.to_owned()
    };
    let reading = read(&file, &Limits::default())?;
    if !reading.ignored_columns.is_empty() {
        printer.note(&format!(
            "{}: columns without a meaning here: {}",
            file.display(),
            reading.ignored_columns.join(", ")
        ));
    }
    Ok(reading)
}

/// The trials of a table; those of an aggregated one made up from its counts, without scenarios.
pub(super) fn trials(reading: Reading) -> anyhow::Result<TrialTable> {
    match reading.table {
        Table::Trials(table) => Ok(table),
        Table::Aggregate(table) => expand(&table, &reading.file),
    }
}

/// The trials of two tables, paired.
pub(super) fn paired(real: &Path, imagined: &Path, printer: &Printer) -> anyhow::Result<Pairs> {
    let real = trials(read_table(real, printer)?)?;
    let imagined = trials(read_table(imagined, printer)?)?;
    Ok(Pairs::new(&real, &imagined)?)
}

fn expand(table: &AggregateTable, file: &str) -> anyhow::Result<TrialTable> {
    let limit = Limits::default().rows;
    let mut trials = Vec::new();
    for cell in table.cells() {
        let Some((successes, count)) = cell.counts().with_context(|| file.to_owned())? else {
            bail!(
                "the rate of {} on {} comes without a number of trials: fill in the column \
                 `trials`: {file}",
                cell.policy,
                cell.task
            )
        };
        if count > limit - (trials.len() as u64).min(limit) {
            bail!("more than {limit} trials: {file}");
        }
        for index in 0..count {
            let verdict = if index < successes { Verdict::Success } else { Verdict::Failure };
            trials.push(Trial::new(&cell.policy, &cell.task, verdict));
        }
    }
    Ok(TrialTable::new(trials, file)?)
}

/// The tasks that are shown below their policy: one alone would only repeat its row.
pub(super) fn shown<T>(tasks: &[T]) -> &[T] {
    if tasks.len() > 1 { tasks } else { &[] }
}

/// Prints `json` as JSON, or `tables` in another form: all of them for people, the first as CSV.
/// CSV has no place for warnings, which then go to standard error.
pub(super) fn print(
    printer: &Printer,
    format: Format,
    json: &impl Serialize,
    tables: &[Report],
) -> anyhow::Result<()> {
    let form = match format {
        Format::Json => {
            printer.data(&serde_json::to_string_pretty(json)?)?;
            return Ok(());
        }
        Format::Table => report::Format::Terminal { colour: false },
        Format::Csv => report::Format::Csv,
        Format::Markdown => report::Format::Markdown,
    };
    // One CSV is one table; a second would break its reader.
    let shown = if format == Format::Csv { &tables[..tables.len().min(1)] } else { tables };
    let texts = shown.iter().map(|table| render(table, form)).collect::<Result<Vec<_>, _>>()?;
    printer.data(&texts.join("\n"))?;
    if format == Format::Csv {
        for Advice { code, message } in tables.iter().flat_map(Report::warnings) {
            printer.note(&format!("warning [{code}]: {message}"));
        }
    }
    Ok(())
}

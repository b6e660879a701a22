//! `rehearse agree`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::agreement::{
    AgreeOptions, Agreement, CellAgreement, MmrvConvention, MmrvReport, Pairs, PearsonReport, agree,
};
use rehearse_scoring::interval::IntervalMethod;
use rehearse_scoring::report::{Column, Table as Report, Value};

use super::tables::{print, read_table};
use crate::cli::{ExitStatus, Format, Printer};

/// Arguments of `rehearse agree`.
///
/// Example: `rehearse agree --real real.csv --imagined imagined.csv --format json`
#[derive(Debug, Args)]
pub struct AgreeArgs {
    /// Results on the robot: CSV or Parquet, one row per trial or aggregated
    #[arg(long)]
    real: PathBuf,
    /// Imagined results: such a table, or a run directory
    #[arg(long)]
    imagined: PathBuf,
    /// What counts as a wrong ranking in MMRV
    #[arg(long, value_enum, default_value_t)]
    mmrv: Convention,
    /// Policies that share training, as in `--lineage step-1000=base`; may be repeated
    #[arg(long, value_name = "POLICY=LINEAGE", value_parser = lineage)]
    lineage: Vec<(String, String)>,
    /// Bootstrap resamples
    #[arg(long, default_value_t = 10_000)]
    resamples: usize,
    /// Confidence level of every interval
    #[arg(long, default_value_t = 0.95)]
    level: f64,
    /// Seed of resampling and permutation
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What counts as a wrong ranking in MMRV.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Convention {
    /// As SimplerEnv computes it
    #[default]
    SimplerEnv,
    /// The same with real and imagined swapped
    Swapped,
    /// As the equation of SimplerEnv's paper has it
    PaperLessThan,
    /// Ties never violate
    StrictDiscordant,
    /// A tie on one side only violates
    SignMismatch,
}

impl From<Convention> for MmrvConvention {
    fn from(convention: Convention) -> Self {
        match convention {
            Convention::SimplerEnv => Self::SimplerEnv,
            Convention::Swapped => Self::Swapped,
            Convention::PaperLessThan => Self::PaperLessThan,
            Convention::StrictDiscordant => Self::StrictDiscordant,
            Convention::SignMismatch => Self::SignMismatch,
        }
    }
}

fn lineage(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(policy, lineage)| !policy.is_empty() && !lineage.is_empty())
        .map(|(policy, lineage)| (policy.to_owned(), lineage.to_owned()))
        .ok_or_else(|| "write a policy and its lineage, as in step-1000=base".to_owned())
}

impl AgreeArgs {
    /// Prints how far imagined results agree with real ones.
    ///
    /// # Errors
    /// If a table cannot be read, or the tables share no policy.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let real = read_table(&self.real, printer)?.table;
        let imagined = read_table(&self.imagined, printer)?.table;
        let options = AgreeOptions {
            level: self.level,
            resamples: self.resamples,
            convention: self.mmrv.into(),
            lineages: self.lineage.into_iter().collect::<BTreeMap<_, _>>(),
            ..AgreeOptions::new(Seed::root(self.seed))
        };
        let agreement = agree(&Pairs::new(&real, &imagined)?, &options)?;
        print(printer, self.format, &agreement, &[report(&agreement)?])?;
        Ok(ExitStatus::Success)
    }
}

fn report(agreement: &Agreement) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "Agreement of imagined with real results",
        vec![
            Column::text("over", "over"),
            Column::number("n", "n"),
            Column::text("statistic", "statistic"),
            Column::number("value", "value"),
            Column::interval("interval", "interval"),
            Column::number("p", "p"),
        ],
    );
    let Agreement { policies, pearson, mmrv, spearman, kendall, mae, bias, cells, .. } = agreement;
    let numbers = [*spearman, *kendall, Some(*mae), Some(*bias)];
    rows(&mut report, "policies", *policies, pearson, mmrv, numbers)?;
    let CellAgreement { cells: n, pearson, mmrv, spearman, kendall, mae, bias } = cells;
    rows(&mut report, "cells", *n, pearson, mmrv, [*spearman, *kendall, Some(*mae), Some(*bias)])?;
    if let Some(trials) = &agreement.trial_agreement {
        report.push(vec![
            Value::text("trials"),
            Value::Count(trials.pairs),
            Value::text("same outcome"),
            Value::number(trials.value, 3),
            Value::interval(Some(trials.interval)),
            Value::Missing,
        ])?;
    }
    report.note(format!("MMRV convention: {}", agreement.mmrv.convention));
    let of_cells = &agreement.cells;
    let from_trials = [agreement.mmrv.interval, of_cells.pearson.interval, of_cells.mmrv.interval];
    if from_trials.into_iter().flatten().any(|i| i.method == IntervalMethod::TrialPosterior) {
        report.note(
            "a trial posterior is of what endless trials would give: chance lowers correlations and \
             raises MMRV, so that the value may lie at its edge or outside; its coverage is in \
             docs/coverage-agreement.md",
        );
    }
    report.note(format!(
        "p is one-sided, by permutation; with these policies it cannot be below {:.2e}",
        agreement.pearson.p_floor
    ));
    report.warn(&agreement.warnings);
    Ok(report)
}

fn rows(
    report: &mut Report,
    over: &str,
    n: usize,
    pearson: &PearsonReport,
    mmrv: &MmrvReport,
    [spearman, kendall, mae, bias]: [Option<f64>; 4],
) -> anyhow::Result<()> {
    for (name, value, interval, p) in [
        ("Pearson r", pearson.value, pearson.interval, pearson.p),
        ("MMRV", Some(mmrv.value), mmrv.interval, None),
        ("Spearman ρ", spearman, None, None),
        ("Kendall τ-b", kendall, None, None),
        ("mean absolute error", mae, None, None),
        ("bias", bias, None, None),
    ] {
        report.push(vec![
            Value::text(over),
            Value::Count(n as u64),
            Value::text(name),
            Value::optional(value, 3),
            Value::interval(interval),
            Value::optional(p, 4),
        ])?;
    }
    Ok(())
}

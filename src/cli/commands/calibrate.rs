//! `rehearse calibrate`.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use rehearse_calibration::calibrate::{Calibration, Options, calibrate};
use rehearse_calibration::estimate::{JudgeCounts, Method};
use rehearse_calibration::reliability::{Binning, Reliability};
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::report::{Column, Table as Report, Value};

use super::tables::{paired, print, shown};
use crate::cli::{ExitStatus, Format, Printer};

/// Arguments of `rehearse calibrate`.
///
/// Example: `rehearse calibrate --real real.csv --imagined runs/monday`
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Results on the robot, one row per trial with its `scenario`: CSV or Parquet
    #[arg(long)]
    real: PathBuf,
    /// Imagined results of these and further scenarios: such a table, or a run directory
    #[arg(long)]
    imagined: PathBuf,
    /// How intervals are made
    #[arg(long, value_enum, default_value_t)]
    method: MethodKind,
    /// Judge of the real results: true successes that it saw, of all, as in 95/100
    #[arg(long, value_name = "SEEN/ALL", value_parser = counts, requires = "judge_failures")]
    judge_successes: Option<(u64, u64)>,
    /// Judge of the real results: true failures that it saw, of all, as in 90/100
    #[arg(long, value_name = "SEEN/ALL", value_parser = counts, requires = "judge_successes")]
    judge_failures: Option<(u64, u64)>,
    /// Bins of the reliability diagram, of equal mass
    #[arg(long, default_value_t = 10)]
    bins: usize,
    /// Confidence level of every interval
    #[arg(long, default_value_t = 0.95)]
    level: f64,
    /// Seed of the cross-fitting
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How intervals are made.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum MethodKind {
    /// Score interval at the effective number of trials; for any n
    #[default]
    Score,
    /// Student's t; for partial credits of roughly normal spread
    Student,
    /// Normal approximation, as published; for large n
    Clt,
}

fn counts(text: &str) -> Result<(u64, u64), String> {
    text.split_once('/')
        .and_then(|(seen, all)| Some((seen.trim().parse().ok()?, all.trim().parse().ok()?)))
        .ok_or_else(|| "write two counts, as in 95/100".to_owned())
}

impl CalibrateArgs {
    /// Prints real success rates corrected by imagined trials.
    ///
    /// # Errors
    /// If a table cannot be read, or the tables share no policy.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let pairs = paired(&self.real, &self.imagined, printer)?;
        let judge = match (self.judge_successes, self.judge_failures) {
            (Some((successes_seen, successes)), Some((failures_seen, failures))) => {
                Some(JudgeCounts { successes, successes_seen, failures, failures_seen })
            }
            (None, None) => None,
            _ => bail!("a judge needs both `--judge-successes` and `--judge-failures`"),
        };
        let options = Options {
            level: self.level,
            method: match self.method {
                MethodKind::Score => Method::Score,
                MethodKind::Student => Method::Student,
                MethodKind::Clt => Method::Clt,
            },
            judge,
            binning: Binning::EqualMass(self.bins),
            seed: Seed::root(self.seed),
            ..Options::default()
        };
        let answer = calibrate(&pairs, &options)?;
        let mut tables = vec![rates(&answer)?];
        if !answer.differences.is_empty() {
            tables.push(differences(&answer)?);
        }
        if let Some(reliability) = &answer.reliability {
            tables.push(diagram(reliability)?);
        }
        print(printer, self.format, &answer, &tables)?;
        Ok(ExitStatus::Success)
    }
}

fn rates(answer: &Calibration) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "Real success rates, corrected by imagined trials",
        vec![
            Column::text("policy", "policy"),
            Column::text("task", "task"),
            Column::number("n", "real n"),
            Column::number("real", "real"),
            Column::number("imagined", "imagined"),
            Column::number("corrected", "corrected"),
            Column::interval("interval", "interval"),
            Column::number("correlation", "correlation"),
            Column::number("effective_trials", "worth n"),
            Column::number("judged", "judge-corrected"),
        ],
    );
    for policy in &answer.policies {
        report.push(vec![
            Value::text(&policy.policy),
            Value::text("all"),
            Value::Count(policy.real.scenarios as u64),
            Value::percent(policy.real.rate),
            Value::percent(policy.imagined.rate),
            Value::percent(policy.value),
            Value::interval(Some(policy.interval)),
            Value::number(policy.correlation, 2),
            Value::number(policy.effective_trials, 1),
            policy.judged.map_or(Value::Missing, |judged| Value::percent(judged.value)),
        ])?;
        for task in shown(&policy.tasks) {
            report.push(vec![
                Value::text(&policy.policy),
                Value::text(&task.task),
                Value::Count(task.real.scenarios as u64),
                Value::percent(task.real.rate),
                Value::percent(task.imagined.rate),
                Value::percent(task.corrected.value),
                Value::interval(Some(task.corrected.interval)),
                Value::number(task.corrected.correlation, 2),
                Value::number(task.corrected.effective_trials, 1),
                Value::Missing,
            ])?;
        }
    }
    report.note(format!(
        "every task counts the same; n counts scenarios; interval method: {}",
        answer.method.as_str()
    ));
    report.warn(&answer.warnings);
    Ok(report)
}

fn differences(answer: &Calibration) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "Differences of corrected rates",
        vec![
            Column::text("a", "A"),
            Column::text("b", "B"),
            Column::number("difference", "A − B"),
            Column::interval("interval", "interval"),
        ],
    );
    for entry in &answer.differences {
        report.push(vec![
            Value::text(&entry.a),
            Value::text(&entry.b),
            Value::number(entry.difference.value, 3),
            Value::interval(Some(entry.difference.interval)),
        ])?;
    }
    report.note("not adjusted for the number of differences");
    Ok(report)
}

fn diagram(reliability: &Reliability) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "Imagined rates of scenarios as predictions of real results",
        vec![
            Column::number("from", "from"),
            Column::number("to", "to"),
            Column::number("n", "n"),
            Column::number("predicted", "predicted"),
            Column::number("observed", "observed"),
            Column::interval("interval", "interval"),
        ],
    );
    for bin in &reliability.diagram.bins {
        report.push(vec![
            Value::number(bin.low, 2),
            Value::number(bin.high, 2),
            Value::Count(bin.n),
            Value::percent(bin.predicted),
            Value::percent(bin.observed),
            Value::interval(Some(bin.interval)),
        ])?;
    }
    let Reliability { brier, gap, recalibrated, .. } = reliability;
    report.note(format!(
        "Brier score {:.4} = reliability {:.4} − resolution {:.4} + uncertainty {:.4} + within \
         bins {:.4}",
        brier.score, brier.reliability, brier.resolution, brier.uncertainty, brier.within_bins
    ));
    report.note(format!(
        "expected calibration error {:.4}, without its bias {:.4}",
        gap.ece, gap.ece_debiased
    ));
    for entry in recalibrated {
        report.note(format!(
            "recalibrated ({}, cross-fitted): Brier score {:.4}, calibration error {:.4}",
            entry.recalibrator.as_str(),
            entry.brier,
            entry.ece_debiased
        ));
    }
    Ok(report)
}

//! `rehearse budget`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use rehearse_calibration::allocation::{
    Allocation, Assignment, Budget, CellState, Objective, allocate, budget, next_batch, states,
};
use rehearse_calibration::pairs::Pairs;
use rehearse_calibration::warning::CalibrationWarning;
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::report::{Column, Table as Report, Value};
use rehearse_scoring::trial::TrialTable;
use serde::Serialize;

use super::tables::{paired, print, read_table, shown, trials};
use crate::cli::{ExitStatus, Format, Printer};

/// Arguments of `rehearse budget`.
///
/// Example: `rehearse budget --real real.csv --imagined runs/monday --half-width 0.05`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("question").required(true))]
pub struct BudgetArgs {
    /// Results on the robot so far: CSV or Parquet
    #[arg(long)]
    real: PathBuf,
    /// Imagined results of these and further scenarios: such a table, or a run directory
    #[arg(long)]
    imagined: Option<PathBuf>,
    /// How many real trials until every policy's interval is within ± this?
    #[arg(long, group = "question")]
    half_width: Option<f64>,
    /// Where to run so many further real trials?
    #[arg(long, group = "question")]
    trials: Option<u64>,
    /// What the further trials are for: `every`, `widest`, or two policies as in `full,half`
    #[arg(long, default_value = "every", requires = "trials", value_parser = objective)]
    aim: Objective,
    /// Name the scenarios to run, drawn at random among the imagined ones
    #[arg(long, requires = "trials", requires = "imagined")]
    scenarios: bool,
    /// Confidence level
    #[arg(long, default_value_t = 0.95)]
    level: f64,
    /// Seed of the draw of scenarios
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn objective(text: &str) -> Result<Objective, String> {
    match text {
        "every" => Ok(Objective::EveryPolicy),
        "widest" => Ok(Objective::WidestPolicy),
        _ => text
            .split_once(',')
            .map(|(a, b)| Objective::Difference { a: a.to_owned(), b: b.to_owned() })
            .ok_or_else(|| "write `every`, `widest`, or two policies as in full,half".to_owned()),
    }
}

/// The content of `--format json` for `--half-width`.
#[derive(Debug, Serialize)]
struct Needed<'a> {
    format: u32,
    #[serde(flatten)]
    budget: &'a Budget,
    warnings: &'a [CalibrationWarning],
}

/// The content of `--format json` for `--trials`.
#[derive(Debug, Serialize)]
struct Spent<'a> {
    format: u32,
    aim: &'a Objective,
    cells: Vec<SpentCell<'a>>,
    policies: &'a [rehearse_calibration::allocation::PolicySpread],
    #[serde(skip_serializing_if = "Option::is_none")]
    scenarios: Option<&'a [Assignment]>,
    warnings: &'a [CalibrationWarning],
}

#[derive(Debug, Serialize)]
struct SpentCell<'a> {
    policy: &'a str,
    task: &'a str,
    trials: u64,
    further: u64,
    rate: f64,
    correlation: f64,
}

impl BudgetArgs {
    /// Prints which real trials to run next, or how many are enough.
    ///
    /// # Errors
    /// If a table cannot be read, the tables share no policy, or nothing within reach is enough.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let pairs = match &self.imagined {
            Some(imagined) => Some(paired(&self.real, imagined, printer)?),
            None => None,
        };
        let cells = match &pairs {
            Some(pairs) => states(pairs)?,
            None => alone(&trials(read_table(&self.real, printer)?)?)?,
        };
        let warnings = pairs.as_ref().map_or(&[][..], Pairs::warnings);
        match (self.half_width, self.trials) {
            (Some(half_width), _) => {
                let budget = budget(&cells, half_width, self.level)?;
                let json = Needed { format: 1, budget: &budget, warnings };
                print(printer, self.format, &json, &[needed(&budget, warnings)?])?;
            }
            (None, Some(count)) => self.spend(count, &cells, pairs.as_ref(), printer)?,
            (None, None) => bail!("ask with `--half-width` or `--trials`"),
        }
        Ok(ExitStatus::Success)
    }

    fn spend(
        &self,
        count: u64,
        cells: &[CellState],
        pairs: Option<&Pairs>,
        printer: &Printer,
    ) -> anyhow::Result<()> {
        let batch = pairs
            .filter(|_| self.scenarios)
            .map(|pairs| next_batch(pairs, count, &self.aim, Seed::root(self.seed)))
            .transpose()?;
        let plan = match &batch {
            None => allocate(cells, count, &self.aim)?,
            // Named scenarios run out; the plan is then of those that there are.
            Some(_) => {
                let limited: Vec<CellState> = cells
                    .iter()
                    .map(|cell| CellState { available: Some(cell.unpaired), ..cell.clone() })
                    .collect();
                allocate(&limited, count, &self.aim)?
            }
        };
        let planned: u64 = plan.trials.iter().sum();
        if planned < count {
            printer.note(&format!(
                "only {planned} of {count} trials placed: imagine more scenarios to place the rest"
            ));
        }
        let warnings = pairs.map_or(&[][..], Pairs::warnings);
        let json = Spent {
            format: 1,
            aim: &self.aim,
            cells: cells
                .iter()
                .zip(&plan.trials)
                .map(|(cell, &further)| SpentCell {
                    policy: &cell.policy,
                    task: &cell.task,
                    trials: cell.trials,
                    further,
                    rate: cell.rate,
                    correlation: cell.correlation,
                })
                .collect(),
            policies: &plan.policies,
            scenarios: batch.as_deref(),
            warnings,
        };
        let spent = spent(cells, &plan, warnings)?;
        let tables = match &batch {
            Some(batch) => vec![named(batch)?, spent],
            None => vec![spent],
        };
        print(printer, self.format, &json, &tables)
    }
}

/// The cells of a real table on its own.
fn alone(real: &TrialTable) -> anyhow::Result<Vec<CellState>> {
    let summary = real.summary();
    let mut tasks: BTreeMap<&str, usize> = BTreeMap::new();
    for cell in &summary.cells {
        *tasks.entry(&cell.policy).or_default() += 1;
    }
    summary
        .cells
        .iter()
        .map(|cell| {
            let weight = 1.0 / tasks[cell.policy.as_str()] as f64;
            let (credit, n) = (cell.tally.credit, cell.tally.decided());
            Ok(CellState::of_counts(&cell.policy, &cell.task, weight, credit, n)?)
        })
        .collect()
}

fn needed(budget: &Budget, warnings: &[CalibrationWarning]) -> anyhow::Result<Report> {
    let mut report = Report::new(
        &format!("Real trials until every interval is within ±{}", budget.half_width),
        vec![
            Column::text("policy", "policy"),
            Column::text("task", "task"),
            Column::number("trials", "so far"),
            Column::number("half_width", "half-width now"),
            Column::number("further", "further"),
            Column::number("further_alone", "without imagination"),
            Column::number("saved", "saved"),
        ],
    );
    for policy in &budget.policies {
        report.push(vec![
            Value::text(&policy.policy),
            Value::text("all"),
            Value::Count(policy.trials),
            Value::optional(policy.now, 3),
            Value::Count(policy.further),
            Value::Count(policy.further_alone),
            Value::percent(policy.saved),
        ])?;
        for (task, further) in shown(&policy.tasks) {
            report.push(vec![
                Value::text(&policy.policy),
                Value::text(task),
                Value::Missing,
                Value::Missing,
                Value::Count(*further),
                Value::Missing,
                Value::Missing,
            ])?;
        }
    }
    report.note("takes today's rates and correlations for true: ask again as results come in");
    report.warn(warnings);
    Ok(report)
}

fn spent(
    cells: &[CellState],
    plan: &Allocation,
    warnings: &[CalibrationWarning],
) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "Further real trials",
        vec![
            Column::text("policy", "policy"),
            Column::text("task", "task"),
            Column::number("trials", "so far"),
            Column::number("further", "further"),
            Column::number("rate", "rate"),
            Column::number("correlation", "correlation"),
        ],
    );
    for (cell, &further) in cells.iter().zip(&plan.trials) {
        report.push(vec![
            Value::text(&cell.policy),
            Value::text(&cell.task),
            Value::Count(cell.trials),
            Value::Count(further),
            Value::percent(cell.rate),
            Value::number(cell.correlation, 2),
        ])?;
    }
    for policy in &plan.policies {
        let known = |error: Option<f64>| error.map_or("unknown".to_owned(), |e| format!("{e:.3}"));
        report.note(format!(
            "standard error of {}: now {}, then {}",
            policy.policy,
            known(policy.now),
            known(policy.then)
        ));
    }
    report.warn(warnings);
    Ok(report)
}

fn named(batch: &[Assignment]) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "Real trials to run next",
        vec![
            Column::text("policy", "policy"),
            Column::text("task", "task"),
            Column::text("scenario", "scenario"),
        ],
    );
    for Assignment { policy, task, scenario } in batch {
        report.push(vec![Value::text(policy), Value::text(task), Value::text(scenario)])?;
    }
    Ok(report)
}
